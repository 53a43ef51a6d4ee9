"""MiniMax. A failure may come with status 200, as ``base_resp`` where others have ``error``.

Some models write ``<think>…</think>`` into the content, which passes as it is. The address in
China is reached by ``base_url``. Error codes as collected on 2026-11-22, not checked against the
page: https://platform.minimax.io/docs/api-reference/errorcode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl


class MiniMax(OpenAICompatible):
    base_url = "https://api.minimax.io/v1"
    telling = re.compile(OpenAICompatible.telling.pattern + rb'|"base_resp"')
    error_codes: ClassVar = {
        "1001": Outcome.UPSTREAM_TIMEOUT,
        "1002": Outcome.UPSTREAM_RATE_LIMITED,
        "1004": Outcome.UPSTREAM_CREDENTIALS,
        "1008": Outcome.UPSTREAM_CREDENTIALS,
        "1026": Outcome.CONTENT_POLICY,
        "1027": Outcome.CONTENT_POLICY,
        "1039": Outcome.UPSTREAM_RATE_LIMITED,
        "1041": Outcome.UPSTREAM_RATE_LIMITED,
        "2013": Outcome.UPSTREAM_REJECTED,
        "2045": Outcome.UPSTREAM_RATE_LIMITED,
        "2049": Outcome.UPSTREAM_CREDENTIALS,
        "2056": Outcome.UPSTREAM_RATE_LIMITED,
    }

    def error_of(self, answer: Mapping[str, Any]) -> Any:
        verdict = answer.get("base_resp")
        if isinstance(verdict, dict) and verdict.get("status_code"):
            return {"code": verdict["status_code"], "message": verdict.get("status_msg")}
        return super().error_of(answer)


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("minimax", ProviderSettings, MiniMax)
