"""An upstream that always fails is not asked much more often than clients ask."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .audit import audit, open_holds
from .calls import Clients, Wish, users
from .conftest import Goal
from .measures import percentile
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config

AT_ONCE = 20
RETRIES = 0.2
MAX_ATTEMPTS = 3
DEADLINE_S = 1.0
LATE_S, SLACK_S = 0.25, 30.0
"""How much later the last error may be heard of, in the long form and on a busy machine."""
SLOWLY = Order(after_s=0.4, ending="error")
"""Three of these one after the other would take longer than the deadline."""


@dataclass(frozen=True)
class Size:
    calls: int
    hasty: int
    """Calls with a deadline."""
    late_s: float


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(150, 20, SLACK_S), id="short"),
        pytest.param(Size(5000, 200, LATE_S), id="long", marks=pytest.mark.soak),
    ],
)


def failing(calls: int, chance: random.Random) -> Iterator[Wish]:
    for user in users("fails", calls):
        order = Order(ending=chance.choice(["error", "reset", "garbage"]))
        model = chance.choice(["writer", "two-homes"])
        yield Wish(user, order, stream=chance.random() < 0.5, model=model)


@SIZES
async def test_an_upstream_that_always_fails_is_not_asked_much_more_often(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"upstream fails always ({size.calls:,} calls; {size.hasty} with a deadline of "
        f"{DEADLINE_S:g} s)",
        "≤ 1.2 upstream calls for each client call, ≤ 3 attempts, one owner of retries, one "
        "deadline",
    )
    config = written_config(
        tmp_path,
        upstream.root,
        max_attempts=MAX_ATTEMPTS,
        retries={"budget": RETRIES, "backoff_s": 0.05},
        tasks={"hasty": {"models": ["two-homes"], "deadline_s": DEADLINE_S}},
    )
    gateway = GatewayProcess(config, tmp_path / "state")
    try:
        await gateway.start()
        async with Clients(gateway.root) as clients:
            # First, while every target is still believed in and may be tried.
            hasty = [Wish(user, SLOWLY, model="hasty") for user in users("hasty", size.hasty)]
            hurried = await clients.by_turns(hasty, AT_ONCE)
            wishes = failing(size.calls, random.Random(20261123))
            replies = await clients.by_turns(wishes, AT_ONCE)
        await until(lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed")
    finally:
        gateway.kill()
    asked = {user: len(visited.asked_s) for user, visited in upstream.visited().items()}
    ratio = sum(asked.values()) / (size.calls + size.hasty)
    longest_s = percentile([reply.duration_s for reply in hurried], 1.0)
    found(
        f"{ratio:.3f} upstream calls for each, {max(asked.values())} attempts at most; "
        f"{sum(reply.complete for reply in replies)} answered; with a deadline the last error came "
        f"after {longest_s:.2f} s"
    )
    report = audit(gateway.database_url, upstream.billed(), replies)
    assert ratio <= 1 + RETRIES
    assert max(asked.values()) <= MAX_ATTEMPTS
    assert any(count > 1 for count in asked.values())
    assert not any(reply.complete or reply.code is None for reply in [*replies, *hurried])
    assert longest_s <= DEADLINE_S + size.late_s
    assert report.faults() == {}
