"""An upstream closes connections that are kept alive, whenever it likes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from .audit import audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .fault_proxy import Fault
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config
from .proxy_process import proxy_process

AT_ONCE = 20
SEED = 20261123
PER_CALLS = 10_000
THINKS_S = (0.0, 0.0, 0.005, 0.02)
"""The upstream, before it answers."""
SIZES = pytest.mark.parametrize(
    "calls",
    [
        pytest.param(200, id="short"),
        pytest.param(PER_CALLS, id="long", marks=pytest.mark.soak),
    ],
)


@dataclass
class Habit:
    """When the upstream closes, which model is asked for, and what came of it."""

    name: str
    idle_s: tuple[float, float]
    model: str
    replies: list[Reply] = field(default_factory=list)
    closed: int = 0

    @property
    def failed(self) -> int:
        return sum(not reply.complete for reply in self.replies)

    def __str__(self) -> str:
        return f"{self.name}: {self.closed:,} closed, {self.failed} visible errors"

    def wishes(self, calls: int, chance: random.Random) -> Iterator[Wish]:
        for user in users(self.name.replace(" ", "-"), calls):
            yield Wish(user, Order(after_s=chance.choice(THINKS_S)), model=self.model)


def habits() -> tuple[Habit, Habit, Habit]:
    """Some milliseconds are what lies between two of these calls on a connection."""
    return (
        Habit("within two seconds", (0.0, 2.0), "writer"),
        Habit("within 30 ms", (0.0, 0.03), "two-homes"),
        Habit("within 30 ms and with one target only", (0.0, 0.03), "writer"),
    )


@SIZES
async def test_a_connection_that_the_upstream_closed_is_not_noticed_by_clients(
    calls: int, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"keep-alive closed by the upstream while it is idle, at random; three times {calls:,} "
        "calls",
        "≤ 1 visible error in 10,000, nothing billed twice",
    )
    chance = random.Random(SEED)
    gateway = GatewayProcess(tmp_path / "gateway.yaml", tmp_path / "state")
    rare, often, alone = measured = habits()
    try:
        for number, habit in enumerate(measured):
            async with proxy_process(upstream.port, Fault(idle_s=habit.idle_s), SEED) as proxy:
                write = partial(written_config, tmp_path, proxy.root)
                if number == 0:
                    write()
                    await gateway.start()
                else:
                    await gateway.reload(write)
                async with Clients(gateway.root) as clients:
                    habit.replies = await clients.by_turns(habit.wishes(calls, chance), AT_ONCE)
            habit.closed = proxy.ended.get("idle", 0)
        await until(lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed")
    finally:
        gateway.kill()
    replies = [reply for habit in measured for reply in habit.replies]
    report = audit(gateway.database_url, upstream.billed(), replies)
    twice = [user for user, bill in upstream.billed().items() if bill.times > 1]
    found(
        f"{rare}; {often}; {alone}, because the request may have been taken and is not sent "
        f"to the same target twice; {len(twice)} billed twice; {report.exact:,} of "
        f"{len(replies):,} charged to the token, the others at their bound"
    )
    assert often.closed > calls // 20
    assert twice == []
    assert report.faults() == {}
    assert often.failed <= 1
    assert rare.failed <= 1
