"""The words of OpenAI's wire that every translation needs: bodies, chunks, usage, retry times.

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


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """``retry-after-ms`` or ``retry-after`` in seconds; HTTP dates are ignored (no clock here)."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            value = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if 0 <= value < 1e9:
            return value
    return None


def read_usage(usage: Any) -> Usage | None:
    """An OpenAI ``usage`` object as disjoint classes; None if there is none.

    OpenAI's totals include their details; DeepSeek and Moonshot name their cache hits in a field
    of their own.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _details(usage, "prompt_tokens_details")
    completion = _details(usage, "completion_tokens_details")
    cache_read = (
        _count(prompt, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "cached_tokens")
    )
    cache_write = _count(prompt, "cache_write_tokens")
    image_in, audio_in = _count(prompt, "image_tokens"), _count(prompt, "audio_tokens")
    reasoning = _count(completion, "reasoning_tokens")
    image_out, audio_out = _count(completion, "image_tokens"), _count(completion, "audio_tokens")
    fresh = _count(usage, "prompt_tokens") - cache_read - cache_write - image_in - audio_in
    visible = _count(usage, "completion_tokens") - reasoning - audio_out - image_out
    return Usage(
        input_tokens=max(0, fresh),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        image_input_tokens=image_in,
        audio_input_tokens=audio_in,
        output_tokens=max(0, visible),
        reasoning_tokens=reasoning,
        image_output_tokens=image_out,
        audio_output_tokens=audio_out,
    )


ABSURD_COUNT = 1 << 40
"""No call uses so many tokens; a larger figure is an upstream's fault and must not do harm."""
_NO_DETAILS: Mapping[str, Any] = {}


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = usage.get(name)
    return details if type(details) is dict else _NO_DETAILS


def _count(counts: Mapping[str, Any], name: str) -> int:
    """A count as the upstream gives it; what is no count at all is none."""
    count = counts.get(name)
    return min(count, ABSURD_COUNT) if type(count) is int and count > 0 else 0


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
