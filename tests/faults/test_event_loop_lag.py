"""Whatever is being done, the event loop is back in time for the next client."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.gateway_process import quiet_environment

from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .measures import MIB, percentile, replies_for, samples
from .paid_upstream import Order
from .processes import ROOT, GatewayProcess, UpstreamProcess, written_config
from .raw_clients import RawClient, dial, post_bytes

BODY_BYTES = 8 * MIB
BIG_AT_ONCE = 2
STREAM_PACE_S = 0.25
BEGIN_SHARE = 0.2
"""Of a phase, in which its streams are begun."""
PROBE_INTERVAL_S = 0.004
SLACK_S = 30.0
"""The short form asks whether everybody is answered. How soon is no question for a machine that
does other things meanwhile."""
OWN_LAG = "daobo_event_loop_lag_seconds"
STATUS_OF: Mapping[str, int] = {"8 MB bodies": 200, "deep JSON": 400, "wide JSON": 400}


@dataclass(frozen=True)
class Size:
    phase_s: float
    streams: int
    at_most_s: float
    p999_s: float


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(0.3, 100, at_most_s=SLACK_S, p999_s=SLACK_S), id="short"),
        pytest.param(
            Size(20.0, 1000, at_most_s=0.05, p999_s=0.02), id="long", marks=pytest.mark.soak
        ),
    ],
)


@dataclass(frozen=True)
class RawWish(Wish):
    """A call whose body is no request of a client's SDK."""

    raw: bytes = b""

    @property
    def body(self) -> bytes:
        return self.raw


def around(value: bytes) -> bytes:
    return b'{"model":"writer","messages":' + value + b"}"


def big() -> Wish:
    wish = Wish("")
    order = {"role": "user", "content": wish.order.text}
    script = {"role": "user", "content": "雨夜 a door opens. " * (BODY_BYTES // 21)}
    return Wish("", more={"messages": [order, script]})


DEEP = RawWish("", raw=around(b"[" * (BODY_BYTES // 2) + b"]" * (BODY_BYTES // 2)))
WIDE = RawWish("", raw=around(b"[" + (b"[" * 50 + b"]" * 50 + b",") * (BODY_BYTES // 101) + b"1]"))
"""Not too deep, but four million lists."""


class Probe:
    """How long a cheap request takes at the gateway, again and again; beside it what the gateway
    says itself of its loop, at which it looks fifty times a second."""

    def __init__(self) -> None:
        self.by_phase: dict[str, list[float]] = {}
        self._own_s: dict[str, float] = {}
        self._phase = "nothing"

    @asynccontextmanager
    async def watching(self, port: int) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.latency_probe",
            "--port", str(port), "--interval-s", str(PROBE_INTERVAL_S),
            cwd=ROOT, env=quiet_environment(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        reading = asyncio.ensure_future(self._read(process.stdout))
        try:
            yield
        finally:
            process.stdin.close()
            await asyncio.wait_for(process.wait(), 60)
            await reading

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.by_phase.setdefault(self._phase, []).append(int(line) / 1e6)

    async def during(self, phase: str, work: Coroutine[Any, Any, list[Reply]]) -> list[Reply]:
        self._phase = phase
        return await work

    async def ask_gateway(self, admin_port: int) -> None:
        found = await samples(admin_port)
        for quantile in ("0.999", "1"):
            lag_s = found[f'{OWN_LAG}{{quantile="{quantile}"}}']
            self._own_s[quantile] = max(lag_s, self._own_s.get(quantile, 0.0))

    @property
    def under_load(self) -> list[float]:
        return [took_s for phase, found in self.by_phase.items() if phase for took_s in found]

    @property
    def text(self) -> str:
        figures = [
            f"{phase or 'idle'}: p99.9 {percentile(found, 0.999) * 1000:.0f} ms, at most "
            f"{max(found) * 1000:.0f} ms"
            for phase, found in self.by_phase.items()
        ]
        own = [f"{self._own_s[quantile] * 1000:.0f} ms" for quantile in ("0.999", "1")]
        return "; ".join([*figures, f"its own figure: p99.9 {own[0]}, at most {own[1]}"])


async def streams(port: int, count: int, seconds: float) -> list[Reply]:
    """So many at once, each of which gets a piece every so often. They are begun one after the
    other: a crowd at the door is what the row on overload is about."""
    order = Order(chunks=int(seconds / STREAM_PACE_S), pace_s=STREAM_PACE_S)
    begin_s = seconds * BEGIN_SHARE / count
    wishes = [Wish(user, order, stream=True) for user in users("stream", count)]
    clients = await dial(port, map(RawClient, wishes))
    for client, wish in zip(clients, wishes, strict=True):
        client.transport.write(post_bytes(wish.body))
        await asyncio.sleep(begin_s)
    await asyncio.gather(*(client.has_come(b"[DONE]") for client in clients))
    for client in clients:
        client.hang_up(rudely=False)
    return []


async def idle(seconds: float) -> list[Reply]:
    await asyncio.sleep(seconds)
    return []


@SIZES
async def test_the_event_loop_is_never_away_for_long(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"event loop under 8 MB bodies, deep and wide JSON of 8 MB, {size.streams:,} streams "
        "(timed from outside, by a cheap request)",
        f"lag ≤ {size.at_most_s * 1000:.0f} ms at most, ≤ {size.p999_s * 1000:.0f} ms at p99.9",
    )
    price = {"currency": "USD", "input_per_mtok": "1.00", "output_per_mtok": "4.00"}
    writer = {"targets": ["paid/writer-1"], "price": price, "context_tokens": 10 * BODY_BYTES}
    config = written_config(tmp_path, upstream.root, models={"writer": writer})
    gateway = GatewayProcess(config, tmp_path / "state")
    probe = Probe()
    bodies: Mapping[str, Callable[[], Wish]] = {
        "8 MB bodies": big, "deep JSON": lambda: DEEP, "wide JSON": lambda: WIDE,
    }  # fmt: skip
    unexpected: dict[str, set[int | None]] = {}
    try:
        await gateway.start()
        async with Clients(gateway.root) as clients, probe.watching(gateway.port):
            await probe.during("", idle(size.phase_s))
            for phase, wish in bodies.items():
                work = replies_for(clients, phase[:4], size.phase_s, BIG_AT_ONCE, wish())
                statuses = {reply.status for reply in await probe.during(phase, work)}
                if statuses != {STATUS_OF[phase]}:
                    unexpected[phase] = statuses
                await probe.ask_gateway(gateway.admin_port)
            work = streams(gateway.port, size.streams, size.phase_s)
            await probe.during(f"{size.streams:,} streams", work)
            await probe.ask_gateway(gateway.admin_port)
    finally:
        gateway.kill()
    found(f"{len(probe.under_load):,} requests timed; {probe.text}")
    assert unexpected == {}
    assert max(probe.under_load) <= size.at_most_s
    assert percentile(probe.under_load, 0.999) <= size.p999_s
