"""Clients, upstreams and gateways that go at any moment: in the end the books agree."""

import asyncio
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from .audit import audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Ending, Order
from .processes import GatewayProcess, UpstreamProcess, from_within, until, written_config

CLOSED_WITHIN_S = 60.0
QUICK_LEASE_S = 3
AT_ONCE = 40
ENDINGS: Mapping[Ending, int] = {
    "whole": 12, "cut": 2, "reset": 2, "error": 2, "garbage": 1, "never": 1,
}  # fmt: skip
"""In twentieths."""
WORKERS = 2


@dataclass(frozen=True)
class Size:
    calls: int
    deaths: int
    """Of a gateway's worker and of the upstream, so many each."""
    answered_share: float = 0.25
    """So many are answered in full at least, or the campaign has shown nothing."""
    quick: bool = False
    """Who is dead is known sooner than by default."""


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(200, 1, answered_share=0.1, quick=True), id="short"),
        pytest.param(Size(10_000, 15), id="long", marks=pytest.mark.soak),
    ],
)


def any_call(user: str, chance: random.Random) -> Wish:
    """A call of any kind, that ends in any way, whose client stays or leaves."""
    order = Order(
        after_s=chance.choice([0.0, 0.02, 0.2]),
        chunks=chance.randint(2, 30),
        pace_s=chance.choice([0.0, 0.01, 0.03]),
        ending=chance.choices(list(ENDINGS), list(ENDINGS.values()))[0],
    )
    leaves = order.ending == "never" or chance.random() < 0.3
    return Wish(
        user,
        order,
        stream=chance.random() < 0.5,
        model=chance.choice(["writer", "two-homes"]),
        leaves_after_s=chance.uniform(0.0, chance.choice([0.03, 0.5])) if leaves else None,
    )


class Deaths:
    """Kills the upstream and a worker of the gateway in turn, spread over the calls."""

    def __init__(self, upstream: UpstreamProcess, gateway: GatewayProcess, size: Size) -> None:
        self._upstream = upstream
        self._gateway = gateway
        self._every = size.calls // (2 * size.deaths + 1)
        self._calls = 0
        self._lock = asyncio.Lock()
        self.upstreams = self.workers = 0

    async def after_a_call(self, _: Reply) -> None:
        """While one is dead, clients without a call wait: the others are what it is about."""
        self._calls += 1
        dies = self._calls % self._every == 0
        async with self._lock:
            if dies:
                await (self._kill_upstream() if self._turn() else self._kill_worker())

    def _turn(self) -> bool:
        return self.upstreams < self.workers

    async def _kill_upstream(self) -> None:
        self.upstreams += 1
        self._upstream.kill()
        await self._upstream.start()

    async def _kill_worker(self) -> None:
        self.workers += 1
        before = self._gateway.worker_ids()
        os.kill(random.choice(before), signal.SIGKILL)
        await until(lambda: self._all_there(before), 60, "another worker")

    def _all_there(self, before: list[int]) -> bool:
        now = self._gateway.worker_ids()
        return len(now) == WORKERS and now != before


@SIZES
async def test_the_books_agree_after_random_deaths(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    config = written_config(tmp_path, upstream.root)
    environ = from_within(tmp_path, lease_s=QUICK_LEASE_S) if size.quick else {}
    gateway = GatewayProcess(config, tmp_path / "state", environ, workers=WORKERS)
    chance = random.Random(20261122)
    deaths = Deaths(upstream, gateway, size)
    try:
        await gateway.start()
        wishes = (any_call(user, chance) for user in users("any", size.calls))
        async with Clients(gateway.root) as clients:
            replies = await clients.by_turns(wishes, AT_ONCE, deaths.after_a_call)
        closed_s = await until(
            lambda: open_holds(gateway.database_url) == 0, CLOSED_WITHIN_S, "all holds closed"
        )
        report = audit(gateway.database_url, upstream.billed(), replies)
        complete = sum(reply.complete for reply in replies)
        assert len(replies) == size.calls
        note(
            f"{size.calls:,} calls, clients and upstreams that fail, {deaths.upstreams} deaths of "
            f"the upstream, {deaths.workers} of a worker of two",
            f"{complete:,} answered in full, {report.calls:,} in the ledger; "
            f"{len(report.lost)} billed and not charged, {report.open_holds} open holds after "
            f"{closed_s:.0f} s, {len(report.differences)} differences; {report.exact:,} charged to "
            "the token, the others at what was counted or at their bound, none below what was "
            "billed",
        )
        assert report.faults() == {}
        assert complete > size.answered_share * size.calls
    finally:
        gateway.kill()
