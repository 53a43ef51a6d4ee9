"""Google's Gemini API: chat with thinking and tools, and embeddings.

``generateContent``, ``streamGenerateContent`` and ``batchEmbedContents`` of
https://ai.google.dev/api (read 2026-11-22, against the types and converters of google-genai 3.4).
The version is part of ``base_url``: the default is ``v1``, which Google's own SDK has used since
3.0 with the same fields; ``…/v1beta`` reaches what is still in preview. A client says in OpenAI's
words what it wants, and may add ``thinking_config``, ``safety_settings`` and ``cached_content`` in
Google's, at the top level or, as Google's OpenAI endpoint has it, in ``extra_body.google``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal

import orjson

from gateway import (
    Answer,
    CallError,
    ChatChunk,
    ChatRequest,
    EmbeddingRequest,
    Event,
    Outcome,
    ProviderSettings,
    RegisterProvider,
    UpstreamRequest,
    hookimpl,
)

from .embeddings import read_embeddings, write_embeddings
from .errors import read_error
from .request import write_request
from .response import read_response
from .stream import read_stream

BASE_URL = "https://generativelanguage.googleapis.com/v1"


class GeminiSettings(ProviderSettings):
    lowest_thinking_level: Literal["MINIMAL", "LOW"] = "LOW"
    """What ``reasoning_effort: minimal`` or ``none`` becomes from Gemini 3 on, where thinking
    cannot be switched off; every such model takes LOW, only some take MINIMAL."""


class Gemini:
    """Chat and embeddings for the Gemini API."""

    def __init__(self, settings: GeminiSettings) -> None:
        self.root = (settings.base_url or BASE_URL).rstrip("/")
        self.settings = settings
        self.lowest_thinking_level = settings.lowest_thinking_level
        key = settings.api_key
        self.headers = (
            *(() if key is None else (("x-goog-api-key", key.get_secret_value()),)),
            ("content-type", "application/json"),
            *settings.headers.items(),
        )

    def url(self, model: str, method: str) -> str:
        """``model`` is an id, or a whole resource name such as ``tunedModels/…``."""
        resource = model if "/" in model else f"models/{model}"
        return f"{self.root}/{resource}:{method}"

    def wants_stream(self, request: ChatRequest) -> bool:
        return self.settings.streams(request.stream)

    def build_request(self, request: ChatRequest) -> UpstreamRequest:
        try:
            body, dropped = write_request(request, self.lowest_thinking_level)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CallError(
                Outcome.INVALID_REQUEST,
                "the messages, tools or options of the request are not of OpenAI's form",
            ) from error
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return UpstreamRequest(
            self.url(request.model, method), self.headers, orjson.dumps(body), dropped=dropped
        )

    def parse_response(self, request: ChatRequest, body: bytes) -> Answer:
        return read_response(request, body)

    def parse_stream(
        self, request: ChatRequest, events: AsyncIterator[Event]
    ) -> AsyncIterator[bytes | ChatChunk]:
        return read_stream(request, events)

    def build_embedding(self, request: EmbeddingRequest) -> UpstreamRequest:
        body, dropped = write_embeddings(request)
        return UpstreamRequest(
            self.url(request.model, "batchEmbedContents"),
            self.headers,
            orjson.dumps(body),
            dropped=dropped,
        )

    def parse_embedding(self, request: EmbeddingRequest, body: bytes) -> Answer:
        return read_embeddings(request, body)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        return read_error(status, headers, body)


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("gemini", GeminiSettings, Gemini)
