"""What a process holds of the machine, what its metrics say, and how long calls take."""

import asyncio
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from .calls import Clients, Reply, Wish, users
from .processes import POLL_INTERVAL_S

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)$", re.MULTILINE)


def memory_bytes(pid: int) -> int:
    """Resident, with everything that is shared."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def at_rest(pid: int, share: float, timeout_s: float) -> None:
    """Wait until the process uses less than that share of a core."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        began_s, used_s = time.monotonic(), cpu_s(pid)
        await asyncio.sleep(10 * POLL_INTERVAL_S)
        if cpu_s(pid) - used_s <= share * (time.monotonic() - began_s):
            return
    raise AssertionError(f"process {pid} did not come to rest within {timeout_s:g} s")


async def samples(admin_port: int) -> dict[str, float]:
    """Every sample of the gateway's metrics by its name and labels as they stand there."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{admin_port}/metrics") as response,
    ):
        text = await response.text()
    return {name + labels: float(value) for name, labels, value in SAMPLE.findall(text)}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that so many of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def replies_for(
    clients: Clients, prefix: str, seconds: float, at_once: int, wish: Wish
) -> list[Reply]:
    """What clients see that call one call after the other for so long."""
    end_s = time.monotonic() + seconds

    def wishes() -> Iterator[Wish]:
        for user in users(prefix):
            if time.monotonic() >= end_s:
                return
            yield replace(wish, user=user)

    return await clients.by_turns(wishes(), at_once)
