"""Puts a completion on the wire: as one JSON body, or as a stream of a few characters a chunk.

https://platform.openai.com/docs/api-reference/chat-streaming (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from gateway import ChatRequest, completion_body, completion_chunk

from .chat_body import read_chat_body
from .completion import COPIES, Completion, complete
from .replies import EVENTS, Reply
from .settings import Settings

CREATED_S = 1_790_000_000
"""One moment for all answers: the same request gives the same bytes."""
PIECE_CHARS = 4
MAX_PIECES = 500
MAX_COPY_PIECES = 20
"""A longer text comes in longer pieces. What repeats the prompt comes in few: nobody reads along,
and a script that is cut into a hundred parts is to be back within seconds."""


def chat_reply(fields: Mapping[str, Any], raw: bytes, settings: Settings) -> Reply:
    body = read_chat_body(fields)
    completion = complete(body, settings.seed)
    request = ChatRequest(
        model=body.model,
        body=fields,
        call_id=blake2b(raw, digest_size=12).hexdigest(),
        created_s=CREATED_S,
    )
    if not body.stream:
        return Reply(200, (json_body(request, completion),))
    return Reply(
        200,
        stream(request, completion, body.wants_usage, max_pieces(body.model)),
        EVENTS,
        piece_delay_s=settings.token_delay_s,
        cut_after=settings.cut_after_chunks,
    )


def json_body(request: ChatRequest, completion: Completion) -> bytes:
    message: dict[str, Any] = {"content": completion.text, "refusal": None}
    if completion.call:
        name, arguments = completion.call
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id(request), "type": "function", "function": function}
        message = {"content": None, "refusal": None, "tool_calls": [call]}
    return completion_body(request, message, completion.finish_reason, completion.usage)


def max_pieces(model: str) -> int:
    return MAX_COPY_PIECES if model in COPIES else MAX_PIECES


def stream(
    request: ChatRequest, completion: Completion, with_usage: bool, at_most: int
) -> Iterator[bytes]:
    """The events; ``at_most`` so many pieces of text."""
    if completion.call:
        name, arguments = completion.call
        function = {"name": name, "arguments": ""}
        call = {"index": 0, "id": call_id(request), "type": "function", "function": function}
        yield completion_chunk(
            request, {"role": "assistant", "content": None, "tool_calls": [call]}
        )
        for piece in pieces(arguments, at_most):
            more = {"index": 0, "function": {"arguments": piece}}
            yield completion_chunk(request, {"tool_calls": [more]})
    else:
        yield completion_chunk(request, {"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(completion.text, at_most):
            yield completion_chunk(request, {"content": piece})
    yield completion_chunk(request, {}, completion.finish_reason)
    if with_usage:
        yield completion_chunk(request, None, usage=completion.usage)
    yield b"data: [DONE]\n\n"


def pieces(text: str, at_most: int) -> Iterator[str]:
    step = max(PIECE_CHARS, -(-len(text) // at_most))
    return (text[start : start + step] for start in range(0, len(text), step))


def call_id(request: ChatRequest) -> str:
    return f"call_{request.call_id}"
