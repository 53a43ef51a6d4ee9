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
    """An OpenAI ``usage`` object as disjoint classes; None if there is none, or none that counts.

    OpenAI's totals include their details; DeepSeek and Moonshot name their cache hits in a field
    of their own.
    """
    if not isinstance(usage, dict) or not any(type(usage.get(name)) is int for name in _TOTALS):
        return None
    inputs: dict[str, Any] = _details(usage.get("prompt_tokens_details"), _INPUT_CLASSES)
    outputs: dict[str, Any] = _details(usage.get("completion_tokens_details"), _OUTPUT_CLASSES)
    if "cache_read_tokens" not in inputs:
        for name in _CACHE_HITS:
            if hits := _count(usage.get(name)):
                inputs["cache_read_tokens"] = hits
                break
    fresh = _count(usage.get("prompt_tokens")) - sum(inputs.values())
    visible = _count(usage.get("completion_tokens")) - sum(outputs.values())
    return Usage(input_tokens=max(0, fresh), output_tokens=max(0, visible), **inputs, **outputs)


ABSURD_COUNT = 1 << 40
"""No call uses so many tokens; a larger figure is an upstream's fault and must not do harm."""
_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens")
_CACHE_HITS = ("prompt_cache_hit_tokens", "cached_tokens")
_INPUT_CLASSES = {
    "cached_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "image_tokens": "image_input_tokens",
    "audio_tokens": "audio_input_tokens",
}
_OUTPUT_CLASSES = {
    "reasoning_tokens": "reasoning_tokens",
    "image_tokens": "image_output_tokens",
    "audio_tokens": "audio_output_tokens",
}


def _details(details: Any, classes: Mapping[str, str]) -> dict[str, int]:
    """The counts above 0 in a ``…_details`` object, by our token class."""
    if type(details) is not dict:
        return {}
    return {
        classes[name]: _count(value)
        for name, value in details.items()
        if value and name in classes and _count(value)
    }


def _count(value: Any) -> int:
    """A count as the upstream gives it; what is no count at all is none."""
    return min(value, ABSURD_COUNT) if type(value) is int and value > 0 else 0


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
