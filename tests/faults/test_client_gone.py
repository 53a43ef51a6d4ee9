"""A client goes away: its upstream is hung up on at once, and what came by then is written down."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from .audit import audit, open_holds
from .calls import Wish, users
from .conftest import Goal
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config
from .raw_clients import RawClient, dial, post_bytes

SILENT = Order(after_s=60)
TALKING = Order(chunks=2000, pace_s=0.02)
LEAVE_WITHIN_S = 0.5


@dataclass(frozen=True)
class Size:
    calls: int
    at_once: int
    within_s: float


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(45, 45, within_s=20.0), id="short"),
        pytest.param(Size(1000, 100, within_s=0.25), id="long", marks=pytest.mark.soak),
    ],
)


async def no_answer_yet(client: RawClient) -> None:
    assert client.received_bytes == 0


async def in_the_middle(client: RawClient) -> None:
    await client.has_come(b'"content":"word', 3)


KINDS: Mapping[str, tuple[Order, bool, Callable[[RawClient], Awaitable[None]]]] = {
    "before the first token": (SILENT, True, no_answer_yet),
    "in the middle of a stream": (TALKING, True, in_the_middle),
    "not streaming": (SILENT, False, no_answer_yet),
}
"""What the upstream does, whether it is a stream, and what to wait for before leaving."""


class Leaving:
    """Clients that leave, some of each kind, and when each of them did."""

    def __init__(self, upstream: UpstreamProcess, port: int, chance: random.Random) -> None:
        self._upstream = upstream
        self._port = port
        self._chance = chance
        self.left_s: dict[str, float] = {}

    async def crowd(self, names: list[str]) -> None:
        """All of them call; once every call is with the upstream they leave, one by one."""
        kinds = list(KINDS.values())
        wishes = [
            Wish(name, kinds[number % len(kinds)][0], stream=kinds[number % len(kinds)][1])
            for number, name in enumerate(names)
        ]
        clients = await dial(self._port, map(RawClient, wishes))
        for client, wish in zip(clients, wishes, strict=True):
            client.transport.write(post_bytes(wish.body))
        known = self._upstream.visited
        await until(lambda: all(name in known() for name in names), 60, "calls under way")
        ready = [kinds[number % len(kinds)][2] for number in range(len(names))]
        await asyncio.gather(*map(self._leave, clients, ready))

    async def _leave(
        self, client: RawClient, ready: Callable[[RawClient], Awaitable[None]]
    ) -> None:
        await ready(client)
        await asyncio.sleep(self._chance.uniform(0, LEAVE_WITHIN_S))
        assert client.wish is not None
        assert client.closed_s is None
        self.left_s[client.wish.user] = client.hang_up(rudely=self._chance.random() < 0.5)

    async def hung_up_on(self) -> list[float]:
        """How long after its client each of the calls left the upstream, sorted."""
        visited = self._upstream.visited
        await until(
            lambda: all(visited()[user].left_s for user in self.left_s), 60, "upstreams left"
        )
        return sorted(visited()[user].left_s[0] - left_s for user, left_s in self.left_s.items())


@SIZES
async def test_an_upstream_is_left_as_soon_as_the_client_has_gone(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        "client goes away (" + ", ".join(KINDS) + ")",
        f"upstream socket closed ≤ {size.within_s * 1000:.0f} ms in {size.calls:,} of "
        f"{size.calls:,}, each with its ledger row",
    )
    gateway = GatewayProcess(written_config(tmp_path, upstream.root), tmp_path / "state")
    names = list(users("gone", size.calls))
    try:
        await gateway.start()
        leaving = Leaving(upstream, gateway.port, random.Random(20261123))
        for begin in range(0, size.calls, size.at_once):
            await leaving.crowd(names[begin : begin + size.at_once])
        delays_s = await leaving.hung_up_on()
        await until(lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed")
        report = audit(gateway.database_url, upstream.billed(), [])
        in_time = sum(delay_s <= size.within_s for delay_s in delays_s)
        found(
            f"{in_time:,} of {len(delays_s):,} in time, the last after {delays_s[-1] * 1000:.0f} "
            f"ms; {report.calls:,} rows"
        )
        assert in_time == size.calls
        assert report.calls == size.calls
        assert report.faults() == {}
        assert all(len(visit.asked_s) == 1 for visit in upstream.visited().values())
    finally:
        gateway.kill()
