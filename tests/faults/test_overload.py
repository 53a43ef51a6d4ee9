"""Five times as many calls as can be answered: as many are answered as ever, and the others are
told at once to come back."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.end_to_end.gateway_process import quiet_environment
from tests.ports import free_port

from .calls import Wish
from .conftest import Goal
from .measures import percentile
from .paid_upstream import Order
from .processes import ROOT, GatewayProcess, UpstreamProcess, until, written_config
from .rush import Rush

TIMES = 5
IN_FLIGHT = 40
THINKS_S = 0.4
KEPT_SHARE = 0.9
SHED_S = 0.05
CPU_CONNECTIONS = 32
CPU_BODY_BYTES = 64 * 1024
GOAL = (
    "goodput ≥ 90 % of peak; every shed answer is 429/503 with Retry-After, in ≤ 50 ms p99; no "
    "resets"
)


@dataclass(frozen=True)
class Size:
    seconds: float
    kept_share: float
    shed_s: float


LONG = Size(15.0, KEPT_SHARE, SHED_S)


class Stage:
    """One gateway, one body, and crowds that are let loose on it."""

    def __init__(self, gateway: GatewayProcess, body: Path, seconds: float) -> None:
        self._gateway = gateway
        self._body = body
        self._seconds = seconds

    async def by_connections(self, count: int) -> Rush:
        return await self._rush("--connections", str(count))

    async def by_rate(self, rate: float) -> Rush:
        return await self._rush("--rate", f"{rate:.1f}")

    async def _rush(self, *how: str) -> Rush:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.rush", *how,
            "--port", str(self._gateway.port), "--body", str(self._body),
            "--seconds", str(self._seconds),
            cwd=ROOT, env=quiet_environment(), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told, _ = await asyncio.wait_for(process.communicate(), self._seconds + 60)
        return Rush(**orjson.loads(told))


@dataclass(frozen=True)
class Verdict:
    """A rush beside the peak."""

    name: str
    peak: Rush
    rush: Rush

    @property
    def kept(self) -> float:
        return self.rush.goodput / self.peak.goodput

    @property
    def shed_p99_s(self) -> float:
        return percentile(self.rush.shed_s or [0.0], 0.99)

    def __str__(self) -> str:
        rush = self.rush
        return (
            f"{self.name}: {rush.goodput:,.0f} of {self.peak.goodput:,.0f} answers a second "
            f"({self.kept:.0%}), {rush.wanted / rush.seconds:,.0f} calls a second wanted and "
            f"{rush.sent / rush.seconds:,.0f} made, {rush.shed:,} shed in "
            f"{self.shed_p99_s * 1000:.0f} ms (p99)"
        )

    def faults(self, size: Size) -> dict[str, float]:
        found = {
            "goodput": self.kept if self.kept < size.kept_share else 0.0,
            "shed late": self.shed_p99_s if self.shed_p99_s > size.shed_s else 0.0,
            "without Retry-After": self.rush.shed_without_wait,
            "other answers": self.rush.other,
            "resets": self.rush.resets,
        }
        return {f"{self.name}: {name}": value for name, value in found.items() if value}


async def overloaded(stage: Stage, capacity: int) -> list[Verdict]:
    peak = await stage.by_connections(capacity)
    return [
        Verdict("open loop", peak, await stage.by_rate(TIMES * peak.goodput)),
        Verdict(
            f"{TIMES * capacity} clients at once",
            peak,
            await stage.by_connections(TIMES * capacity),
        ),
    ]


@asynccontextmanager
async def narrow_gate(
    upstream: UpstreamProcess, folder: Path, seconds: float
) -> AsyncIterator[Stage]:
    """A gateway that lets a few calls in at a time, and answers of which each takes a while."""
    config = written_config(folder, upstream.root, server={"max_in_flight": IN_FLIGHT})
    gateway = GatewayProcess(config, folder / "state")
    body = folder / "body"
    body.write_bytes(Wish("crowd-000000", Order(after_s=THINKS_S)).body)
    try:
        await gateway.start()
        yield Stage(gateway, body, seconds)
    finally:
        gateway.kill()


@pytest.mark.parametrize("seconds", [pytest.param(1.0, id="short")])
async def test_whoever_is_shed_is_told_to_come_back(
    seconds: float, upstream: UpstreamProcess, tmp_path: Path
) -> None:
    """How many are answered meanwhile, and how soon the others are told, takes the long form."""
    async with narrow_gate(upstream, tmp_path, seconds) as stage:
        rush = await stage.by_rate(TIMES * IN_FLIGHT / THINKS_S)
    answered = rush.answered + rush.late
    assert answered >= IN_FLIGHT
    assert rush.shed > answered
    assert (rush.shed_without_wait, rush.other, rush.resets) == (0, 0, 0)


@pytest.mark.soak
async def test_more_calls_than_may_be_in_flight_are_shed(
    upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"{TIMES} times the capacity: {IN_FLIGHT} calls in flight, answers of {THINKS_S:g} s", GOAL
    )
    async with narrow_gate(upstream, tmp_path, LONG.seconds) as stage:
        verdicts = await overloaded(stage, IN_FLIGHT)
    found("; ".join(map(str, verdicts)))
    assert {key: value for each in verdicts for key, value in each.faults(LONG).items()} == {}
    assert verdicts[0].rush.shed > verdicts[0].rush.answered


@asynccontextmanager
async def cheap_upstream() -> AsyncIterator[str]:
    """An upstream that takes next to no CPU, so that the gateway is what runs out of it first."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.fake_upstream"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--chunks-per-s", "10"], cwd=ROOT, env=quiet_environment()
    )

    def listens() -> bool:
        with Path("/proc/net/tcp").open(encoding="ascii") as sockets:
            return any(f":{port:04X} 00000000:0000 0A" in line for line in sockets)

    try:
        await until(listens, 60, "the cheap upstream")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.soak
async def test_more_calls_than_the_processor_can_take_are_shed(tmp_path: Path, goal: Goal) -> None:
    found = goal(
        f"{TIMES} times the capacity: a processor that is used up by bodies of "
        f"{CPU_BODY_BYTES // 1024} KiB",
        GOAL,
    )
    body = tmp_path / "body"
    text = {"role": "user", "content": "a door opens. " * (CPU_BODY_BYTES // 14)}
    body.write_bytes(Wish("crowd-000000", more={"messages": [text]}).body)
    async with cheap_upstream() as root:
        gateway = GatewayProcess(written_config(tmp_path, root), tmp_path / "state")
        try:
            await gateway.start()
            verdicts = await overloaded(Stage(gateway, body, LONG.seconds), CPU_CONNECTIONS)
        finally:
            gateway.kill()
    found("; ".join(map(str, verdicts)))
    assert {key: value for each in verdicts for key, value in each.faults(LONG).items()} == {}
