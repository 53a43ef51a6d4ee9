"""A gateway is killed with calls under way: its next start, or its neighbour, settles them."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .audit import audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import (
    GatewayProcess,
    UpstreamProcess,
    from_within,
    kill_all,
    until,
    written_config,
)

CLOSED_WITHIN_S = 60.0
QUICK_LEASE_S = 3
BESIDES = 8
"""Clients whose calls end while the others' are under way."""
MORE = 200
"""So many short calls at most come before the kill, so that it never hits at the same moment."""


@dataclass(frozen=True)
class Size:
    in_flight: int
    kills: int
    quick: bool = False
    """Who is dead is known sooner than by default."""

    def __str__(self) -> str:
        return f"{self.kills} x {self.in_flight:,}"


SHORT = pytest.param(Size(80, 1, quick=True), id="short")
LONG = pytest.param(Size(1000, 20), id="long", marks=[pytest.mark.soak])
PAIR = pytest.param(Size(300, 5), id="long", marks=[pytest.mark.soak])


def long_calls(prefix: str, count: int) -> list[Wish]:
    """Streams and whole answers that nobody waits for to their end."""
    return [
        Wish(
            user,
            Order(after_s=60) if number % 2 else Order(chunks=200, pace_s=0.5),
            stream=not number % 2,
            model=random.choice(["writer", "two-homes"]),
        )
        for number, user in enumerate(users(prefix, count))
    ]


class Kill:
    """One kill in the middle of calls."""

    def __init__(self, upstream: UpstreamProcess, gateway: GatewayProcess) -> None:
        self._upstream = upstream
        self._gateway = gateway
        self._done = False

    async def during(self, clients: Clients, prefix: str, in_flight: int) -> list[Reply]:
        """Kill the gateway once so many calls are with the upstream; what the clients saw."""
        wishes = long_calls(prefix, in_flight)
        waiting = {wish.user for wish in wishes}

        async def kill_in_the_middle() -> list[Reply]:
            await until(lambda: waiting <= self._upstream.billed().keys(), 120, "calls under way")
            asked = len(self._upstream.billed()) + random.randint(0, MORE)
            await until(lambda: len(self._upstream.billed()) >= asked, 60, "short calls")
            self._gateway.kill()
            self._done = True
            return []

        groups = await asyncio.gather(
            clients.all(wishes),
            clients.by_turns(self._short_calls(f"{prefix}-short"), BESIDES),
            kill_in_the_middle(),
        )
        return [reply for group in groups for reply in group]

    def _short_calls(self, prefix: str) -> Iterator[Wish]:
        for user in users(prefix):
            if self._done:
                return
            yield Wish(user, Order(after_s=random.uniform(0, 0.1)), stream=random.random() < 0.5)


@pytest.mark.parametrize("size", [SHORT, LONG])
async def test_a_restart_settles_what_a_kill_interrupted(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    config = written_config(tmp_path, upstream.root)
    environ = from_within(tmp_path, lease_s=QUICK_LEASE_S) if size.quick else {}
    gateway = GatewayProcess(config, tmp_path / "state", environ)
    replies: list[Reply] = []
    slowest_s = 0.0
    try:
        for number in range(size.kills):
            await gateway.start()
            async with Clients(gateway.root) as clients:
                kill = Kill(upstream, gateway)
                replies += await kill.during(clients, f"kill{number:02d}", size.in_flight)
            assert open_holds(gateway.database_url) >= size.in_flight
            await gateway.start()
            slowest_s = max(slowest_s, await _holds_closed(gateway.database_url))
            gateway.kill()
        report = audit(gateway.database_url, upstream.billed(), replies)
        note(
            f"SIGKILL with calls in flight ({size}), restart; SQLite",
            f"{report.calls:,} calls in the ledger, {len(report.lost)} lost, "
            f"{len(report.doubled)} doubled; every hold closed {slowest_s:.0f} s after the "
            "restart at the latest",
        )
        assert report.faults() == {}
    finally:
        gateway.kill()


@pytest.mark.parametrize("size", [PAIR])
async def test_the_neighbour_settles_what_a_kill_interrupted(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, postgres_url: str, note: Note
) -> None:
    environ = {"DAOBO_DATABASE_URL": postgres_url}
    config = written_config(tmp_path, upstream.root)
    gateways = [GatewayProcess(config, tmp_path / name, environ) for name in ("one", "other")]
    doomed, neighbour = gateways
    replies: list[Reply] = []
    slowest_s = 0.0
    try:
        await neighbour.start()
        for number in range(size.kills):
            await doomed.start()
            async with Clients(doomed.root) as clients:
                kill = Kill(upstream, doomed)
                replies += await kill.during(clients, f"kill{number:02d}", size.in_flight)
            slowest_s = max(slowest_s, await _holds_closed(neighbour.database_url))
        report = audit(neighbour.database_url, upstream.billed(), replies)
        note(
            f"SIGKILL with calls in flight ({size}), not restarted, a second process on the same "
            "database; PostgreSQL",
            f"{report.calls:,} calls in the ledger, {len(report.lost)} lost, "
            f"{len(report.doubled)} doubled; every hold closed {slowest_s:.0f} s after the kill "
            "at the latest",
        )
        assert report.faults() == {}
    finally:
        kill_all(gateways)


async def _holds_closed(database_url: str) -> float:
    return await until(lambda: open_holds(database_url) == 0, CLOSED_WITHIN_S, "all holds closed")
