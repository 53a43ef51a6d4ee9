"""An answer inside the process that behaves like one on a socket: it waits, stalls and breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway import CallError, Outcome, Timeouts

from .replies import Reply


class InProcessResponse:
    """Fills ``UpstreamResponse``. ``deadline`` is a time of the event loop's clock."""

    def __init__(self, reply: Reply, timeouts: Timeouts, deadline: float) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply
        self._pieces = iter(reply.pieces)
        self._sent = 0
        self._timeouts = timeouts
        self._deadline = deadline
        self._closed = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def read(self, max_bytes: int) -> bytes:
        body = bytearray()

        def receive(piece: bytes) -> None:
            body.extend(piece)
            if len(body) > max_bytes:
                raise CallError(
                    Outcome.UPSTREAM_GARBLED, f"the answer is longer than {max_bytes} bytes"
                )

        await self.pump(receive)
        return bytes(body)

    async def first(self) -> bytes:
        async with self._until_deadline():
            return await self._next()

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        try:
            async with self._until_deadline():
                while piece := await self._next():
                    receive(piece)
        finally:
            self.close()

    async def _next(self) -> bytes:
        """The next piece after its delay, ``b""`` at the end of the body."""
        await self._wait(self._reply.piece_delay_s if self._sent else 0.0)
        if self._closed:
            raise CallError(Outcome.UPSTREAM_CUT, "the connection was closed")
        piece = next(self._pieces, b"")
        if piece and self._sent == self._reply.cut_after:
            raise CallError(
                Outcome.UPSTREAM_CUT, f"the connection broke after {self._sent} chunks (rehearsed)"
            )
        self._sent += 1
        return piece

    async def _wait(self, delay_s: float) -> None:
        idle_s = self._timeouts.idle_s
        await asyncio.sleep(min(delay_s, idle_s))
        if delay_s > idle_s:
            raise CallError(Outcome.UPSTREAM_TIMEOUT, f"nothing came for {idle_s:g} s")
        await self._flowing.wait()

    @asynccontextmanager
    async def _until_deadline(self) -> AsyncIterator[None]:
        deadline = asyncio.timeout_at(self._deadline)
        try:
            async with deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise CallError(
                Outcome.UPSTREAM_TIMEOUT,
                f"the answer was not complete after {self._timeouts.total_s:g} s",
            ) from None

    def pause(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self._closed = True
        self._flowing.set()
