"""Calls and accounts for the tests of pacing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from gateway.config_limits import QueueConfig
from gateway.contracts import ProviderSettings
from gateway.journey import Journey
from gateway.limits.buckets import Bucket, BucketStore
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.pacing import Pacer, Tally
from gateway.limits.turns import Pace
from gateway.schema import INTERACTIVE, Call, Caller, Plan, Target, Usage

WRITER = Target("studio", "writer", "writer")
PAINTER = Target("studio", "painter", "painter")
PATIENCE_S = 30.0


def journey(
    project: str = "market", priority: str = INTERACTIVE, target: Target = WRITER
) -> Journey:
    call = Call(
        id="call_1",
        endpoint="chat",
        caller=Caller("k_1", project),
        model=target.public_model,
        body={},
        body_bytes=0,
        started_at_s=0.0,
        received_s=0.0,
    )
    return Journey(call, Plan((target,), {}, "model", priority=priority))


def pace(
    *,
    queue: QueueConfig | None = None,
    buckets: Sequence[Bucket] = (),
    tokens: int = 100,
    store: BucketStore | None = None,
) -> Pace:
    """Each call is estimated at ``tokens``."""
    kept = store or MemoryBuckets(time.monotonic)
    return Pace(queue or QueueConfig(), lambda target: buckets, lambda of: tokens, kept)


def pacer(of: Pace | None = None, **settings: int) -> Pacer:
    """An account with ``settings``."""
    entry = ProviderSettings(type="studio", **settings)
    return Pacer("studio", entry, of or pace(), Tally(), time.monotonic, random.random)


async def until_waiting(account: Pacer, count: int) -> None:
    """Let the loop run until so many calls wait; the test's own timeout ends a broken one."""
    while account.waiting != count:
        await asyncio.sleep(0)


def used(of: Journey, tokens: int) -> None:
    """The provider said what it used."""
    of.billable = True
    of.usage = Usage(input_tokens=tokens)
