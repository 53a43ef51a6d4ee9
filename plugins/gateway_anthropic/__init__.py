"""Anthropic's Messages API, spoken to OpenAI clients.

Wire format: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/api/migration-2026-10-21 (read 2026-11-22, against the types
of anthropic-python 2.12).

The key travels as ``x-api-key``: both API versions take it, it wins where a Bearer token is there
too, and every relay that imitates the API knows it. Who needs a Bearer token instead leaves
``api_key`` out and sets ``headers: {authorization: …}``.

What an OpenAI client sees beside the OpenAI fields:

``reasoning_content``
    The readable thinking, in messages and deltas.
``thinking_blocks``
    The opaque blocks behind it with their signatures. Sent back in the assistant message they open
    that turn untouched, and the model goes on from its own reasoning. A tool loop that comes back
    without them goes on all the same; see ``thinking.py``.
``provider_blocks``
    Blocks that OpenAI has no word for (server tools, their results), whole and untouched. Sent
    back they follow the thinking.
``citations``, ``provider_deltas``
    The vendor's citations of the text, and stream deltas of a kind this translation does not know.

In a stream ``reasoning_content`` comes live. The lists come once each, whole, in the delta before
the finish reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import orjson

from gateway import (
    Allowances,
    Answer,
    CallError,
    ChatChunk,
    ChatRequest,
    Event,
    RegisterProvider,
    UpstreamRequest,
    hookimpl,
)

from .request import MAX_UNSTREAMED_TOKENS, Settings, build_body, max_tokens_of
from .response import read_answer, read_error, read_limits
from .stream import relay


class Anthropic:
    """Translates chat completions to ``POST /v1/messages`` and back."""

    base_url = "https://api.anthropic.com"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = (settings.base_url or self.base_url).rstrip("/")
        self.url = f"{self.root}/v1/messages"
        key = settings.api_key
        self.headers = (
            *((("x-api-key", key.get_secret_value()),) if key else ()),
            ("anthropic-version", settings.anthropic_version),
            ("content-type", "application/json"),
            *settings.headers.items(),
        )

    def wants_stream(self, request: ChatRequest) -> bool:
        """A long answer is streamed: the connection would be silent for minutes, and lost with
        whatever closes silent ones. (The vendor's own SDK refuses such a call otherwise.)"""
        is_long = max_tokens_of(request, self.settings) > MAX_UNSTREAMED_TOKENS
        return self.settings.streams(request.stream or is_long)

    def build_request(self, request: ChatRequest) -> UpstreamRequest:
        """Raises CallError: UNSUPPORTED for what the API has no way to do, INVALID_REQUEST."""
        body, dropped = build_body(request, self.settings)
        return UpstreamRequest(self.url, self.headers, orjson.dumps(body), dropped=dropped)

    def parse_response(self, request: ChatRequest, body: bytes) -> Answer:
        return read_answer(request, body)

    def parse_stream(
        self, request: ChatRequest, events: AsyncIterator[Event]
    ) -> AsyncIterator[bytes | ChatChunk]:
        return relay(request, events)

    def read_allowances(self, headers: Mapping[str, str]) -> Allowances | None:
        return read_limits(headers)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        return read_error(status, headers, body)


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("anthropic", Settings, Anthropic)
