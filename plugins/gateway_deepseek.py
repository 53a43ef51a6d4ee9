"""DeepSeek. It thinks unless told not to, and wants every earlier thought back.

``thinking``, ``reasoning_effort`` and ``reasoning_content`` pass untouched both ways: in a tool
loop each assistant message must carry the ``reasoning_content`` that it came with, or the call is
a 400. While a request queues, the stream carries comments only.

As collected on 2026-11-22, not checked against the pages: https://api-docs.deepseek.com
(thinking_mode, error_codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import (
    CallError,
    OpenAICompatible,
    Outcome,
    ProviderSettings,
    RegisterProvider,
    hookimpl,
)


class DeepSeek(OpenAICompatible):
    base_url = "https://api.deepseek.com/v1"

    def error_in(
        self, error: Any, status: int, headers: Mapping[str, str] | None = None
    ) -> CallError:
        failure = super().error_in(error, status, headers)
        if failure.message == "Content Exists Risk":  # its only mark: the code says nothing
            return CallError(Outcome.CONTENT_POLICY, failure.message)
        return failure


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("deepseek", ProviderSettings, DeepSeek)
