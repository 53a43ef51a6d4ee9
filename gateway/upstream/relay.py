"""Carries a stream from the upstream's socket to the client's, in the callback that read it.

No queue and no task switch lies between the two: a read is cut into events, translated and
written on. When the client is slow its full buffer stops the reading of the upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.contracts import Client, UpstreamResponse
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import ChatChunk, Event

from .framing import EventSplitter
from .translation import Translation

FAREWELL_S = 0.25
"""How long a body may go on after its terminal event. A body that ends in time leaves its
connection for the next call; one that never ends must not keep the client waiting."""


class Relay:
    """One stream on its way from ``response`` to ``client``."""

    def __init__(
        self,
        journey: Journey,
        translation: Translation,
        response: UpstreamResponse,
        client: Client,
        clock: Callable[[], float],
    ) -> None:
        self._journey = journey
        self._translation = translation
        self._response = response
        self._client = client
        self._clock = clock
        self._splitter = EventSplitter()
        self._farewell: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Relay to the end. Raises CallError; nothing was sent if ``client.started`` is False."""
        try:
            first = await self._first_events()
            await self._client.begin_stream(self._journey, first)
            await self._pump_rest()
            if not self._translation.done:
                self._write(self._take(self._splitter.flush()))
                self._write(self._accept(self._translation.finish()))
                self._translation.raise_error()
        finally:
            self._translation.close()
        if self._journey.finish_reason is None:
            raise CallError(
                Outcome.UPSTREAM_CUT, "the upstream's stream ended before the answer was complete"
            )

    async def _pump_rest(self) -> None:
        if self._translation.done:
            self._say_farewell()
        try:
            await self._response.pump(self._receive)
        except CallError:
            self._translation.raise_error()
            if not self._translation.done:
                raise
            # The answer was complete; how its connection ended changes nothing.
        finally:
            if self._farewell is not None:
                self._farewell.cancel()

    async def _first_events(self) -> bytes:
        """The first events for the client: until they exist, another target may be tried."""
        while data := await self._response.first():
            out = self._take(self._splitter.feed(data))
            self._translation.raise_error()
            if out:
                return out
            if self._translation.done:
                break
        out = self._take(self._splitter.flush()) + self._accept(self._translation.finish())
        self._translation.raise_error()
        if not out:
            raise CallError(Outcome.UPSTREAM_CUT, "the upstream's stream ended without an answer")
        return out

    def _receive(self, data: bytes) -> None:
        translation = self._translation
        if translation.done:
            return
        self._write(self._take(self._splitter.feed(data)))
        if translation.done:
            translation.raise_error()
            self._say_farewell()

    def _say_farewell(self) -> None:
        loop = asyncio.get_running_loop()
        self._farewell = loop.call_later(FAREWELL_S, self._response.close)

    def _write(self, data: bytes) -> None:
        if data and not self._client.write(data):
            self._response.pause()
            self._client.when_drained(self._response.resume)

    def _take(self, events: list[Event]) -> bytes:
        return self._accept(self._translation.feed(events))

    def _accept(self, chunks: list[bytes | ChatChunk]) -> bytes:
        """The bytes for the client; what the chunks tell goes into the journey."""
        journey = self._journey
        if chunks and journey.first_token_s is None:
            journey.first_token_s = self._clock()
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
        journey.finish_reason = chunk.finish_reason or journey.finish_reason
        return b"" if chunk.usage_only and not journey.call.include_usage else chunk.data
