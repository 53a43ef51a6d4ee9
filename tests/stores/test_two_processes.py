"""Two processes on one ledger never spend more than there is, and can spend all of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from books import Bench, budget

ROOT = Path(__file__).parents[2]
SPENDER = [sys.executable, "-m", "tests.stores.spender"]
UNIT = 9_000_000
ROOM_FOR = 100
CALLS = 250


class Spender:
    """One of the processes."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [*SPENDER, url, str(CALLS), str(UNIT)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        facts: dict[str, Any] = json.loads(self._process.stdout.readline())
        return facts

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.communicate(timeout=60)


@pytest.mark.parametrize("window", ["total", "24h"])
def test_five_hundred_calls_on_a_budget_for_a_hundred(bench: Bench, window: str) -> None:
    capped = budget("everything", ROOM_FOR * UNIT, window=window)
    bench.store()
    bench.clock.now_s = time.time()
    bench.put(capped)
    spenders = [Spender(bench.url) for _ in range(2)]
    assert [spender.said() for spender in spenders] == [{"ready": True}] * 2
    for spender in spenders:
        spender.go_on()
    first = [spender.said() for spender in spenders]
    assert [facts["faults"] for facts in first] == [[], []]
    assert sum(facts["granted"] for facts in first) == ROOM_FOR
    assert bench.balance(capped) == (0, ROOM_FOR * UNIT)
    for spender in spenders:
        spender.go_on()
    assert [spender.said() for spender in spenders] == [{"faults": []}] * 2
    for spender in spenders:
        spender.end()
    spent, held = bench.balance(capped)
    assert 0.99 * ROOM_FOR * UNIT <= spent <= ROOM_FOR * UNIT
    assert held == 0
    assert deadlocks(bench) == 0


def deadlocks(bench: Bench) -> int:
    """PostgreSQL counts them; SQLite, with one writer at a time, has none."""
    if bench.url.startswith("sqlite"):
        return 0
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(bench.look.execute(query)[0][0])
