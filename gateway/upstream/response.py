"""An answer whose body is read once: whole, or piece by piece straight from the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.errors import CallError, Outcome

from .decoding import Inflater

BUFFER_BYTES = 64 * 1024
"""What an answer may hold before somebody reads it; then its socket is paused."""


class Wire(Protocol):
    """The connection that an answer comes from, as far as the answer uses it."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...


class Response:
    """``UpstreamResponse`` of a pooled connection, which feeds it from the parser's callbacks.

    The connection lets go of it at the last byte, so an answer that nobody closes costs no
    connection, and a late ``close`` cannot touch the next exchange.
    """

    __slots__ = (
        "_buffered_bytes", "_ended", "_error", "_inflater", "_loop", "_paused", "_pieces",
        "_receive", "_taken", "_waiter", "_wire", "headers", "status",
    )  # fmt: skip

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._wire: Wire | None = wire
        self._loop = loop
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        self._receive: Callable[[bytes], None] | None = None
        self._inflater: Inflater | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._paused = False
        self._taken = False

    async def head(self) -> None:
        """Wait for status and headers. Raises the CallError that came instead."""
        await self._wait()
        if self._error is not None and not self.status:
            raise self._error

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises CallError(UPSTREAM_GARBLED) above ``max_bytes``."""
        if self._ended and self._inflater is None and self._buffered_bytes <= max_bytes:
            self._take()
            return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        pieces: list[bytes] = []
        size = 0

        def collect(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size > max_bytes:
                raise CallError(
                    Outcome.UPSTREAM_GARBLED,
                    f"The upstream's answer is larger than {max_bytes} bytes.",
                )
            pieces.append(piece)

        await self.pump(collect)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def first(self) -> bytes:
        """Wait for the next piece of the body; ``b""`` at its end. May precede ``pump``."""
        while True:
            if self._pieces:
                data = self._unpack(b"".join(self._pieces))
                self._pieces.clear()
                self._buffered_bytes = 0
                if data:
                    return data
            if self._error is not None:
                raise self._error
            if self._ended:
                self._finish_unpacking()
                return b""
            if self._wire is not None and not self._paused:
                self._wire.resume()
            await self._wait()

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        """Call ``receive`` with each piece as it arrives; return at the end of the body."""
        self._take()
        self._receive = self._unpacking(receive)
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            if self._receive is not None:
                self.feed(piece)
        if self._wire is not None and not self._paused:
            self._wire.resume()
        if not self._ended and self._error is None:
            await self._wait()
        self._receive = None
        if self._error is not None:
            raise self._error
        self._finish_unpacking()

    def pause(self) -> None:
        """Stop reading from the socket until ``resume``; the idle clock stops too."""
        self._paused = True
        if self._wire is not None:
            self._wire.pause()

    def resume(self) -> None:
        self._paused = False
        if self._wire is not None:
            self._wire.resume()

    def close(self) -> None:
        """Cut the connection unless the whole body has come; it is back in its pool then."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
            self.fail(CallError(Outcome.UPSTREAM_CUT, "The answer was closed before its end."))
        self._pieces.clear()

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """The head is here."""
        encoding = headers.get("content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            try:
                self._inflater = Inflater(encoding)
            except CallError as error:
                return self._refuse(error)
            del headers["content-encoding"]
            headers.pop("content-length", None)
        self.status = status
        self.headers = headers
        self._wake()

    def feed(self, piece: bytes) -> None:
        """A piece of the body is here."""
        receive = self._receive
        if receive is not None:
            try:
                receive(piece)
            except BaseException as error:
                self._refuse(error)
            return
        self._pieces.append(piece)
        self._buffered_bytes += len(piece)
        if self._buffered_bytes > BUFFER_BYTES and self._wire is not None:
            self._wire.pause()
        self._wake()

    def end(self) -> None:
        """The body is complete, and the connection has moved on."""
        self._wire = None
        self._ended = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more will come; whoever waits or reads gets ``error``."""
        self._wire = None
        if self._error is None and not self._ended:
            self._error = error
        self._wake()

    def _take(self) -> None:
        if self._taken:
            raise RuntimeError("an upstream's answer is read once")
        self._taken = True

    def _refuse(self, error: BaseException) -> None:
        wire = self._wire
        self._error = error
        self._receive = None
        self._wire = None
        if wire is not None:
            wire.abort()
        self._wake()

    def _unpacking(self, receive: Callable[[bytes], None]) -> Callable[[bytes], None]:
        inflater = self._inflater
        if inflater is None:
            return receive
        return lambda piece: inflater.feed(piece, receive)

    def _unpack(self, data: bytes) -> bytes:
        if self._inflater is None:
            return data
        pieces: list[bytes] = []
        try:
            self._inflater.feed(data, pieces.append)
        except CallError:
            self.close()
            raise
        return b"".join(pieces)

    def _finish_unpacking(self) -> None:
        if self._inflater is not None:
            self._inflater.finish()

    def _wake(self) -> None:
        # The error travels beside the future, not in it: a future whose waiter was cancelled
        # would log its exception as lost.
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None
