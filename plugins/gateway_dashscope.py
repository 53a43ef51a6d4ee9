"""Alibaba Cloud Model Studio (Bailian) in its OpenAI-compatible mode.

Some models answer in streams only: QwQ and QVQ, those that speak, and the open Qwen3 models while
they think, which they do unless told not to
(https://www.alibabacloud.com/help/en/model-studio/visual-reasoning and ``deep-thinking``, read
2026-11-23). They are asked for a stream whatever the client asked for.

Key, model and region belong together: other regions, and workspaces with a host of their own, are
reached by ``base_url``. Error codes as collected on 2026-11-22, not checked against the page:
https://help.aliyun.com/zh/model-studio/error-code.
"""

from __future__ import annotations

import re
from typing import ClassVar

from gateway import (
    ChatRequest,
    OpenAICompatible,
    Outcome,
    ProviderSettings,
    RegisterProvider,
    hookimpl,
)

_STREAM_ONLY = re.compile(r"^(?:qwq|qvq)|omni")
_OPEN_QWEN3 = re.compile(r"qwen3-[0-9.]+b")


class DashScope(OpenAICompatible):
    base_url = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    error_codes: ClassVar = {
        "data_inspection_failed": Outcome.CONTENT_POLICY,
        "Arrearage": Outcome.UPSTREAM_CREDENTIALS,
        "insufficient_quota": Outcome.UPSTREAM_RATE_LIMITED,  # tokens a minute, not credit
    }

    def wants_stream(self, request: ChatRequest) -> bool:
        thinks = request.body.get("enable_thinking")
        open_model = thinks is None and _OPEN_QWEN3.match(request.model)
        needed = thinks is True or open_model or _STREAM_ONLY.search(request.model)
        return self.settings.streams(request.stream or bool(needed))


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("dashscope", ProviderSettings, DashScope)
