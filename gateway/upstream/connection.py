"""One HTTP/1.1 connection: writes a request, parses the answer, keeps the clock.

https://www.rfc-editor.org/rfc/rfc9112 (read 2026-11-22).
"""

from __future__ import annotations

import asyncio
import select
import socket
from math import inf
from typing import Protocol, cast

import httptools

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts

from .alarm import Alarm
from .answer_fields import keep_alive_of, lower_name, size_of
from .request_head import RequestHead
from .response import Response

MAX_HEAD_BYTES = 64 * 1024
_JOIN_BYTES = 64 * 1024
"""Up to here copying a body behind its head is cheaper than a second buffer."""
_ARRIVALS = memoryview(bytearray(32 * 1024))
"""Where each read goes, of every connection: it is parsed before the loop reads again. What a slow
client's answer grows by before its upstream is paused is no more than this (uvloop alone would read
256 KiB at once)."""


class Owner(Protocol):
    """Who lends connections out."""

    def connection_idle(self, connection: Connection) -> None:
        """The exchange is over and the connection may carry another."""

    def connection_gone(self, connection: Connection) -> None:
        """The connection is closed or closing. Told exactly once."""


class Connection(asyncio.BufferedProtocol):
    """Carries one exchange at a time."""

    __slots__ = (
        "_alarm", "_barren_bytes", "_ended", "_first_byte_s", "_gone", "_head_seen", "_headers",
        "_idle_s", "_informational", "_loop", "_method", "_owner", "_parser", "_paused", "_pieces",
        "_readable", "_response", "_reusable", "_total_at_s", "_total_s", "_transport",
        "_unsent_bytes", "_until_eof", "_writing", "expires_at_s", "peer", "reused",
    )  # fmt: skip

    def __init__(self, owner: Owner, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        self.peer = peer
        """``host:port`` for messages."""
        self.reused = False
        self.expires_at_s = inf
        """Loop time after which it is not lent out again."""
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._alarm = Alarm(loop, self._too_late)
        self._total_at_s = inf
        self._writing = self._gone = self._paused = False
        self._unsent_bytes = 0
        self._pieces: list[bytes] = []

    def is_usable(self, now_s: float) -> bool:
        """Nothing speaks against another request: not old, not closed, nothing to read.

        The poll costs half a microsecond and sees a close that the loop has not come round to.
        """
        return not self._gone and now_s < self.expires_at_s and not self._readable.poll(0)

    def send(
        self, head: RequestHead, body: bytes, timeouts: Timeouts, total_at_s: float
    ) -> Response | None:
        """Write a request; None is proof that not one byte of it left.

        The proof: both loops write to the socket before ``write`` returns, and they mark a plain
        transport as closing there and then if the first system call fails. A later failure
        leaves some of the request out, and a TLS transport does not tell when it failed; whether
        the upstream took the request then counts as unknown.
        """
        transport = self._transport
        if self._gone or transport is None or transport.is_closing():
            self.abort()
            return None
        response = self._response = Response(self, self._loop)
        self._method = head.method
        self._headers: dict[str, str] = {}
        self._head_seen = self._ended = self._informational = self._until_eof = False
        self._reusable = False
        self._barren_bytes = 0
        self._first_byte_s = timeouts.first_byte_s
        self._idle_s = timeouts.idle_s
        self._total_s = timeouts.total_s
        self._total_at_s = total_at_s
        if len(body) <= _JOIN_BYTES:
            transport.write(head.joined_with(body))
        else:
            transport.writelines((head.before(body), body))
        if transport.is_closing():
            self._response = None
            self.abort()
            return None
        if self._writing:
            self._unsent_bytes = transport.get_write_buffer_size()
            self._expect_within(timeouts.idle_s)
        else:
            self._expect_within(timeouts.first_byte_s)
        return response

    def pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
            self._alarm.set(self._total_at_s)

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
            self._expect_within(self._idle_s)

    def abort(self) -> None:
        """Close at once, without a word to whoever waits. Idempotent."""
        self._response = None
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    def cut(self, error: CallError) -> None:
        """Close at once and tell whoever waits."""
        response = self._response
        self.abort()
        if response is not None:
            response.fail(error)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # pause_writing so means "not all of it is with the kernel yet"; with a limit of 0 uvloop's
        # TLS transport would be paused for ever.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def watch(self, sock: socket.socket) -> None:
        """Tell of the socket under the transport; it is only ever polled."""
        self._readable.register(sock, select.POLLIN)

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False
        if self._response is not None and not self._head_seen:
            self._expect_within(self._first_byte_s)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _ARRIVALS

    def buffer_updated(self, nbytes: int) -> None:
        self._received(_ARRIVALS[:nbytes])

    def _received(self, data: memoryview) -> None:
        response = self._response
        if response is None or self._parser is None:
            self.abort()  # nobody asked
            return
        self._barren_bytes += len(data)
        fault = self._parse(data)
        if self._pieces:
            # All of one read together: a stream's events come in a chunk each, and every piece
            # handed on would become a write of its own.
            body, self._pieces = b"".join(self._pieces), []
            response.feed(body)
        if fault is not None and not self._ended and self._response is response:
            self._garbled(fault)
        if self._response is not response:
            return
        if self._ended:
            self._finish(response)
        elif self._barren_bytes > MAX_HEAD_BYTES:
            self._garbled(f"over {MAX_HEAD_BYTES} bytes of head or framing")
        elif self._head_seen and not self._paused:
            self._expect_within(self._idle_s)

    def _parse(self, data: memoryview) -> str | None:
        """Feed the parser; what is wrong with the bytes, if anything is."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            return str(error) or "an upgrade that nobody asked for"
        return None

    def eof_received(self) -> None:
        response = self._response
        if response is not None and self._head_seen and self._until_eof:
            self._reusable = False
            self._finish(response)
        else:
            self._closed_by_peer("closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed_by_peer("reset the connection" if exc else "closed the connection")
        self._parser = None
        self._transport = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._ended:
            self._reusable = False  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_seen:
            return  # a trailer
        key = lower_name(name)
        text = value.decode("latin-1").strip(" \t")
        headers = self._headers
        if key in headers:
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None or self._head_seen:
            return
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                return self._garbled("an upgrade that nobody asked for")
            self._informational = True
            self._headers = {}
            return
        headers = self._headers
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            return self._garbled("a transfer coding other than chunked")
        if self._barren_bytes > MAX_HEAD_BYTES and size_of(headers) > MAX_HEAD_BYTES:
            return self._garbled(f"a head of over {MAX_HEAD_BYTES} bytes")
        self._head_seen = True
        if self._method == "HEAD":
            self._ended = True  # the parser would wait for the body that the head speaks of
        else:
            self._reusable = parser.should_keep_alive()
            self._until_eof = coding is None and "content-length" not in headers
        response.begin(status, headers)

    def on_body(self, piece: bytes) -> None:
        if self._response is not None and not self._ended:
            self._barren_bytes = 0
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
        else:
            self._ended = True

    def _finish(self, response: Response) -> None:
        self._response = None
        self._alarm.clear()
        transport = self._transport
        keep_alive_s = keep_alive_of(self._headers.get("keep-alive")) if self._reusable else 0.0
        if keep_alive_s <= 0 or self._writing or transport is None or transport.is_closing():
            self.abort()
        else:
            if self._paused:
                self._paused = False
                transport.resume_reading()
            self.expires_at_s = self._loop.time() + keep_alive_s
            self.reused = True
            self._owner.connection_idle(self)
        response.end()

    def _closed_by_peer(self, what: str) -> None:
        where = "in the middle of its answer" if self._head_seen_now() else "before it answered"
        self.cut(CallError(Outcome.UPSTREAM_CUT, f"The upstream {self.peer} {what} {where}."))

    def _head_seen_now(self) -> bool:
        return self._response is not None and self._head_seen

    def _garbled(self, what: str) -> None:
        self.cut(
            CallError(
                Outcome.UPSTREAM_GARBLED, f"The upstream {self.peer} does not speak HTTP: {what}."
            )
        )

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._alarm.cancel()
            self._owner.connection_gone(self)

    def _expect_within(self, seconds: float) -> None:
        deadline_s = self._loop.time() + seconds
        self._alarm.set(deadline_s if deadline_s < self._total_at_s else self._total_at_s)

    def _too_late(self) -> None:
        if self._writing and self._transport is not None:
            unsent_bytes = self._transport.get_write_buffer_size()
            if unsent_bytes < self._unsent_bytes and self._loop.time() < self._total_at_s:
                self._unsent_bytes = unsent_bytes
                return self._expect_within(self._idle_s)
        self.cut(CallError(Outcome.UPSTREAM_TIMEOUT, self._why_late()))

    def _why_late(self) -> str:
        if self._alarm.deadline_s >= self._total_at_s:
            return f"The upstream {self.peer} did not finish within {self._total_s:g} s."
        if self._writing:
            return f"The upstream {self.peer} took nothing of the request for {self._idle_s:g} s."
        if not self._head_seen:
            return f"The upstream {self.peer} did not answer within {self._first_byte_s:g} s."
        return f"The upstream {self.peer} fell silent for {self._idle_s:g} s within its answer."
