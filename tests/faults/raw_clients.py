"""Clients that are driven by hand: bytes on a socket, as slow, as rude or as idle as it takes."""

import asyncio
import resource
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from tests.end_to_end.gateway_process import KEY

from .calls import Wish
from .fault_proxy import RESET

KEPT_BYTES = 64 * 1024
DIAL_AT_ONCE = 200
SPARE_DESCRIPTORS = 500


def post_bytes(body: bytes, declared_bytes: int | None = None) -> bytes:
    """A chat call as it stands on the wire, with a length that may be a lie."""
    length = len(body) if declared_bytes is None else declared_bytes
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
        b"content-length: %d\r\n\r\n%b" % (KEY.encode(), length, body)
    )


@dataclass(eq=False)
class RawClient(asyncio.Protocol):
    """One connection. What comes is counted, and its beginning kept."""

    wish: Wish | None = None
    received_bytes: int = 0
    beginning: bytes = b""
    """The first of what came."""
    opened_s: float = 0.0
    heard_s: float = 0.0
    """When something came last."""
    closed_s: float | None = None
    """When the connection ended, whoever ended it."""
    reset: bool = False
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.opened_s = time.monotonic()

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        self.received_bytes += len(data)
        if len(self.beginning) < KEPT_BYTES:
            self.beginning += data
        self._change.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_s = time.monotonic()
        self.reset = isinstance(exc, ConnectionResetError)
        self._change.set()

    @property
    def status(self) -> int | None:
        return int(self.beginning[9:12]) if len(self.beginning) > 12 else None

    async def has_come(self, mark: bytes, count: int = 1) -> None:
        """Wait until the answer so far has the mark so many times."""
        while self.beginning.count(mark) < count:
            assert self.closed_s is None, f"closed before {mark!r}: {self.beginning!r}"
            self._change.clear()
            await self._change.wait()

    async def has_ended(self) -> float:
        """Wait until the connection is closed; for how long nothing had come before."""
        while self.closed_s is None:
            self._change.clear()
            await self._change.wait()
        return self.closed_s - (self.heard_s or self.opened_s)

    def hang_up(self, *, rudely: bool) -> float:
        """Close, with a reset if ``rudely``; when that was."""
        if rudely:
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        left_s = time.monotonic()
        self.transport.abort()
        return left_s


async def dial(port: int, clients: Iterable[RawClient]) -> list[RawClient]:
    """Connect them all, so many at once that no queue of the kernel's overflows."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(DIAL_AT_ONCE)

    async def one(client: RawClient) -> RawClient:
        async with gate:
            await loop.create_connection(lambda: client, "127.0.0.1", port)
        return client

    return await asyncio.gather(*map(one, clients))


def may_open(wanted: int) -> int:
    """As many connections of those as the system allows a process, once it is asked for more."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - SPARE_DESCRIPTORS)
