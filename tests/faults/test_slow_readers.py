"""Clients that read slowly cost little memory, and nobody else's time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .measures import MIB, at_rest, memory_bytes, percentile, replies_for
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, kill_all, until, written_config
from .raw_clients import post_bytes

READ_BYTES_PER_S = 1024
RECEIVE_BUFFER_BYTES = 2048
TICK_S = 0.1
CLIENT_BYTES = 256 * 1024
FLOOD = Order(chunks=100_000, chunk_chars=50_000, pace_s=0.005)
"""10 MB a second, as long as anybody takes it."""
HEALTHY = 4
REST_SHARE = 0.5
"""Of a core. The buffers of kernel and gateway fill up first, at the full speed of all streams."""


@dataclass(frozen=True)
class Size:
    readers: int
    rounds: int
    round_s: float
    stay_s: float
    """How long the readers of the last round go on."""
    slower: float | None
    """By how much the others' p99 may be worse, if that can be told in such a short time."""


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(40, 1, 0.5, 0.0, None), id="short"),
        pytest.param(Size(200, 6, 5.0, 75.0, 0.10), id="long", marks=pytest.mark.soak),
    ],
)


class SlowReaders:
    """Each takes a little of its stream every so often."""

    def __init__(self, port: int, wishes: list[Wish]) -> None:
        self.read_bytes = [0] * len(wishes)
        self._sockets = [self._calling(port, wish) for wish in wishes]

    def _calling(self, port: int, wish: Wish) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.connect(("127.0.0.1", port))
        sock.sendall(post_bytes(wish.body))
        sock.setblocking(False)
        return sock

    async def read(self) -> None:
        """Until it is cancelled."""
        while True:
            for number, sock in enumerate(self._sockets):
                try:
                    piece = sock.recv(int(READ_BYTES_PER_S * TICK_S))
                except BlockingIOError:
                    continue
                self.read_bytes[number] += len(piece)
            await asyncio.sleep(TICK_S)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@asynccontextmanager
async def slow_readers(
    gateway: GatewayProcess, prefix: str, count: int
) -> AsyncIterator[SlowReaders]:
    """They are there, their buffers are full, and the gateway has nothing to do with them."""
    wishes = [Wish(user, FLOOD, stream=True, model="elsewhere") for user in users(prefix, count)]
    readers = SlowReaders(gateway.port, wishes)
    reading = asyncio.ensure_future(readers.read())
    try:
        await until(lambda: all(readers.read_bytes), 60, "first bytes")
        await at_rest(gateway.process.pid, REST_SHARE, 60)
        yield readers
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        readers.close()


class Comparison:
    """Healthy calls, in turns with and without slow readers beside them."""

    def __init__(self, gateway: GatewayProcess, flood: UpstreamProcess, size: Size) -> None:
        self._gateway = gateway
        self._flood = flood
        self._size = size
        self.alone: list[Reply] = []
        self.beside: list[Reply] = []
        self.more_bytes = 0
        self.cut = 0
        """Slow streams that the gateway broke off. Their clients may not know for an hour, with
        megabytes still on the way to them; the upstream does."""

    async def run(self) -> None:
        size, pid = self._size, self._gateway.process.pid
        async with Clients(self._gateway.root) as clients:
            await self._healthy(clients, "warm")
            before_bytes = memory_bytes(pid)
            for number in range(size.rounds):
                self.alone += await self._healthy(clients, f"alone{number}")
                async with slow_readers(self._gateway, f"slow{number}", size.readers):
                    await self._let_in_again(clients, f"again{number}")
                    self.beside += await self._healthy(clients, f"beside{number}")
                    if number == size.rounds - 1:
                        await asyncio.sleep(size.stay_s)
                    self.more_bytes = max(self.more_bytes, memory_bytes(pid) - before_bytes)
                    self.cut += self._left(f"slow{number}")
                await at_rest(pid, REST_SHARE, 60)

    def _left(self, prefix: str) -> int:
        visited = self._flood.visited().items()
        return sum(bool(visit.left_s) for user, visit in visited if user.startswith(prefix))

    async def _let_in_again(self, clients: Clients, prefix: str) -> None:
        """Filling all buffers at full speed is overload, and for half a second after it new calls
        are shed: what is measured is the time in which the readers merely stay."""
        for number in range(20):
            if all(r.complete for r in await self._healthy(clients, f"{prefix}.{number}")):
                return
        raise AssertionError("the gateway did not come to rest")

    async def _healthy(self, clients: Clients, prefix: str) -> list[Reply]:
        return await replies_for(clients, prefix, self._size.round_s, HEALTHY, Wish(""))

    @property
    def slower(self) -> float:
        """p99 with slow readers as a part of p99 without, less one."""
        alone, beside = (
            percentile([reply.duration_s for reply in replies], 0.99)
            for replies in (self.alone, self.beside)
        )
        return beside / alone - 1


@SIZES
async def test_slow_readers_cost_little_memory_and_nobody_else_time(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"slow readers: {size.readers} SSE clients at 1 KiB/s, upstream at 10 MB/s",
        "≤ 256 KiB more memory a client; p99 of healthy clients ≤ +10 %",
    )
    flood = UpstreamProcess(tmp_path / "flood")
    config = written_config(tmp_path, upstream.root, flood.root)
    gateway = GatewayProcess(config, tmp_path / "state")
    comparison = Comparison(gateway, flood, size)
    try:
        await flood.start()
        await gateway.start()
        await comparison.run()
    finally:
        kill_all([gateway, flood])
    a_client = comparison.more_bytes / size.readers
    healthy = [*comparison.alone, *comparison.beside]
    failed = [reply for reply in healthy if not reply.complete]
    found(
        f"{a_client / 1024:.0f} KiB a client ({comparison.more_bytes / MIB:.0f} MiB in all); p99 "
        f"{comparison.slower:+.0%} ({len(healthy):,} calls, {len(failed)} failed); "
        f"{comparison.cut} of the slow streams broken off"
    )
    assert failed == []
    assert a_client <= CLIENT_BYTES
    assert comparison.cut == 0
    assert size.slower is None or comparison.slower <= size.slower
