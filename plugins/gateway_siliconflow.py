"""SiliconFlow. Its errors are flat, ``{"code", "message", "data"}``, with codes of its own.

The international address is reached by ``base_url``. The error shape is the one that users report;
https://docs.siliconflow.cn describes the rest.
"""

from __future__ import annotations

from typing import ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl


class SiliconFlow(OpenAICompatible):
    base_url = "https://api.siliconflow.cn/v1"
    error_codes: ClassVar = {
        "20012": Outcome.UPSTREAM_MODEL_MISSING,
        "30001": Outcome.UPSTREAM_CREDENTIALS,
        "50505": Outcome.UPSTREAM_OVERLOADED,
    }


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("siliconflow", ProviderSettings, SiliconFlow)
