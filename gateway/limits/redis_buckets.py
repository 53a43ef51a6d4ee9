"""Buckets in Redis: one count for all processes and machines.

What a call takes is taken in one script, all of it or nothing. A place among calls in flight is a
lease that this process renews: those of a process that died are free again when it runs out. What
was reserved is settled some milliseconds later, many calls together, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.errors import CallError

from .buckets import PLACE_WAIT_S, TOLERANCE_S, Bucket, Denied, Granted, Take
from .scripts import CHARGE, RENEW, TAKE

LEASE_S = 30.0
SETTLE_AFTER_S = 0.02
"""How long settlements are gathered: what is exact only afterwards may be so a little later."""
MAX_SETTLING = 20_000
"""Buckets with a settlement on its way; those of more are left to flow in by themselves."""
AT_ONCE = 200
"""Buckets or leases in one script: Redis does nothing else meanwhile."""
T = TypeVar("T")
PREFIX = "{daobo}limit:"
"""In braces, so that the buckets of one call are together in a cluster."""


class Link(Protocol):
    """What sends commands to Redis, and raises CallError(LIMITS_UNAVAILABLE) within a second."""

    async def run_script(
        self,
        script: Any,
        keys: Sequence[str],
        args: Sequence[str | bytes | int | float],
        if_left: Callable[[Any], None] | None = None,
    ) -> Any: ...

    def post(self, *command: str | bytes | int | float) -> None: ...


class RedisBuckets:
    """A ``BucketStore``. ``script`` makes of a Lua text what the link runs."""

    def __init__(
        self,
        link: Link,
        script: Callable[[str], Any],
        report_failure: Callable[[str, BaseException], None],
        lease_s: float = LEASE_S,
    ) -> None:
        self._link = link
        self._take, self._charge, self._renew = map(script, (TAKE, CHARGE, RENEW))
        self._report_failure = report_failure
        self._lease_us = round(lease_s * 1e6)
        self._renew_every_s = lease_s / 3
        self._receipts = map(f"{secrets.token_hex(8)}:{{}}".format, itertools.count(1))
        self._places: dict[str, set[str]] = {}
        """Receipts of the calls in flight, by the key of their bucket."""
        self._settling: dict[Bucket, int] = {}
        self._missed = False
        """Redis did not answer, and may have forgotten what places are taken."""
        self._wanted = asyncio.Event()
        self._worker: asyncio.Future[None] | None = None

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        receipt = next(self._receipts)
        keys, args = self._asked(takes, receipt)
        try:
            reply = await self._link.run_script(
                self._take, keys, args, partial(self._give_back, takes, receipt)
            )
        except CallError:
            self._missed = True
            raise
        except asyncio.CancelledError:
            self._leave_places(takes, receipt)  # the reply may have come, and is read by nobody
            raise
        if self._missed:
            self._wake()
        return self._told(takes, receipt, reply)

    def settle(self, granted: Granted, used_tokens: int) -> None:
        self._leave_places(granted.takes, granted.receipt)
        for bucket, amount in granted.takes:
            if bucket.kind == "tokens" and used_tokens != amount:
                self._settle_later(bucket, used_tokens - amount)

    async def close(self) -> None:
        """Settle what is left, and stop renewing."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        with contextlib.suppress(CallError):
            await self._settle_now()

    def _asked(self, takes: Sequence[Take], receipt: str) -> tuple[list[str], list[Any]]:
        args: list[Any] = [TOLERANCE_S * 1e6, PLACE_WAIT_S * 1e6, self._lease_us, receipt]
        for bucket, amount in takes:
            args += (bucket.per_minute, bucket.capacity, amount)
        return [PREFIX + bucket.name for bucket, _ in takes], args

    def _told(self, takes: Sequence[Take], receipt: str, reply: list[int]) -> Granted | Denied:
        if not reply[0]:
            _, number, wait_us, remaining, full_us = reply
            return Denied(takes[number - 1], (remaining, full_us / 1e6), wait_us / 1e6)
        for bucket, _ in takes:
            if bucket.kind == "concurrency":
                self._places.setdefault(PREFIX + bucket.name, set()).add(receipt)
                self._start()
        levels = zip(reply[1::2], reply[2::2], strict=True)
        return Granted(takes, [(remaining, us / 1e6) for remaining, us in levels], receipt)

    def _give_back(self, takes: Sequence[Take], receipt: str, reply: Any) -> None:
        """Whoever wanted it has gone meanwhile."""
        if isinstance(reply, list):
            told = self._told(takes, receipt, reply)
            if isinstance(told, Granted):
                self.settle(told, 0)

    def _leave_places(self, takes: Sequence[Take], receipt: str) -> None:
        for bucket, _ in takes:
            if bucket.kind == "concurrency":
                self._leave(PREFIX + bucket.name, receipt)

    def _leave(self, key: str, receipt: str) -> None:
        places = self._places.get(key)
        if places is not None:
            places.discard(receipt)
            if not places:
                del self._places[key]
        # At once, in front of whatever this process asks next: a client that has its answer may
        # call again.
        self._link.post("ZREM", key, receipt)

    def _settle_later(self, bucket: Bucket, tokens: int) -> None:
        known = self._settling.get(bucket)
        if known is None and len(self._settling) >= MAX_SETTLING:
            return
        self._settling[bucket] = (known or 0) + tokens
        self._wake()

    def _wake(self) -> None:
        self._start()
        self._wanted.set()

    def _start(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        """Settle and renew, until cancelled."""
        loop = asyncio.get_running_loop()
        renew_at_s = loop.time() + self._renew_every_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at_s):
                    await self._wanted.wait()
            self._wanted.clear()
            await asyncio.sleep(SETTLE_AFTER_S)
            try:
                await self._settle_now()
                if self._missed or loop.time() >= renew_at_s:
                    self._missed = False
                    renew_at_s = loop.time() + self._renew_every_s
                    await self._renew_places()
            except CallError:
                pass  # Redis is gone: buckets fill by themselves, leases run out
            except Exception as error:
                self._report_failure("limits could not be settled in Redis", error)

    async def _settle_now(self) -> None:
        settling, self._settling = self._settling, {}
        for part in _parts(list(settling.items()), AT_ONCE):
            keys = [PREFIX + bucket.name for bucket, _ in part]
            args = [number for bucket, tokens in part for number in (bucket.per_minute, tokens)]
            await self._link.run_script(self._charge, keys, args)

    async def _renew_places(self) -> None:
        for key, receipts in list(self._places.items()):
            for part in _parts(list(receipts), AT_ONCE):
                if still := [receipt for receipt in part if receipt in receipts]:
                    await self._link.run_script(self._renew, [key], [self._lease_us, *still])


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
