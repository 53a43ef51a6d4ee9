"""A process that spends from a ledger: ``python spender.py URL CALLS UNIT``.

It says ``ready``, waits for a line, then asks for as many holds of one unit as it was told, all at
once, and says how many were granted. After another line it ends those and goes on with one call at
a time, each of which costs a third of what is held for it, until there is no room.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from functools import partial
from itertools import count
from typing import Any

from gateway.errors import CallError
from gateway.ledger import Granted, HoldRequest
from gateway.money.recovery import closing_of_orphan
from gateway.stores.connections import StoreUnavailable
from gateway.stores.group_commit import GroupCommit
from gateway.stores.opening import ledger_store
from tests.stores.books import closing, hold

NOBODY_HAS_ROOM = 5
"""Refusals in a row after which there is none, although the other may hold a unit for a moment."""


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def spend(url: str, calls: int, unit: int) -> None:
    faults: list[str] = []
    ledger = GroupCommit(
        ledger_store(url, time.time),
        StoreUnavailable,
        closing_of_orphan,
        lambda what, error: faults.append(f"{what}: {error!r}"),
    )
    numbers = count(1)

    def call(nano: int) -> HoldRequest:
        return hold(nano, at_s=time.time(), id=f"{os.getpid()}-{next(numbers)}")

    await ledger.hold(call(0))
    say(ready=True)
    sys.stdin.readline()
    wanted = [call(unit) for _ in range(calls)]
    began_s = time.perf_counter()
    verdicts = await asyncio.gather(*map(ledger.hold, wanted), return_exceptions=True)
    took_s = time.perf_counter() - began_s
    faults += [str(verdict) for verdict in verdicts if isinstance(verdict, CallError)]
    pairs = zip(wanted, verdicts, strict=True)
    running = [each for each, verdict in pairs if isinstance(verdict, Granted)]
    say(granted=len(running), faults=faults, took_s=took_s)
    sys.stdin.readline()
    refused = 0
    while refused < NOBODY_HAS_ROOM:
        for each in running:
            ledger.close(partial(closing, each, unit // 3))
        another = call(unit)
        running = [another] if isinstance(await ledger.hold(another), Granted) else []
        refused = 0 if running else refused + 1
    await ledger.stop(10)
    say(faults=faults)


if __name__ == "__main__":
    asyncio.run(spend(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
