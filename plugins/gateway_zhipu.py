"""Zhipu (GLM). Numeric error codes say what the status does not: an empty account is a 429.

The path has no ``/v1``; Z.ai is reached by ``base_url``. Error codes as collected on 2026-11-22,
not checked against the page: https://docs.z.ai/api-reference/api-code.
"""

from __future__ import annotations

from typing import ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl

ACCOUNT_CODES = ("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1113", "1121")
RATE_CODES = ("1302", "1303", "1304", "1305")


class Zhipu(OpenAICompatible):
    base_url = "https://open.bigmodel.cn/api/paas/v4"
    error_codes: ClassVar = {
        **dict.fromkeys(ACCOUNT_CODES, Outcome.UPSTREAM_CREDENTIALS),
        **dict.fromkeys(RATE_CODES, Outcome.UPSTREAM_RATE_LIMITED),
        "1211": Outcome.UPSTREAM_MODEL_MISSING,
        "1261": Outcome.CONTEXT_LENGTH_EXCEEDED,
        "1301": Outcome.CONTENT_POLICY,
    }


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("zhipu", ProviderSettings, Zhipu)
