"""Half an hour of everything at once: what the process holds does not grow."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

import pytest

from .audit import Report, audit, open_holds
from .books import Tail
from .calls import Clients
from .conftest import Goal
from .fault_proxy import FaultProxy
from .measures import MIB, descriptors, memory_bytes, samples, threads
from .mixed_calls import KEPT_PREFIX, LIMITED_PROJECT, Traffic, mostly_sound
from .processes import GatewayProcess, UpstreamProcess, from_within, until, written_config

WANTED_MINUTES = 30.0
MINUTES = float(os.environ.get("SOAK_MINUTES", WANTED_MINUTES))
CLIENTS = 24
SAMPLES = 120
WARM_SHARE = 0.3
"""Of the time, before the memory is looked at: arenas, pages of the ledger and interned names
find their size."""
WARM_CALLS = 50_000
"""The same in calls, for slow machines and runs cut short. The limits of callers are remembered for
10,000 of them, forgotten and learnt again a few times before the arenas have room for the most."""
REFUSALS_EVERY_S, REFUSAL_S = 60.0, 2.0
SLOPE_BYTES = 1 * MIB
PER_CALLS = 100_000
SPARE = 8
"""Descriptors, and tasks, that may come and go: connections that are kept alive, a scrape."""
MAX_SERIES = 12_000
SILENCE_S = 2.0
REST_WITHIN_S = 30.0
LENGTHS = pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(3.0, id="short"),
        pytest.param(MINUTES * 60, id="long", marks=pytest.mark.soak),
    ],
)


@dataclass(frozen=True)
class Sample:
    calls: int
    memory_bytes: int
    descriptors: int
    threads: int
    tasks: int
    series: int


class Instruments:
    """Reads what the gateway holds, from the system, from its metrics and from within."""

    def __init__(self, gateway: GatewayProcess, notes: Path) -> None:
        self._gateway = gateway
        self._notes = Tail(notes)

    async def read(self, calls: int) -> Sample:
        pid = self._gateway.process.pid
        tasks = await self._tasks()
        series = len(await samples(self._gateway.admin_port))
        return Sample(calls, memory_bytes(pid), descriptors(pid), threads(pid), tasks, series)

    async def _tasks(self) -> int:
        self._gateway.signal(signal.SIGUSR2)
        lines: list[str] = []

        def answered() -> bool:
            lines.extend(self._notes.lines())
            return bool(lines)

        await until(answered, 60, "a look from within")
        return int(lines[-1])


def slope_bytes(taken: Sequence[Sample]) -> float:
    """More memory for each 100,000 calls, after the beginning."""
    warm = taken[int(len(taken) * WARM_SHARE) :]
    if warm[-1].calls > 2 * WARM_CALLS:
        warm = [sample for sample in warm if sample.calls >= WARM_CALLS]
    line = linear_regression([s.calls for s in warm], [s.memory_bytes for s in warm])
    return line.slope * PER_CALLS


class Campaign:
    """The traffic, the faults and the readings, side by side."""

    def __init__(self, traffic: Traffic, proxy: FaultProxy, instruments: Instruments) -> None:
        self._traffic = traffic
        self._proxy = proxy
        self._instruments = instruments
        self.taken: list[Sample] = []

    async def run(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        clients = [self._traffic.go_on(until_s) for _ in range(CLIENTS)]
        await asyncio.gather(*clients, self._refuse(until_s), self._look(seconds, until_s))

    async def _refuse(self, until_s: float) -> None:
        """The upstream dies for a moment, again and again."""
        every_s = min(REFUSALS_EVERY_S, (until_s - time.monotonic()) / 3)
        while time.monotonic() + every_s < until_s:
            await asyncio.sleep(every_s)
            await self._proxy.refuse()
            await asyncio.sleep(min(REFUSAL_S, every_s / 5))
            await self._proxy.accept()

    async def _look(self, seconds: float, until_s: float) -> None:
        while time.monotonic() < until_s:
            await asyncio.sleep(max(seconds / SAMPLES, 0.25))
            self.taken.append(await self._instruments.read(self._traffic.calls))


async def at_rest(instruments: Instruments, calls: int, before: Sample) -> Sample:
    """What is held once nothing more comes, and what was under way has been let go of."""
    ends_s = time.monotonic() + REST_WITHIN_S
    while True:
        await asyncio.sleep(1.0)
        found = await instruments.read(calls)
        flat = not grown(before, found)
        if flat or time.monotonic() > ends_s:
            return found


def grown(before: Sample, after: Sample) -> list[str]:
    """What there is more of than comes and goes."""
    return [
        name
        for name in ("descriptors", "tasks")
        if getattr(after, name) > getattr(before, name) + SPARE
    ]


def faults_of_books(report: Report) -> dict[str, object]:
    """What is wrong in the ledger, but for calls that are the same on purpose, and for what broken
    connections swallowed after it had been billed."""
    faults = {name: found for name, found in report.faults().items() if name != "undercharged"}
    return {
        name: kept_out
        for name, found in faults.items()
        if (kept_out := [f for f in found if not str(f).startswith(KEPT_PREFIX)]
            if isinstance(found, list) else found)
    }  # fmt: skip


def config_for(folder: Path, **roots: str) -> Path:
    """Providers with little patience, limits, and kept answers."""
    patience = {"first_byte_timeout_s": SILENCE_S, "idle_timeout_s": SILENCE_S}
    return written_config(
        folder,
        "",
        providers={
            name: {"type": "openai-compatible", "base_url": f"{root}/v1", **patience}
            for name, root in roots.items()
        },
        limits={
            "rules": [
                {"project": LIMITED_PROJECT, "requests_per_minute": 120},
                {"user": "*", "requests_per_minute": 6000},
            ]
        },
        cache={"mode": "on_request"},
    )


@LENGTHS
async def test_what_the_process_holds_does_not_grow(
    seconds: float, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    length = f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} s"
    only = "" if seconds == WANTED_MINUTES * 60 else "only "
    found = goal(
        f"soak, {only}{length}: mixed traffic with faults, limits, kept answers",
        "memory slope ≤ 1 MB per 100,000 calls after warm-up; descriptors and tasks flat; label "
        "sets bounded",
    )
    notes = tmp_path / "notes"
    environ = from_within(tmp_path, within=notes)
    chance = random.Random(20261123)
    async with (
        FaultProxy(upstream.port, chance, mostly_sound) as proxy,
        FaultProxy(upstream.port, chance) as steady,
    ):
        config = config_for(tmp_path, paid=proxy.root, second=steady.root)
        gateway = GatewayProcess(config, tmp_path / "state", environ)
        try:
            await gateway.start()
            instruments = Instruments(gateway, notes)
            at_first = await instruments.read(0)
            async with Clients(gateway.root) as clients:
                traffic = Traffic(clients, chance)
                campaign = Campaign(traffic, proxy, instruments)
                await campaign.run(seconds)
            await until(lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed")
            for each in (proxy, steady):
                await each.refuse()  # no connection is left that would be kept alive
            at_last = await at_rest(instruments, traffic.calls, at_first)
        finally:
            gateway.kill()
    slope = slope_bytes(campaign.taken)
    series = max(sample.series for sample in campaign.taken)
    kinds = ", ".join(f"{count:,} {status}" for status, count in traffic.statuses.most_common())
    found(
        f"{traffic.calls:,} calls ({kinds}; {traffic.hits:,} from kept answers; "
        f"{proxy.done.ended.total():,} connections broken); {slope / MIB:+.2f} MiB per 100,000 "
        f"calls ({at_first.memory_bytes / MIB:.0f} → {at_last.memory_bytes / MIB:.0f} MiB); "
        f"descriptors {at_first.descriptors} → {at_last.descriptors}, tasks {at_first.tasks} → "
        f"{at_last.tasks}, threads {at_first.threads} → {at_last.threads}; {series:,} series at "
        "most"
    )
    report = audit(gateway.database_url, upstream.billed(), [])
    assert [(r.wish, r.status, r.code) for r in traffic.unexpected] == []
    assert faults_of_books(report) == {}
    assert grown(at_first, at_last) == []
    assert series <= MAX_SERIES
    assert seconds < 60 or slope <= SLOPE_BYTES
