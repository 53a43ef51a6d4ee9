"""Takes all connections that wait, in every turn of the event loop.

uvloop takes one connection in a turn. While turns are long, because there is much to do, a thousand
new clients would wait for seconds before anybody reads their requests, let alone refuses them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

MAX_IN_A_TURN = 64
"""A connection costs some 50 microseconds."""
PAUSE_S = 1.0
"""How long nobody is let in after the process has run out of descriptors."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger("daobo")


class Acceptor:
    """Lets clients in at a socket that is bound; ``make_protocol`` makes who talks to each."""

    def __init__(
        self, bound: socket.socket, backlog: int, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        """Raises OSError if the address is taken."""
        self._socket = bound
        self._backlog = backlog
        self._make_protocol = make_protocol
        self._arrivals: set[asyncio.Future[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        bound.setblocking(False)
        bound.listen(backlog)
        self._watch()

    async def stop(self) -> None:
        """Let nobody in any more; whoever is in stays. Idempotent."""
        if self._socket.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        else:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._take(self._backlog)  # whoever waits already would be reset
        self._socket.close()
        await asyncio.gather(*self._arrivals)

    def _watch(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._socket, self._take, MAX_IN_A_TURN)

    def _take(self, most: int) -> None:
        for _ in range(most):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            arrival = asyncio.ensure_future(self._let_in(connection))
            self._arrivals.add(arrival)
            arrival.add_done_callback(self._arrivals.discard)

    def _rest(self, error: OSError) -> None:
        """Without a pause, a socket that stays ready would keep the loop busy with failing."""
        if error.errno not in _EXHAUSTED:
            raise error
        loop = asyncio.get_running_loop()
        if loop.remove_reader(self._socket):
            self._pause = loop.call_later(PAUSE_S, self._watch)
        log.error("no connection can be taken", problem=str(error))

    async def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:  # it left at once
            connection.close()
