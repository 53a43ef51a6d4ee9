"""The bodies of an OpenAI API: completions, the chunks of a stream, embeddings, errors.

https://platform.openai.com/docs/api-reference (read 2026-11-22, against the types of
openai-python 3.54).
"""

import base64
import struct
from collections.abc import Iterator
from typing import Any

import orjson

PIECE_CHARS = 5
DIMENSIONS = 8
CREATED_S = 1_790_000_000
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 12,
    "total_tokens": 31,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}

Object = dict[str, Any]


def completion(body: Object, message: Object) -> Object:
    """The whole answer to the request ``body``; ``message`` lacks only what is always there."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "refusal": None, "annotations": [], **message},
        "logprobs": None,
        "finish_reason": _finish_reason(message),
    }
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": body["model"],
        "choices": [choice],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def tool_calls(tools: list[Object], arguments: str) -> list[Object]:
    """A call of each tool, all with the same arguments."""
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": tool["function"]["name"], "arguments": arguments},
        }
        for number, tool in enumerate(tools)
    ]


def chunks(body: Object, message: Object, obfuscation: str = "aZ9x") -> Iterator[Object]:
    """The same answer as a stream, with a chunk for the usage if ``body`` asks for one.

    ``obfuscation`` is the padding that OpenAI hides the length of the words with.
    """
    asked = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(choices: list[Object], usage: Object | None = None) -> Object:
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": CREATED_S,
            "model": body["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
            "choices": choices,
            **({"usage": usage} if asked else {}),
            "obfuscation": obfuscation,
        }

    for delta in _deltas(message):
        yield chunk([_choice(delta)])
    yield chunk([_choice({}, _finish_reason(message))])
    if asked:
        yield chunk([], USAGE)


def _finish_reason(message: Object) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _choice(delta: Object, finish_reason: str | None = None) -> Object:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _deltas(message: Object) -> Iterator[Object]:
    content = None if "tool_calls" in message else ""
    yield {"role": "assistant", "content": content, "refusal": None}
    for name in ("reasoning_content", "content"):
        for piece in _pieces(message.get(name) or ""):
            yield {name: piece}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        opened = {**call, "index": index, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [opened]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


def vector_of(text: str) -> list[float]:
    """The embedding of ``text``, in numbers that 32 bits hold exactly."""
    return [len(text) / 2**n for n in range(DIMENSIONS)]


def embeddings(body: Object, encoding_format: str) -> Object:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors: list[Any] = [vector_of(text) for text in texts]
    if encoding_format == "base64":
        vectors = [base64.b64encode(struct.pack("<8f", *vector)).decode() for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def error(message: str, kind: str, code: str | int | None, param: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
