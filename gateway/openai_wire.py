"""The words of OpenAI's wire that every translation needs: bodies, chunks, usage.

https://platform.openai.com/docs/api-reference/chat (read 2026-11-22, against the types of
openai-python 3.54).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .errors import CallError, Outcome
from .schema import ChatRequest, Usage

QUOTED_ERROR_CHARS = 500


def quoted(body: bytes) -> str:
    """The start of a body for an error message, on one line."""
    return " ".join(body[: QUOTED_ERROR_CHARS * 4].decode("utf-8", "replace").split())[
        :QUOTED_ERROR_CHARS
    ]


def load_object(body: bytes) -> dict[str, Any]:
    """A JSON object out of an upstream's bytes. Raises CallError(UPSTREAM_GARBLED)."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallError(
            Outcome.UPSTREAM_GARBLED, f"the upstream sent no valid JSON ({error}): {quoted(body)}"
        ) from None
    if not isinstance(value, dict):
        raise CallError(
            Outcome.UPSTREAM_GARBLED, f"the upstream sent no JSON object: {quoted(body)}"
        )
    return value


def dump_object(value: Mapping[str, Any]) -> bytes:
    """What was read from an upstream, as JSON again. Raises CallError(UPSTREAM_GARBLED)."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # it reads deeper nesting than it writes
        raise CallError(
            Outcome.UPSTREAM_GARBLED, "the upstream's JSON is nested too deep"
        ) from None


def dump_event(chunk: Mapping[str, Any]) -> bytes:
    """A chunk as an event of a stream. Raises CallError(UPSTREAM_GARBLED)."""
    return b"data: " + dump_object(chunk) + b"\n\n"


def read_usage(usage: Any) -> Usage | None:
    """An OpenAI ``usage`` object as disjoint classes; None if there is none, or none that counts.

    OpenAI's totals include their details. xAI and Google's OpenAI endpoint leave the thinking out
    of the completion and count it in the total only, so what the total says beyond the prompt is
    output (https://github.com/vercel/ai/pull/12425, read 2026-11-22, quotes xAI's page on it).
    """
    if type(usage) is not dict:
        return None
    prompt = read_count(usage.get("prompt_tokens"))
    completion = read_count(usage.get("completion_tokens"))
    completion = max(completion, read_count(usage.get("total_tokens")) - prompt)
    if not (prompt or completion):
        return None
    inputs: dict[str, Any] = _input_details(usage)
    outputs: dict[str, Any] = _output_details(usage)
    fresh, visible = _cut(inputs, prompt), _cut(outputs, completion)
    return Usage(input_tokens=fresh, output_tokens=visible, **inputs, **outputs)


ABSURD_COUNT = 1 << 40
"""No call uses so many tokens; a larger figure is an upstream's fault and must not do harm."""


def read_count(value: Any) -> int:
    """A count as the upstream gives it; what is no count at all is none."""
    return min(value, ABSURD_COUNT) if type(value) is int and value > 0 else 0


def _input_details(usage: Mapping[str, Any]) -> dict[str, int]:
    """Input that is not fresh text. DeepSeek and Moonshot name cache hits beside the details,
    DashScope names cache writes like Anthropic, and Ark tells which sound was in the cache."""
    given = _object(usage.get("prompt_tokens_details"))
    hits = (given.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
    writes = (given.get("cache_write_tokens"), given.get("cache_creation_input_tokens"))
    audio = read_count(given.get("audio_tokens")) - read_count(given.get("audio_cached_tokens"))
    frames = (given.get("image_tokens"), given.get("video_tokens"))
    return {
        "cache_read_tokens": max(map(read_count, (*hits, usage.get("cached_tokens")))),
        "cache_write_tokens": max(map(read_count, writes)),
        "audio_input_tokens": max(0, audio),
        "image_input_tokens": sum(map(read_count, frames)),
    }


def _output_details(usage: Mapping[str, Any]) -> dict[str, int]:
    """Output that is not visible text."""
    given = _object(usage.get("completion_tokens_details"))
    return {
        "reasoning_tokens": read_count(given.get("reasoning_tokens")),
        "audio_output_tokens": read_count(given.get("audio_tokens")),
        "image_output_tokens": read_count(given.get("image_tokens")),
    }


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _cut(counts: dict[str, int], total: int) -> int:
    """Cuts the classes in place, the last ones first, to the total; returns what is in none.

    A picture or a sound that was a cache hit may stand in two details. It stays a cache hit, and
    what is left goes to the dearer class first.
    """
    for token_class, count in counts.items():
        counts[token_class] = min(count, total)
        total -= counts[token_class]
    return total


def completion_body(
    request: ChatRequest, message: Mapping[str, Any], finish_reason: str, usage: Usage
) -> bytes:
    """A whole chat completion, for providers that translate. ``message`` lacks only the role."""
    return orjson.dumps(
        {
            "id": f"chatcmpl-{request.call_id}",
            "object": "chat.completion",
            "created": request.created_s,
            "model": request.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", **message},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": usage.to_openai(),
        }
    )


def completion_chunk(
    request: ChatRequest,
    delta: Mapping[str, Any] | None,
    finish_reason: str | None = None,
    usage: Usage | None = None,
    *,
    index: int = 0,
    logprobs: Mapping[str, Any] | None = None,
) -> bytes:
    """One event of a chat stream, for providers that translate.

    ``delta=None`` makes the last chunk, which has no choices and only reports ``usage``.
    ``index`` is the choice that it belongs to.
    """
    choice = {
        "index": index,
        "delta": delta,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }
    chunk = {
        "id": f"chatcmpl-{request.call_id}",
        "object": "chat.completion.chunk",
        "created": request.created_s,
        "model": request.model,
        "choices": [] if delta is None else [choice],
    }
    if usage is not None:
        chunk["usage"] = usage.to_openai()
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
