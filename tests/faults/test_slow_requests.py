"""Clients that are slow on purpose are hung up on; the others do not notice."""

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, kill_all, until, written_config
from .raw_clients import RawClient, dial, may_open, post_bytes

HEALTHY = 4
DRIP_S = 0.25
BODY_BYTES = 200_000
FLOOD = Order(chunks=100_000, chunk_chars=20_000, pace_s=0.01)
"""Far more than all buffers on the way take."""
RECEIVE_BUFFER_BYTES = 2048
STALLED_SHARE = 0.9
"""So many get their stream at least: on a busy machine some may be shed at the door."""


@dataclass(frozen=True)
class Size:
    heads: int
    bodies: int
    stalled: int
    head_s: float = 15.0
    body_s: float = 30.0
    write_s: float = 60.0
    late_s: float = 1.0
    """How much later than its deadline a timer may ring, and be heard of."""

    @property
    def server(self) -> dict[str, float]:
        return {
            "head_timeout_s": self.head_s,
            "body_timeout_s": self.body_s,
            "write_timeout_s": self.write_s,
        }


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(40, 40, 10, 1.0, 1.0, 1.0, late_s=20.0), id="short"),
        pytest.param(Size(1950, 1950, 100), id="long", marks=pytest.mark.soak),
    ],
)


@dataclass
class Attack:
    """Slow clients of three kinds, and how long each of them was borne."""

    gateway: GatewayProcess
    flood: UpstreamProcess
    size: Size
    heads: list[RawClient] = field(default_factory=list)
    bodies: list[RawClient] = field(default_factory=list)
    stalled: list[socket.socket] = field(default_factory=list)

    async def begin(self) -> None:
        size, port = self.size, self.gateway.port
        self.heads = await dial(port, (RawClient() for _ in range(size.heads)))
        self.bodies = await dial(port, (RawClient() for _ in range(size.bodies)))
        for client in self.heads:
            client.transport.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
        for client in self.bodies:
            client.transport.write(post_bytes(b'{"model":', BODY_BYTES))
        self.stalled = [self._stalled(user) for user in users("stalled", size.stalled)]

    def _stalled(self, user: str) -> socket.socket:
        """Asks for a stream and never reads a byte of it."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.connect(("127.0.0.1", self.gateway.port))
        sock.sendall(post_bytes(Wish(user, FLOOD, stream=True, model="elsewhere").body))
        return sock

    async def drip(self) -> None:
        """A byte for each connection, now and then, until they are all closed."""
        open_ones = [*self.heads, *self.bodies]
        while open_ones:
            for client in open_ones:
                client.transport.write(b"x")
            await asyncio.sleep(DRIP_S)
            open_ones = [client for client in open_ones if client.closed_s is None]

    async def wait(self) -> dict[str, list[float]]:
        """How long each lasted, by kind. Whom nobody reads from learns of nothing: how long a
        stalled stream lasted is what the upstream says."""
        size = self.size
        limit_s = max(size.head_s, size.body_s) + 30
        await asyncio.wait_for(self.drip(), limit_s)
        visited = self.flood.visited
        names = [name for name in users("stalled", size.stalled) if name in visited()]
        assert len(names) >= STALLED_SHARE * size.stalled
        await until(
            lambda: all(visited()[name].left_s for name in names), size.write_s + 30, "all cut"
        )
        return {
            "head": [(c.closed_s or 0) - c.opened_s for c in self.heads],
            "body": [(c.closed_s or 0) - c.opened_s for c in self.bodies],
            "write": [visited()[name].left_s[0] - visited()[name].asked_s[0] for name in names],
        }

    def close(self) -> None:
        for sock in self.stalled:
            sock.close()


async def healthy_meanwhile(clients: Clients, over: asyncio.Event) -> list[Reply]:
    def wishes() -> Iterator[Wish]:
        for number, user in enumerate(users("healthy")):
            if over.is_set():
                return
            yield Wish(user, Order(after_s=0.02), stream=number % 2 == 0)

    return await clients.by_turns(wishes(), HEALTHY)


@SIZES
async def test_who_is_slow_on_purpose_is_hung_up_on(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    count = size.heads + size.bodies + size.stalled
    assert may_open(count) == count
    found = goal(
        f"slow heads ({size.heads:,}), slow bodies ({size.bodies:,}) and stalled readers "
        f"({size.stalled}): {count:,} connections",
        f"closed ≤ {size.head_s:g} s (head), ≤ {size.body_s:g} s (body below the minimum rate), "
        f"≤ {size.write_s:g} s (stalled write); healthy clients 100 %",
    )
    flood = UpstreamProcess(tmp_path / "flood")
    config = written_config(tmp_path, upstream.root, flood.root, server=size.server)
    gateway = GatewayProcess(config, tmp_path / "state")
    attack = Attack(gateway, flood, size)
    over = asyncio.Event()

    async def attacked() -> dict[str, list[float]]:
        try:
            await attack.begin()
            return await attack.wait()
        finally:
            over.set()

    try:
        await flood.start()
        await gateway.start()
        async with Clients(gateway.root) as clients:
            began_s = time.monotonic()
            replies, lasted_s = await asyncio.gather(healthy_meanwhile(clients, over), attacked())
            took_s = time.monotonic() - began_s
    finally:
        attack.close()
        kill_all([gateway, flood])
    whole = sum(reply.complete for reply in replies)
    last = ", ".join(f"{kind} ≤ {max(all_s):.1f} s" for kind, all_s in lasted_s.items())
    found(
        f"closed: {last}; {whole:,} of {len(replies):,} healthy calls answered in these "
        f"{took_s:.0f} s"
    )
    assert whole == len(replies) > 0
    deadlines_s = {"head": size.head_s, "body": size.body_s, "write": size.write_s}
    for kind, all_s in lasted_s.items():
        assert max(all_s) <= deadlines_s[kind] + size.late_s, kind
        assert min(all_s) >= deadlines_s[kind] / 2, kind
