"""The provider for every upstream that already speaks OpenAI; most plugins are a few lines on it.

Bytes travel as they came: the request is the client's body with ``model`` and ``stream_options``
changed, an answer is relayed untouched, and a chunk is looked into only if it tells something.

Wire format: https://platform.openai.com/docs/api-reference/chat (read 2026-11-22, against the
types of openai-python 3.54).
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import orjson

from .chunk_mending import ChunkMending, mend_answer
from .contracts import ProviderSettings
from .errors import CallError, ConfigError, Outcome, outcome_of_status
from .openai_wire import (
    QUOTED_ERROR_CHARS,
    dump_object,
    load_object,
    quoted,
    read_usage,
)
from .rate_headers import read_allowances, read_retry_after_s
from .schema import (
    Allowances,
    Answer,
    ChatChunk,
    ChatRequest,
    EmbeddingRequest,
    Event,
    UpstreamRequest,
)

_TELLING = re.compile(rb'"(?:usage|error|finish_reason|tool_calls|code)"\s*:\s*[^n\s]')
"""A chunk worth parsing: one of these fields with a value that is not null."""

_STATUS = re.compile(r"[45][0-9]{2}")
MAX_FINISH_REASON_CHARS = 100

_CODES = {
    "context_length_exceeded": Outcome.CONTEXT_LENGTH_EXCEEDED,
    "content_policy_violation": Outcome.CONTENT_POLICY,
    "content_filter": Outcome.CONTENT_POLICY,
    "model_not_found": Outcome.UPSTREAM_MODEL_MISSING,
    "insufficient_quota": Outcome.UPSTREAM_CREDENTIALS,
    "invalid_api_key": Outcome.UPSTREAM_CREDENTIALS,
    "rate_limit_exceeded": Outcome.UPSTREAM_RATE_LIMITED,
    "exceed_context_size_error": Outcome.CONTEXT_LENGTH_EXCEEDED,  # llama.cpp
}


class OpenAICompatible:
    """Chat and embeddings for an OpenAI-shaped upstream.

    Subclasses change class attributes, or one of the small methods below.
    """

    base_url: ClassVar[str] = ""
    """Used when the configuration names none."""
    max_tokens_field: ClassVar[str] = "max_tokens"
    """Where the upstream expects the output cap."""
    error_codes: ClassVar[Mapping[str, Outcome]] = {}
    """The upstream's own error codes or types, where its status alone would mislead."""
    telling: ClassVar[re.Pattern[bytes]] = _TELLING
    """Finds the chunks that must be read; all others are relayed as they came."""

    def __init__(self, settings: ProviderSettings) -> None:
        base_url = settings.base_url or self.base_url
        if not base_url:
            raise ConfigError(f"type {settings.type!r} needs a base_url")
        self.settings = settings
        self.root = base_url.rstrip("/")
        self.headers = (
            *self.auth_headers(settings),
            ("content-type", "application/json"),
            *settings.headers.items(),
        )

    def auth_headers(self, settings: ProviderSettings) -> tuple[tuple[str, str], ...]:
        if settings.api_key is None:
            return ()
        return (("authorization", f"Bearer {settings.api_key.get_secret_value()}"),)

    def url(self, path: str, model: str) -> str:
        """``path`` is the OpenAI path after the base URL; Azure puts the model into it."""
        return self.root + path

    def adapt(self, body: dict[str, Any], request: ChatRequest) -> None:
        """Change the upstream body in place where a provider's dialect differs."""

    # Chat

    def wants_stream(self, request: ChatRequest) -> bool:
        """Whether to ask the upstream for a stream, whatever the client asked for."""
        return self.settings.streams(request.stream)

    def build_request(self, request: ChatRequest) -> UpstreamRequest:
        body = {**request.body, "model": request.model}
        options = body.pop("stream_options", None)
        if request.stream:
            body["stream"] = True
            if self.settings.stream_usage:
                body["stream_options"] = {**(options or {}), "include_usage": True}
        else:
            body.pop("stream", None)
        if request.max_output_tokens is not None:
            body.pop("max_tokens", None)
            body.pop("max_completion_tokens", None)
            body[self.max_tokens_field] = request.max_output_tokens
        self.adapt(body, request)
        return UpstreamRequest(
            self.url("/chat/completions", request.model), self.headers, orjson.dumps(body)
        )

    def parse_response(self, request: ChatRequest, body: bytes) -> Answer:
        answer = self.load_answer(body)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, f"the upstream's answer has no choices: {quoted(body)}"
            )
        finish_reason = _finish_reason(_objects(choices)[0])
        if self.settings.thinking_tags and mend_answer(answer, self.settings.thinking_tags):
            body = dump_object(answer)
        return Answer(body, read_usage(answer.get("usage")), finish_reason)

    async def parse_stream(
        self, request: ChatRequest, events: AsyncIterator[Event]
    ) -> AsyncIterator[bytes | ChatChunk]:
        settings = self.settings
        mending = ChunkMending(request, settings.thinking_tags, settings.cumulative_tool_calls)
        finished = False
        async for event in events:
            data = event.data
            if data[:6] == b"[DONE]":
                return
            if not data:
                self.check_barren(event.raw)
            elif self.telling.search(data) or mending.reads_all:
                chunk = self.load_answer(data)
                if raw := mending.mend(chunk, event.raw):
                    told = self.read_chunk(chunk, raw)
                    finished = finished or told.finish_reason is not None
                    yield told
            else:
                yield event.raw
            del event, data  # a stream may stand still here for long, and events be large
        if not finished:
            raise CallError(
                Outcome.UPSTREAM_CUT, "the upstream's stream ended before the answer was complete"
            )

    def read_chunk(self, chunk: Mapping[str, Any], raw: bytes) -> ChatChunk:
        """What a chunk tells; ``raw`` is the event that carries it."""
        choices = chunk.get("choices") or []
        usage = chunk.get("usage")
        finish_reason = None
        for choice in _objects(choices):
            finish_reason = _finish_reason(choice) or finish_reason
            usage = usage or choice.get("usage")
        return ChatChunk(raw, read_usage(usage), finish_reason, bool(usage and not choices))

    def check_barren(self, raw: bytes) -> None:
        """An event without data: a comment, or an error in place of a stream. Raises CallError.

        llama.cpp, up to the autumn of 2025, wrote errors as a field called ``error``
        (https://github.com/ggml-org/llama.cpp/pull/16109, read 2026-11-23).
        """
        if raw.startswith(b"{"):
            self.load_answer(raw)
        elif raw.startswith(b"error:"):
            error = load_object(raw[len(b"error:") :])
            raise self.error_in(self.error_of(error) or error, 200)

    # Embeddings

    def build_embedding(self, request: EmbeddingRequest) -> UpstreamRequest:
        body = {**request.body, "model": request.model}
        return UpstreamRequest(
            self.url("/embeddings", request.model), self.headers, orjson.dumps(body)
        )

    def parse_embedding(self, request: EmbeddingRequest, body: bytes) -> Answer:
        answer = self.load_answer(body)
        if not isinstance(answer.get("data"), list):
            raise CallError(
                Outcome.UPSTREAM_GARBLED, f"the upstream's answer has no data: {quoted(body)}"
            )
        if request.body.get("encoding_format") == "base64" and _pack_floats(answer["data"]):
            body = dump_object(answer)
        return Answer(body, read_usage(answer.get("usage")))

    # Limits and errors

    def read_allowances(self, headers: Mapping[str, str]) -> Allowances | None:
        """What the head of an answer says is left of the upstream's limits."""
        return read_allowances(headers)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        try:
            answer = load_object(body)
        except CallError:
            return CallError(
                outcome_of_status(status),
                quoted(body) or f"status {status} with an empty body",
                retry_after_s=read_retry_after_s(headers),
            )
        return self.error_in(self.error_of(answer) or answer, status, headers)

    def load_answer(self, body: bytes) -> dict[str, Any]:
        """A 200 body or chunk that is no error. Raises CallError."""
        answer = load_object(body)
        if error := self.error_of(answer):
            raise self.error_in(error, 200)
        return answer

    def error_of(self, answer: Mapping[str, Any]) -> Any:
        """The error object inside an answer, falsy if there is none.

        vLLM, SGLang and SiliconFlow also write one in place of the answer.
        """
        error = answer.get("error")
        if error or "choices" in answer or not answer.get("code"):
            return error
        return answer if answer.get("message") or answer.get("msg") else None

    def error_in(
        self, error: Any, status: int, headers: Mapping[str, str] | None = None
    ) -> CallError:
        """The row for an OpenAI error object (or whatever stands in its place)."""
        fields = error if isinstance(error, dict) else {"message": str(error)}
        code = _text(fields.get("code"))
        if status == 200 and code and _STATUS.fullmatch(code):
            status = int(code)
        by_status = Outcome.UPSTREAM_FAILED if status == 200 else outcome_of_status(status)
        codes = {**_CODES, **self.error_codes}
        outcome = codes.get(code or "") or codes.get(str(fields.get("type"))) or by_status
        rejected = outcome is Outcome.UPSTREAM_REJECTED
        told = (fields.get(name) for name in ("message", "msg", "detail"))
        message = next(filter(None, told), error)
        return CallError(
            outcome,
            str(message)[:QUOTED_ERROR_CHARS],
            code=code if rejected and code and not code.isdigit() else None,
            param=_text(fields.get("param")) if rejected else None,
            retry_after_s=read_retry_after_s(headers or {}),
        )


