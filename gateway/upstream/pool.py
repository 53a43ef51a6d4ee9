"""The gateway's own HTTP client: keep-alive connections to the origins of one provider."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from functools import lru_cache, partial

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts, UpstreamRequest

from .connection import Connection
from .dialing import Dialer, Proxy
from .request_head import Origin, write_head
from .response import Response

_HEADS_KEPT = 256
_ORIGINS_KEPT = 64
_SWEEP_S = 1.0


class ConnectionPool:
    """An ``Upstream``: last used, first lent out, so that few connections stay warm.

    **What may be sent twice: nothing.** A request that an upstream took may be billed, so it is
    written to one connection only. The pool moves on to another connection solely when not one
    byte left on the first (see ``Connection.send``); a kept-alive connection that dies after the
    write, even without a byte of answer, is UPSTREAM_CUT. What makes that rare is not to use
    such connections: one whose end was seen is dropped, an idle one is retired after 15 s (or a
    second before the upstream's own ``Keep-Alive: timeout``), and each is peeked at before use.

    It lives on the event loop that first uses it. ``max_connections`` counts for each origin.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        ssl_context: ssl.SSLContext | None = None,
        proxy_url: str | None = None,
    ) -> None:
        proxy = Proxy(proxy_url) if proxy_url else None
        self._max_connections = max_connections
        self._dialer = Dialer(ssl_context, proxy)
        self._head_of = lru_cache(_HEADS_KEPT)(
            partial(
                write_head,
                absolute=proxy is not None,
                proxy_authorization=proxy.authorization if proxy else None,
            )
        )
        self._berths: dict[Origin, _Berth] = {}
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections that are open or being opened, to all origins together."""
        return sum(berth.taken for berth in self._berths.values())

    async def send(self, request: UpstreamRequest, timeouts: Timeouts) -> Response:
        """See ``Upstream.send``. Cancelling it closes the connection at once."""
        head = self._head_of(request.method, request.url, request.headers)
        berth = self._berths.get(head.origin) or self._new_berth(head.origin)
        now_s = berth.loop.time()
        total_at_s = now_s + timeouts.total_s
        while True:
            connection = berth.idle_connection(now_s)
            if connection is None:
                connection = await berth.wait_for_connection(timeouts, now_s)
            response = connection.send(head, request.body, timeouts, total_at_s)
            if response is not None:
                await response.head()
                return response
            if not connection.reused:
                raise CallError(
                    Outcome.UPSTREAM_UNREACHABLE,
                    f"The upstream {connection.peer} closed the connection as soon as it opened.",
                )

    async def close(self) -> None:
        """Cut every connection, in flight or idle; later requests are refused."""
        self._closed = True
        for berth in self._berths.values():
            berth.close()
        await asyncio.sleep(0)  # the loop closes sockets one step after it is told to

    def _new_berth(self, origin: Origin) -> _Berth:
        if self._closed:
            raise CallError(Outcome.UPSTREAM_UNREACHABLE, "The gateway is shutting down.")
        if len(self._berths) >= _ORIGINS_KEPT:
            self._berths = {o: b for o, b in self._berths.items() if b.taken}
        berth = self._berths[origin] = _Berth(origin, self._max_connections, self._dialer)
        return berth


class _Berth:
    """The connections to one origin, and the queue for them."""

    def __init__(self, origin: Origin, max_connections: int, dialer: Dialer) -> None:
        self.taken = 0
        """Connections that are open or being opened; never above the cap."""
        self.loop = asyncio.get_running_loop()
        self._origin = origin
        self._peer = str(origin)
        self._max_connections = max_connections
        self._dialer = dialer
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def idle_connection(self, now_s: float) -> Connection | None:
        """The one that was used last, if it is still good."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable(now_s):
                return connection
            connection.abort()
        return None

    async def wait_for_connection(self, timeouts: Timeouts, started_at_s: float) -> Connection:
        """Open a connection, or wait for one where the cap is reached.

        Both together take ``connect_s`` at most. Raises CallError(UPSTREAM_UNREACHABLE).
        """
        limit_s = min(timeouts.connect_s, timeouts.total_s)
        waiting_for_cap = False
        try:
            async with asyncio.timeout_at(started_at_s + limit_s):
                while self.taken >= self._max_connections:
                    waiting_for_cap = True
                    connection = await self._wait_turn()
                    waiting_for_cap = False
                    if connection is None:
                        return await self._dial()
                    if connection.is_usable(started_at_s):
                        return connection
                    if connection in self._open:  # spoilt on its way here; its slot is ours
                        self._open.discard(connection)
                        connection.abort()
                        return await self._dial()
                self._refuse_if_closed()
                self.taken += 1
                return await self._dial()
        except TimeoutError:
            what = (
                f"All {self._max_connections} connections to the upstream {self._peer} "
                f"(its max_connections) were in use for {limit_s:g} s."
                if waiting_for_cap
                else f"Connecting to the upstream {self._peer} timed out after {limit_s:g} s."
            )
            raise CallError(
                Outcome.UPSTREAM_UNREACHABLE, what, from_upstream=not waiting_for_cap
            ) from None
        except OSError as error:
            raise CallError(
                Outcome.UPSTREAM_UNREACHABLE,
                f"The upstream {self._peer} cannot be reached: {_reason(error)}.",
            ) from None

    def connection_idle(self, connection: Connection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def connection_gone(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._free_slot()

    def close(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        while self._waiters:
            self.taken += 1  # the waiter gives it back when it finds the pool closed
            self._free_slot()
        for connection in list(self._open):
            connection.cut(CallError(Outcome.UPSTREAM_CUT, "The gateway is shutting down."))

    async def _wait_turn(self) -> Connection | None:
        """A connection, or None for the right to open one: its slot is already counted."""
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_back(waiter.result())
            raise

    def _give_back(self, connection: Connection | None) -> None:
        if connection is None:
            self._free_slot()
        elif connection.is_usable(self.loop.time()):
            self.connection_idle(connection)
        else:
            connection.abort()

    def _free_slot(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.taken -= 1

    async def _dial(self) -> Connection:
        """Open a connection in a slot that is already counted."""
        connection = Connection(self, self._peer, self.loop)
        self._open.add(connection)
        try:
            self._refuse_if_closed()
            await self._dialer.dial(self._origin, connection)
            self._refuse_if_closed()
        except BaseException:
            connection.abort()
            raise
        return connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise CallError(Outcome.UPSTREAM_UNREACHABLE, "The gateway is shutting down.")

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self.loop.time()
        idle, self._idle = self._idle, []
        for connection in idle:
            if connection.is_usable(now_s):
                self._idle.append(connection)
            else:
                connection.abort()
        if self._idle:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused, {error.verify_message.rstrip('.')}"
    return str(error.strerror or error).rstrip(".")
