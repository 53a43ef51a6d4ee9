"""MiniMax. A failure may come with status 200, as ``base_resp`` where others have ``error``.

Models from M2 on write ``<think>…</think>`` into the content and want it back in later turns
(https://platform.minimax.io/docs/api-reference/text-openai-api, read 2026-11-23). Clients get the
thinking as ``reasoning_content``, and what they send back in that field becomes tags again. The
address in China is reached by ``base_url``. Error codes as collected on 2026-11-22, not checked
against the page: https://platform.minimax.io/docs/api-reference/errorcode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from gateway import (
    ChatRequest,
    OpenAICompatible,
    Outcome,
    ProviderSettings,
    RegisterProvider,
    hookimpl,
)


class Settings(ProviderSettings):
    thinking_tags: bool | Literal["opened"] = True


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

    def adapt(self, body: dict[str, Any], request: ChatRequest) -> None:
        if self.settings.thinking_tags and isinstance(body.get("messages"), list):
            body["messages"] = [_with_tags(message) for message in body["messages"]]

    def error_of(self, answer: Mapping[str, Any]) -> Any:
        verdict = answer.get("base_resp")
        if isinstance(verdict, dict) and verdict.get("status_code"):
            return {"code": verdict["status_code"], "message": verdict.get("status_msg")}
        return super().error_of(answer)


def _with_tags(message: Any) -> Any:
    """An assistant's turn as the model itself wrote it."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    thinking, content = message.get("reasoning_content"), message.get("content") or ""
    if not (thinking and isinstance(thinking, str) and isinstance(content, str)):
        return message
    kept = {name: value for name, value in message.items() if name != "reasoning_content"}
    return {**kept, "content": f"<think>\n{thinking.strip()}\n</think>\n\n{content}"}


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("minimax", Settings, MiniMax)
