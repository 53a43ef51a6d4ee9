"""Alibaba Cloud Model Studio (Bailian) in its OpenAI-compatible mode.

Key, model and region belong together: other regions, and workspaces with a host of their own, are
reached by ``base_url``. Error codes as collected on 2026-11-22, not checked against the page:
https://help.aliyun.com/zh/model-studio/error-code.
"""

from __future__ import annotations

from typing import ClassVar

from gateway import OpenAICompatible, Outcome, ProviderSettings, RegisterProvider, hookimpl


class DashScope(OpenAICompatible):
    base_url = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    error_codes: ClassVar = {
        "data_inspection_failed": Outcome.CONTENT_POLICY,
        "Arrearage": Outcome.UPSTREAM_CREDENTIALS,
        "insufficient_quota": Outcome.UPSTREAM_RATE_LIMITED,  # tokens a minute, not credit
    }


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("dashscope", ProviderSettings, DashScope)
