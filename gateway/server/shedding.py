"""A connection that refuses calls unread while there is too much to do.

What is refused here never reaches the parser, so the connection has to know by itself where
requests end. It does as long as each is as plain as ``glance`` wants it and none comes before the
last one is answered. Whoever sends something else is dealt with by the door, and known again after
a plain request of which the parser has seen the same.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from .glance import Glance, glance
from .listener import Connection
from .turnstile import LetIn, Turnstile


class SheddingConnection(Connection):
    """Only while calls are being shed does it look at what comes; otherwise it costs two
    comparisons."""

    __slots__ = ("_is_idle", "_is_skipping", "_left_bytes", "_let_in", "_turnstile")

    def __init__(self, turnstile: Turnstile, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turnstile = turnstile
        self._left_bytes: int | None = 0
        """Up to the end of the request that is coming; None if that is not known."""
        self._is_skipping = False
        """What is coming belongs to a request that was refused."""
        self._is_idle = True
        """All requests that the parser has seen came whole, and are answered."""
        self._let_in: LetIn | None = None

    @property
    def was_let_in(self) -> bool:
        """The request that is being answered was asked about here, and need not be at the door."""
        return self._let_in is not None

    def has_arrived(self) -> None:
        """The call that was let in is about to be in flight, or is over."""
        if self._let_in is not None:
            self._let_in.leave()
            self._let_in = None

    def data_received(self, data: bytes) -> None:
        if self._is_skipping:
            data = self._skip(data)
            if not data:
                return
        if data:  # aiohttp calls with nothing to have the parser go on
            if self._turnstile.overload.is_tight:
                self._look_and_receive(data)
                return
            self._left_bytes = None
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._is_idle = False

    def _skip(self, data: bytes) -> bytes:
        """What stands behind the body of a call that was refused."""
        assert self._left_bytes is not None
        behind = data[self._left_bytes :]
        self._left_bytes = max(0, self._left_bytes - len(data))
        self._is_skipping = self._left_bytes > 0
        return behind

    def _look_and_receive(self, data: bytes) -> None:
        if self._left_bytes:
            left_bytes = self._left_bytes - len(data)
            self._left_bytes = left_bytes if left_bytes >= 0 else None
            self._receive(data)
            return
        seen = glance(data) if self._may_be_refused() else None
        if seen is None:
            self._left_bytes = None
            self._receive(data)
            return
        if self._left_bytes == 0:
            told = self._turnstile.ask(seen.authorization)
            if isinstance(told, bytes):
                self._refuse(told, data, seen)
                return
            self._let_in = told
        self._receive(data)
        self._left_bytes = self._left_of(seen, len(data))

    def _may_be_refused(self) -> bool:
        return (
            self._is_idle
            and not self._upgraded
            and not (self.writing_paused or self._reading_paused or self._buffer_paused)
            and not (self._close or self._force_close)
        )

    def _left_of(self, seen: Glance, received_bytes: int) -> int | None:
        """How much of the request is still to come, if the parser agrees about its head: had it
        been in the middle of another one, it would have found more fields, or none."""
        if len(self._messages) != 1 or received_bytes > seen.total_bytes:
            return None
        message = self._messages[0][0]
        if isinstance(message, _ErrInfo) or len(message.raw_headers) != seen.fields:
            return None
        return seen.total_bytes - received_bytes

    def _refuse(self, answer: bytes, data: bytes, seen: Glance) -> None:
        assert self.transport is not None
        self.transport.write(answer)
        self._head_began_s = None
        self._next_keepalive_close_time = self._loop.time()
        left_bytes = seen.total_bytes - len(data)
        self._is_skipping = left_bytes > 0
        if left_bytes >= 0:
            self._left_bytes = left_bytes
        else:  # one refusal a read is cheap; whoever sends many at once takes the parser's pace
            self._left_bytes = None
            self._receive(data[seen.total_bytes :])

    def _has_answered(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self.has_arrived()
        came_whole = request.content.is_eof() and not self._messages
        self._is_idle = came_whole and bool(response.keep_alive)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.has_arrived()
        super().connection_lost(exc)
