"""A gateway is told to stop while it works: calls under way end, and each is written down."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .audit import audit, open_holds, owners
from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config

OVERTIME_S = 5.0
SLACK_S = 30.0
BESIDES = 8
LOAD = 100
"""Short calls that have been answered before the gateway is told to stop."""


@dataclass(frozen=True)
class Size:
    streams: int
    stream_s: int
    overtime_s: float

    @property
    def drain_s(self) -> float:
        return self.stream_s + self.overtime_s


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(40, 1, SLACK_S), id="short"),
        pytest.param(Size(200, 30, OVERTIME_S), id="long", marks=pytest.mark.soak),
    ],
)


@asynccontextmanager
async def gateway_that_drains(
    folder: Path, upstream: UpstreamProcess, drain_s: float
) -> AsyncIterator[GatewayProcess]:
    config = written_config(folder, upstream.root, server={"shutdown_timeout_s": drain_s})
    gateway = GatewayProcess(config, folder / "state")
    try:
        await gateway.start()
        yield gateway
    finally:
        gateway.kill()


def streams(count: int, seconds: float) -> list[Wish]:
    order = Order(chunks=10, pace_s=seconds / 10)
    return [Wish(user, order, stream=True) for user in users("long", count)]


class ShortCalls:
    """One after the other, as long as somebody listens."""

    def __init__(self) -> None:
        self.answered = 0
        self._refused = False

    def __iter__(self) -> Iterator[Wish]:
        for number, user in enumerate(users("short")):
            if self._refused:
                return
            yield Wish(user, Order(after_s=0.02), stream=number % 2 == 0)

    async def look(self, reply: Reply) -> None:
        self.answered += reply.complete
        self._refused = self._refused or reply.refused


async def begun(upstream: UpstreamProcess, wishes: list[Wish]) -> None:
    wanted = {wish.user for wish in wishes}
    await until(lambda: wanted <= upstream.billed().keys(), 60, "streams under way")


@SIZES
async def test_no_call_fails_when_the_gateway_is_told_to_stop(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    async with gateway_that_drains(tmp_path, upstream, size.drain_s) as gateway:
        wishes = streams(size.streams, size.stream_s)
        short = ShortCalls()
        took_s = 0.0

        async def stop_in_the_middle() -> list[Reply]:
            nonlocal took_s
            await begun(upstream, wishes)
            await until(lambda: short.answered >= LOAD, 60, "short calls beside them")
            gateway.signal(signal.SIGTERM)
            took_s = await gateway.ended(size.drain_s + size.overtime_s)
            return []

        async with Clients(gateway.root) as clients:
            groups = await asyncio.gather(
                clients.all(wishes),
                clients.by_turns(short, BESIDES, short.look),
                stop_in_the_middle(),
            )
        replies = [reply for group in groups for reply in group if not reply.refused]
        failed = [reply for reply in replies if not reply.complete]
        report = audit(gateway.database_url, upstream.billed(), replies)
        note(
            f"SIGTERM under load, {size.streams} streams of {size.stream_s} s among it",
            f"{len(failed)} of {len(replies):,} calls failed, {len(report.lost)} rows missing, "
            f"out after {took_s:.1f} s",
        )
        assert failed == []
        assert report.faults() == {}
        assert owners(gateway.database_url) == 0
        assert gateway.process.returncode == 0
        assert took_s < size.stream_s + size.overtime_s


async def test_calls_that_are_cut_at_the_deadline_are_written_down(
    upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    async with gateway_that_drains(tmp_path, upstream, drain_s=0.5) as gateway:
        wishes = streams(40, 60)
        async with Clients(gateway.root) as clients:

            async def stop() -> float:
                await begun(upstream, wishes)
                gateway.signal(signal.SIGTERM)
                return await gateway.ended(0.5 + SLACK_S)

            replies, took_s = await asyncio.gather(clients.all(wishes), stop())
        assert {reply.code for reply in replies} == {"upstream_cut"}
        report = audit(gateway.database_url, upstream.billed(), replies)
        note(
            "SIGTERM with 40 streams that outlast the deadline",
            f"each client is told; {len(report.lost)} rows missing, {report.open_holds} holds "
            f"left, out {took_s - 0.5:.1f} s after the deadline",
        )
        assert report.faults() == {}
        assert owners(gateway.database_url) == 0


async def test_a_second_signal_stops_at_once(
    upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    async with gateway_that_drains(tmp_path, upstream, drain_s=2 * SLACK_S) as gateway:
        _, took_s = await stopped_twice(gateway, upstream)
        note("a second SIGTERM with 40 streams under way", f"out after {took_s:.2f} s")
        assert gateway.process.returncode == 1
        assert took_s < SLACK_S
        assert open_holds(gateway.database_url) == 40


@pytest.mark.soak
async def test_the_start_after_a_second_signal_settles_what_it_cut(
    upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    async with gateway_that_drains(tmp_path, upstream, drain_s=30) as gateway:
        replies, _ = await stopped_twice(gateway, upstream)
        await gateway.start()
        closed_s = await until(
            lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed"
        )
        report = audit(gateway.database_url, upstream.billed(), replies)
        note(
            "restart after a second SIGTERM",
            f"{len(report.lost)} rows missing, every hold closed {closed_s:.0f} s after the start",
        )
        assert report.faults() == {}


async def stopped_twice(
    gateway: GatewayProcess, upstream: UpstreamProcess
) -> tuple[list[Reply], float]:
    """What the clients saw of it, and how long it took from the second signal to the end."""
    wishes = streams(40, 60)

    async def stop() -> float:
        await begun(upstream, wishes)
        gateway.signal(signal.SIGTERM)
        await until(lambda: "stopping" in gateway.log_text(), SLACK_S, "the first signal")
        asked_s = time.monotonic()
        gateway.signal(signal.SIGTERM)
        await gateway.ended(SLACK_S)
        return time.monotonic() - asked_s

    async with Clients(gateway.root) as clients:
        return await asyncio.gather(clients.all(wishes), stop())
