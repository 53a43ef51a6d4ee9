"""Carries a stream from the upstream's socket to the client's, in the callback that read it.

No queue and no task switch lies between the two: a read is cut into events, translated and
written on. When the client is slow its full buffer stops the reading of the upstream.

Three things an upstream may do are dealt with here, for every provider. It may say that it begins
and then fail: what says nothing is held back, so that another target can be tried. It may be done
and not end: its finish reason starts a clock. And it may keep its connection alive with comments
and never say anything: they are counted as life only as long as ``content_s`` allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import orjson

from gateway.contracts import UpstreamResponse
from gateway.errors import CallError, Outcome
from gateway.framing import EventSplitter
from gateway.journey import Journey
from gateway.schema import ChatChunk, ChatRequest, Event, Timeouts

from .commitment import FILTERED, finished_choices, says_something
from .translation import Translation

FAREWELL_S = 0.25
"""How long a body may go on after its terminal event. A body that ends in time leaves its
connection for the next call; one that never ends must not keep the client waiting."""
MAX_HELD_BYTES = 64 * 1024
"""What is held back while nothing is said; more of it leaves all the same."""

Chunks = list[bytes | ChatChunk]


class Sink(Protocol):
    """Where a stream goes: the part of ``Client`` that a relay uses."""

    async def begin_stream(self, journey: Journey, first: bytes) -> None: ...

    def write(self, data: bytes) -> bool: ...

    def when_drained(self, resume: Callable[[], None]) -> None: ...


class Relay:
    """One stream on its way from ``response`` to ``client``."""

    def __init__(
        self,
        journey: Journey,
        request: ChatRequest,
        translation: Translation,
        response: UpstreamResponse,
        client: Sink,
        timeouts: Timeouts,
        clock: Callable[[], float],
    ) -> None:
        self._journey = journey
        self._translation = translation
        self._response = response
        self._client = client
        self._timeouts = timeouts
        self._clock = clock
        self._splitter = EventSplitter()
        # A call for a whole answer is told its usage in any case.
        self._usage_wanted = journey.call.include_usage or not journey.call.stream
        choices = request.body.get("n")
        self._choices = max(choices, 1) if isinstance(choices, int) else 1
        self._finished: set[int] = set()
        """The choices that have their finish reason."""
        self._barren_since_s: float | None = None
        self._ending: asyncio.TimerHandle | None = None
        """Closes the response of a stream that has no more to say."""
        self._overdue = False
        self._paused = False

    async def run(self) -> None:
        """Relay to the end. Raises CallError; nothing was sent if it comes before the client's
        stream has begun."""
        try:
            first = await self._first_events()
            self._journey.first_token_s = self._clock()
            await self._client.begin_stream(self._journey, first)
            await self._pump_rest()
            if not self._translation.done:
                self._write(self._last_events())
                self._translation.raise_error()
        finally:
            if self._ending is not None:
                self._ending.cancel()
            self._translation.close()
        if self._journey.finish_reason is None:
            raise _cut()

    async def _first_events(self) -> bytes:
        """The first events for the client, up to one that says something: until there is one,
        another target may be tried."""
        held = b""
        while data := await self._first_data():
            chunks = self._translation.feed(self._splitter.feed(data))
            self._translation.raise_error()
            held += self._accept(chunks)
            if any(map(says_something, chunks)) or len(held) > MAX_HELD_BYTES:
                return held
            if self._translation.done:
                break
            self._check_barren()
            self._watch_end(chunks)
        held += self._last_events()
        self._translation.raise_error()
        return self._whole_but_empty(held)

    async def _first_data(self) -> bytes:
        try:
            return await self._response.first()
        except CallError:
            if self._overdue:
                return b""
            raise

    def _whole_but_empty(self, held: bytes) -> bytes:
        """A stream that has ended and said nothing. Raises CallError unless it was meant so."""
        if not held:
            raise CallError(Outcome.UPSTREAM_CUT, "the upstream's stream ended without an answer")
        if self._journey.finish_reason is None:
            raise _cut()
        if self._journey.finish_reason == FILTERED:
            raise CallError(
                Outcome.CONTENT_POLICY, "the upstream's content filter left nothing of the answer"
            )
        return held

    async def _pump_rest(self) -> None:
        if self._translation.done:
            self._end_within(FAREWELL_S)
        else:
            self._watch_end([])
        try:
            await self._response.pump(self._receive)
        except CallError:
            self._translation.raise_error()
            if not self._translation.done and not self._overdue:
                raise
            # The answer was complete; how its connection ended changes nothing.

    def _receive(self, data: bytes) -> None:
        translation = self._translation
        if translation.done:
            return
        chunks = translation.feed(self._splitter.feed(data))
        if chunks:
            self._barren_since_s = None
            self._write(self._accept(chunks))
        else:
            self._check_barren()
        if translation.done:
            translation.raise_error()
            self._end_within(FAREWELL_S)
        elif self._finished:
            self._watch_end(chunks)

    def _last_events(self) -> bytes:
        """What is left at the end of the body, or in a stream that was overdue."""
        if not self._overdue:
            events = [event for event in self._splitter.flush() if _is_whole(event)]
            out = self._accept(self._translation.feed(events))
            return out + self._accept(self._translation.finish())
        try:
            return self._accept(self._translation.finish())
        except CallError:
            return b""  # it lacks nothing but its terminal event, which was waited for

    def _check_barren(self) -> None:
        """Called for what says nothing. Raises CallError(UPSTREAM_TIMEOUT)."""
        limit_s = self._timeouts.content_s
        if limit_s is None:
            return
        now_s = self._clock()
        if self._barren_since_s is None:
            self._barren_since_s = now_s
        elif now_s - self._barren_since_s > limit_s:
            raise CallError(
                Outcome.UPSTREAM_TIMEOUT,
                f"The upstream kept its stream open for {limit_s:g} s and said nothing.",
            )

    def _watch_end(self, chunks: Chunks) -> None:
        """Once every choice has its finish reason the end is near, unless text goes on."""
        if len(self._finished) < self._choices:
            return
        if self._ending is None or any(map(says_something, chunks)):
            self._end_within(self._timeouts.stream_end_s)

    def _end_within(self, seconds: float) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(seconds, self._stop)

    def _stop(self) -> None:
        if self._paused and not self._translation.done:
            return  # the end may be there, unread, until the client has caught up
        self._overdue = True
        self._response.close()

    def _write(self, data: bytes) -> None:
        if data and not self._client.write(data):
            self._paused = True
            self._response.pause()
            self._client.when_drained(self._resume)

    def _resume(self) -> None:
        self._paused = False
        if self._ending is not None and not self._translation.done:
            self._end_within(self._timeouts.stream_end_s)
        self._response.resume()

    def _accept(self, chunks: Chunks) -> bytes:
        """The bytes for the client; what the chunks tell goes into the journey."""
        journey = self._journey
        journey.chunks += len(chunks)
        if len(chunks) == 1 and type(chunks[0]) is bytes:
            out = chunks[0]
        else:
            out = b"".join([c if isinstance(c, bytes) else self._note(c) for c in chunks])
        journey.chunk_bytes += len(out)
        return out

    def _note(self, chunk: ChatChunk) -> bytes:
        journey = self._journey
        journey.usage = chunk.usage or journey.usage
        if chunk.finish_reason is not None:
            journey.finish_reason = chunk.finish_reason
            self._finished |= finished_choices(chunk) if self._choices > 1 else {0}
        return chunk.data if self._usage_wanted or not chunk.usage_only else b""


def _is_whole(event: Event) -> bool:
    """A last event without its blank line may have been cut in two: half of one is none."""
    if not event.data or event.data[:6] == b"[DONE]":
        return True
    try:
        orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return False
    return True


def _cut() -> CallError:
    return CallError(
        Outcome.UPSTREAM_CUT, "the upstream's stream ended before the answer was complete"
    )
