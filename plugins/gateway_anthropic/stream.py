"""Anthropic's stream events to chat completion chunks.

https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11-22): a message
starts, each content block starts, grows and stops, then the message's stop reason and its usage
so far arrive, then it stops. Pings and errors may come at any time, and events of unknown types
are to be passed over.

Text, readable thinking and tool calls are relayed as they come. Lists of things that OpenAI has
no word for are collected, and each is sent whole and once, just before the finish reason: the
stream helper of openai-python refuses to add to a list whose items have no ``index``, that of
openai-node keeps the last list that it got (openai 3.54 and 7.57, read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

from gateway import (
    CallError,
    ChatChunk,
    ChatRequest,
    Event,
    Outcome,
    completion_chunk,
    load_object,
    quoted,
)

from .response import MALFORMED, error_in, finish_reason_of, refusal_of, usage_of

Object = dict[str, Any]


async def relay(
    request: ChatRequest, events: AsyncIterator[Event]
) -> AsyncIterator[bytes | ChatChunk]:
    message = _Message(request)
    async for event in events:
        if not event.data or event.name == "ping":
            continue
        try:
            for chunk in message.read(load_object(event.data)):
                yield chunk
        except MALFORMED as error:
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"a stream event lacks {error}: {quoted(event.data)}",
            ) from None
        if message.stopped:
            return
    raise CallError(
        Outcome.UPSTREAM_CUT, "the upstream's stream ended before the answer was complete"
    )


class _Message:
    """One message as it grows; ``read`` gives the chunks that an event makes."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.blocks: dict[int, Object] = {}
        """The open blocks by index, as far as they have come."""
        self.pieces: dict[int, list[str]] = {}
        """What came of the thinking or the input of an open block, by its index."""
        self.calls: dict[int, int] = {}
        """The index of a tool call by the index of its block."""
        self.beside: dict[str, list[Object]] = {}
        """What OpenAI has no word for, by the field that will carry it, until it is sent."""
        self.usage: Object = {}
        self.finished = False
        self.stopped = False

    def read(self, event: Object) -> Iterator[bytes | ChatChunk]:
        kind = event.get("type")
        if kind == "content_block_delta":
            yield from self.grow(event["index"], event["delta"])
        elif kind == "content_block_start":
            yield from self.open(event["index"], event["content_block"])
        elif kind == "content_block_stop":
            yield from self.close(event["index"])
        elif kind == "message_start":
            usage = event["message"].get("usage")
            self.usage = dict(usage) if isinstance(usage, dict) else {}
            opening = self.chunk({"role": "assistant", "content": ""})
            # What was read is known from the start; the message may break off before its end.
            so_far = usage_of(self.usage)
            yield ChatChunk(opening, so_far and so_far._replace(estimated=True))
        elif kind == "message_delta":
            yield from self.finish(event["delta"], event.get("usage") or {})
        elif kind == "message_stop":
            yield from self.stop()
        elif kind == "error":
            raise error_in(event, 200)

    def chunk(self, delta: Object) -> bytes:
        return completion_chunk(self.request, delta)

    def open(self, index: int, block: Object) -> Iterator[bytes]:
        self.blocks[index] = block
        self.pieces[index] = []
        if block["type"] == "tool_use":
            number = self.calls[index] = len(self.calls)
            function = {"name": block["name"], "arguments": ""}
            call = {"index": number, "id": block["id"], "type": "function", "function": function}
            yield self.chunk({"tool_calls": [call]})
        elif block["type"] == "text" and block["text"]:
            yield self.chunk({"content": block["text"]})

    def grow(self, index: int, delta: Object) -> Iterator[bytes]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self.chunk({"content": delta["text"]})
        elif kind == "thinking_delta":
            self.pieces[index].append(delta["thinking"])
            yield self.chunk({"reasoning_content": delta["thinking"]})
        elif kind == "signature_delta":
            self.blocks[index]["signature"] = delta["signature"]
        elif kind == "input_json_delta":
            yield from self.grow_input(index, delta["partial_json"])
        elif kind == "citations_delta":
            self.keep("citations", delta["citation"])
        else:
            self.keep("provider_deltas", delta)

    def grow_input(self, index: int, fragment: str) -> Iterator[bytes]:
        if not fragment:
            return
        self.pieces[index].append(fragment)
        if index in self.calls:
            yield self.chunk(self.arguments(index, fragment))

    def arguments(self, index: int, fragment: str) -> Object:
        call = {"index": self.calls[index], "function": {"arguments": fragment}}
        return {"tool_calls": [call]}

    def close(self, index: int) -> Iterator[bytes]:
        block = self.blocks.pop(index)
        came = "".join(self.pieces.pop(index))
        if block["type"] == "thinking":
            self.keep("thinking_blocks", {**block, "thinking": block["thinking"] + came})
        elif block["type"] == "redacted_thinking":
            self.keep("thinking_blocks", block)
        elif block["type"] == "tool_use":
            if not came:
                yield self.chunk(self.arguments(index, orjson.dumps(block["input"]).decode()))
        elif block["type"] != "text":
            whole = {**block, "input": load_object(came.encode())} if came else block
            self.keep("provider_blocks", whole)

    def keep(self, field: str, item: Object) -> None:
        self.beside.setdefault(field, []).append(item)

    def finish(self, delta: Object, usage: Object) -> Iterator[bytes | ChatChunk]:
        # The counts are cumulative, and those that did not change may be left out.
        self.usage.update({name: count for name, count in usage.items() if count is not None})
        if delta.get("stop_reason") is None:
            return
        self.finished = True
        if self.beside:
            yield self.chunk(self.beside)
            self.beside = {}
        reason = finish_reason_of(delta["stop_reason"])
        refusal = refusal_of(delta.get("stop_details")) if reason == "content_filter" else None
        last = {"refusal": refusal} if refusal else {}
        yield ChatChunk(completion_chunk(self.request, last, reason), usage_of(self.usage), reason)

    def stop(self) -> Iterator[ChatChunk]:
        if not self.finished:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, "the upstream's stream stopped without a stop reason"
            )
        self.stopped = True
        if usage := usage_of(self.usage):
            last = completion_chunk(self.request, None, usage=usage)
            yield ChatChunk(last, usage, usage_only=True)
