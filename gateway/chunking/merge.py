"""Texts put together in the order of the script, and sent on as soon as they can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import orjson

from gateway.contracts import Client
from gateway.journey import Journey
from gateway.openai_wire import dump_event
from gateway.schema import NO_USAGE

DELTA_CHARS = 4096
"""Of text in one event at most."""
LOOP_CHARS = 128 * 1024
"""Longer answers are made into JSON in a worker thread."""

Object = dict[str, Any]


class Ordering:
    """Stretches of the script, decided in any order and given out in theirs.

    They have to join to the script from its beginning; what was given out is let go.
    """

    def __init__(self, end: int) -> None:
        """``end``: characters in the script."""
        self._end = end
        self._at = 0
        self._ready: dict[int, tuple[int, str]] = {}
        self._more = asyncio.Event()

    def decide(self, start: int, end: int, text: str) -> None:
        """What stands in the answer for this stretch."""
        self._ready[start] = end, text
        if start == self._at:
            self._more.set()

    async def next(self) -> str | None:
        """The text of the next stretch, once it is decided; None at the end."""
        if self._at >= self._end:
            return None
        while self._at not in self._ready:
            self._more.clear()
            await self._more.wait()
        self._at, text = self._ready.pop(self._at)
        return text


class Answering(Protocol):
    """What an answer has to know of the call."""

    journey: Journey
    model: str
    """Which the answer is from, in its own words."""

    async def in_a_thread(self, work: Callable[[Object], bytes], given: Object) -> bytes: ...


class Merged(Protocol):
    """An answer as it is put together."""

    async def add(self, text: str) -> None:
        """More of it. The first time, whatever its head says has to be known."""

    async def finish(self, metadata: Object) -> None:
        """It is complete; the journey knows the usage of all of it."""


class WholeAnswer:
    """One JSON body."""

    def __init__(self, whole: Answering, client: Client) -> None:
        self._whole = whole
        self._journey = whole.journey
        self._client = client
        self._texts: list[str] = []

    async def add(self, text: str) -> None:
        self._texts.append(text)

    async def finish(self, metadata: Object) -> None:
        chars = sum(map(len, self._texts))
        if chars > LOOP_CHARS:
            body = await self._whole.in_a_thread(self._body, metadata)
        else:
            body = self._body(metadata)
        await self._client.send_answer(self._journey, body)

    def _body(self, metadata: Object) -> bytes:
        message = {"role": "assistant", "content": "".join(self._texts)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return orjson.dumps(
            {
                **_facts(self._journey, self._whole.model, "chat.completion"),
                "choices": [choice],
                "usage": _usage(self._journey),
                "daobo": metadata,
            }
        )


class StreamedAnswer:
    """Events, each as soon as it may leave, and no sooner than the client takes them."""

    def __init__(self, whole: Answering, client: Client) -> None:
        self._whole = whole
        self._journey = whole.journey
        self._client = client
        self._top: Object = {}
        self._has_begun = False

    async def add(self, text: str) -> None:
        for piece in pieces_of(text):
            await self._send({"content": piece})

    async def finish(self, metadata: Object) -> None:
        if not self._has_begun:
            await self._send({"content": ""})
        last = self._event({}, "stop", daobo=metadata)
        if self._journey.call.include_usage:
            last += dump_event({**self._top, "choices": [], "usage": _usage(self._journey)})
        await self._write(last)
        await self._client.end_stream(self._journey)

    async def _send(self, delta: Object) -> None:
        if self._has_begun:
            await self._write(self._event(delta))
            return
        self._has_begun = True
        self._top = _facts(self._journey, self._whole.model, "chat.completion.chunk")
        role = self._event({"role": "assistant", "content": ""})
        await self._client.begin_stream(self._journey, role + self._event(delta))

    async def _write(self, data: bytes) -> None:
        if self._client.write(data):
            # Sections that were decided long ago come all at once: others may have their turn.
            await asyncio.sleep(0)
            return
        drained = asyncio.Event()
        self._client.when_drained(drained.set)
        await drained.wait()

    def _event(self, delta: Object, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return dump_event({**self._top, "choices": [choice], **more})


def pieces_of(text: str, size: int = DELTA_CHARS) -> Iterator[str]:
    """They join to the text."""
    for at in range(0, len(text), size):
        yield text[at : at + size]


def _facts(journey: Journey, model: str, kind: str) -> Object:
    """What all chunks of an answer have in common."""
    call = journey.call
    return {
        "id": f"chatcmpl-{call.id}",
        "object": kind,
        "created": int(call.started_at_s),
        "model": model,
    }


def _usage(journey: Journey) -> Object:
    return (journey.usage or NO_USAGE).to_openai()