def _objects(choices: Any) -> list[dict[str, Any]]:
    """Raises CallError(UPSTREAM_GARBLED) for choices that are none."""
    if type(choices) is list and all(type(choice) is dict for choice in choices):
        return choices
    raise CallError(Outcome.UPSTREAM_GARBLED, "the upstream's choices are not a list of objects")


def _finish_reason(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return str(reason)[:MAX_FINISH_REASON_CHARS] if reason else None


def _text(value: Any) -> str | None:
    """An upstream's word as text of bounded length."""
    return None if value is None else str(value)[:QUOTED_ERROR_CHARS]


def _pack_floats(entries: list[Any]) -> bool:
    """Packs embeddings in place as base64 of little-endian float32; False if none was a list.

    The SDKs ask for base64 by default, and openai-node takes a list for it without a word.
    """
    packed = False
    for entry in entries:
        vector = entry.get("embedding") if isinstance(entry, dict) else None
        if isinstance(vector, list):
            try:
                raw = struct.pack(f"<{len(vector)}f", *vector)
            except (struct.error, OverflowError):
                raise CallError(
                    Outcome.UPSTREAM_GARBLED, "the upstream's embedding is not a list of floats"
                ) from None
            entry["embedding"] = base64.b64encode(raw).decode()
            packed = True
    return packed
