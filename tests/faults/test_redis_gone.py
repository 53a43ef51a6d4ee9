"""The Redis that counts limits goes and comes back: nothing is sent uncounted unless the
configuration says so, and then no more than each process may let through by itself."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer

from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .processes import GatewayProcess, UpstreamProcess, kill_all, written_config

MARGIN_S = 0.5
"""What a machine with two busy cores may add to the second in which a call is refused."""
AT_ONCE = 4
PROCESSES = 2
SLOW = 1
"""Requests a minute: so few that what is taken stays taken while a test runs."""
WIDE = 1_000_000
NARROW = 50
ENOUGH = 3 * NARROW
"""Calls while it is gone: more than both processes let through by themselves."""
KEY = "{daobo}limit:all requests"
UNAVAILABLE = (503, "limits_unavailable")
ABOVE = (429, "rate_limit_exceeded")


@dataclass(frozen=True)
class Length:
    seconds: float
    answer_s: float
    back_s: float


LENGTHS = pytest.mark.parametrize(
    "length",
    [
        pytest.param(Length(1.0, answer_s=30.0, back_s=60.0), id="short"),
        pytest.param(Length(30, 1.0 + MARGIN_S, 5.0), id="long", marks=pytest.mark.soak),
    ],
)


class RedisGone:
    """Calls before one outage, during it and after it, over two gateways."""

    def __init__(self, server: RedisServer, gateways: list[GatewayProcess]) -> None:
        self._server = server
        self._roots = [gateway.root for gateway in gateways]
        self.counted_before = self.counted_after = 0
        self.before: list[Reply] = []
        self.at_its_death: list[Reply] = []
        self.during: list[Reply] = []
        self.after: list[Reply] = []
        self.back_s = 0.0

    async def run(self, length: Length) -> None:
        seconds = length.seconds
        async with Clients(*self._roots) as clients:
            self.before = await clients.by_turns(map(Wish, users("before", 60)), AT_ONCE)
            self.counted_before = self._counted()
            under_load = asyncio.ensure_future(
                clients.by_turns(_until(time.monotonic() + 1.0, "death", 0), AT_ONCE)
            )
            await asyncio.sleep(0.5)  # in the middle of it
            with self._server.gone():
                self.at_its_death = await under_load
                self.during = await clients.by_turns(
                    _until(time.monotonic() + seconds - 0.5, "during", ENOUGH), AT_ONCE
                )
            self.back_s = await self._back(clients, length.back_s)
            self.after += await clients.by_turns(map(Wish, users("after", 60)), AT_ONCE)
            self.counted_after = self._counted()

    async def _back(self, clients: Clients, within_s: float) -> float:
        """Until both gateways count in Redis again."""
        began_s = time.monotonic()
        for user in users("back"):
            pair = [await clients.call(Wish(f"{user}-{of}")) for of in range(PROCESSES)]
            self.after += pair
            if all(reply.complete for reply in pair) and self._counted() >= PROCESSES:
                break
            assert time.monotonic() - began_s < within_s, pair
        return time.monotonic() - began_s

    def _counted(self) -> int:
        """Requests that the one bucket of all calls has given away."""
        with self._server.client() as client:
            full_at: Any = client.get(KEY)
            seconds, microseconds = client.time()
        now_us = (seconds - 1_767_225_600) * 1e6 + microseconds
        return round((float(full_at or now_us) - now_us) / (60e6 / SLOW))

    @property
    def refused(self) -> list[Reply]:
        replies = [*self.at_its_death, *self.during, *self.after]
        return [reply for reply in replies if not reply.complete]


def _until(ends_s: float, prefix: str, at_least: int) -> Iterator[Wish]:
    for number, user in enumerate(users(prefix)):
        if time.monotonic() > ends_s and number >= at_least:
            return
        yield Wish(user)


Start = Callable[..., Any]


@pytest.fixture
async def started(
    upstream: UpstreamProcess, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[Start]:
    """Starts gateways that share the Redis and the limit of all calls."""
    gateways: list[GatewayProcess] = []

    async def start(burst_requests: int, when_redis_is_gone: str) -> list[GatewayProcess]:
        rule = {"requests_per_minute": SLOW, "burst_requests": burst_requests}
        limits = {"rules": [rule], "when_redis_is_gone": when_redis_is_gone}
        config = written_config(tmp_path, upstream.root, limits=limits)
        environ = {"DAOBO_REDIS_URL": redis_server.url}
        states = [tmp_path / f"state{number}" for number in range(PROCESSES)]
        gateways.extend(GatewayProcess(config, state, environ) for state in states)
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        return gateways

    yield start
    kill_all(gateways)


@LENGTHS
async def test_calls_are_refused_while_nobody_can_count_them(
    length: Length, started: Start, upstream: UpstreamProcess, redis_server: RedisServer, note: Note
) -> None:
    gone = RedisGone(redis_server, await started(WIDE, "refuse"))
    await gone.run(length)
    billed = upstream.billed()
    sent_after = sum(reply.wish.user in billed for reply in gone.after)
    uncounted = [reply for reply in gone.during if reply.wish.user in billed]
    slowest_s = max(reply.duration_s for reply in gone.refused)
    assert {(reply.status, reply.code) for reply in gone.refused} == {UNAVAILABLE}
    assert all("retry-after" in reply.headers for reply in gone.refused)
    assert uncounted == []
    assert (gone.counted_before, gone.counted_after) == (len(gone.before), sent_after)
    assert slowest_s < length.answer_s
    note(
        f"Redis killed under two gateways for {length.seconds:g} s, `when_redis_is_gone: refuse`",
        f"{len(gone.refused):,} calls refused with 503 in {slowest_s:.2f} s at most, "
        f"{len(uncounted)} sent uncounted; back {gone.back_s:.1f} s after Redis",
    )


@LENGTHS
async def test_each_process_counts_for_itself_where_that_is_wanted(
    length: Length, started: Start, upstream: UpstreamProcess, redis_server: RedisServer, note: Note
) -> None:
    gone = RedisGone(redis_server, await started(NARROW, "count_here"))
    began_s = time.monotonic()
    await gone.run(length)
    took_s = time.monotonic() - began_s
    passed = sum(reply.complete for reply in [*gone.at_its_death, *gone.during])
    refused = Counter((reply.status, reply.code) for reply in gone.refused)
    most = NARROW * PROCESSES + (1 + SLOW * took_s / 60) * PROCESSES
    assert set(refused) == {ABOVE}
    assert sum(reply.complete for reply in gone.before) == NARROW
    assert NARROW * PROCESSES <= passed <= most
    note(
        f"Redis killed under two gateways for {length.seconds:g} s, "
        "`when_redis_is_gone: count_here`",
        f"{passed} calls of {passed + refused[ABOVE]:,} let through meanwhile by a limit of "
        f"{NARROW} in each of two processes, no other error; back {gone.back_s:.1f} s after Redis",
    )
