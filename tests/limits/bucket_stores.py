"""Buckets to take from, in memory and in Redis, under a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from gateway.limits.buckets import Bucket, BucketStore, Denied, Granted, Kind, Take
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.redis_buckets import RedisBuckets
from gateway.stores.redis_link import RedisLink, Script
from tests.redis_server import RedisServer

T = TypeVar("T")
PATIENCE_S = 30.0
"""A machine that is busy with other tests is no Redis that is gone."""
BEGAN_US = 1_800_000_000_000_000
"""Unix time, in the year 2027."""


def bucket(
    kind: Kind = "requests", capacity: int = 10, per_minute: int = 60, name: str = "key=k"
) -> Bucket:
    rate = 0 if kind == "concurrency" else per_minute
    return Bucket(f"{name} {kind}", kind, capacity, rate, "rules[0]", name.replace("=", " "))


def report(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


class Bench(Protocol):
    """One store, whose calls are made one after the other."""

    store: BucketStore

    def take(self, *takes: Take) -> Granted | Denied: ...

    def settle(self, granted: Granted, used_tokens: int = 0) -> None: ...

    def wait(self, microseconds: int) -> None: ...

    def close(self) -> None: ...


class _Bench:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self._loop.close()


class InMemory(_Bench):
    def __init__(self) -> None:
        super().__init__()
        self._now_us = BEGAN_US % 10**12
        self.store = MemoryBuckets(lambda: self._now_us / 1e6)

    def take(self, *takes: Take) -> Granted | Denied:
        return self.run(self.store.take(takes))

    def settle(self, granted: Granted, used_tokens: int = 0) -> None:
        self.store.settle(granted, used_tokens)

    def wait(self, microseconds: int) -> None:
        self._now_us += microseconds


class InRedis(_Bench):
    """The real thing, but for where the scripts read the time: in a key that the test writes."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server
        self._client = server.client()
        self._now_us = BEGAN_US
        self.wait(0)
        self.link = RedisLink(server.url, lambda up, why: None, PATIENCE_S)
        self.store = RedisBuckets(self.link, _under_our_clock, report, lease_s=1e6)

    def take(self, *takes: Take) -> Granted | Denied:
        return self.run(self.store.take(takes))

    def settle(self, granted: Granted, used_tokens: int = 0) -> None:
        self.run(self._settle(granted, used_tokens))

    async def _settle(self, granted: Granted, used_tokens: int) -> None:
        self.store.settle(granted, used_tokens)
        await self.store._settle_now()

    def wait(self, microseconds: int) -> None:
        self._now_us += microseconds
        self._client.set("now", json.dumps(divmod(self._now_us, 10**6)))

    def close(self) -> None:
        self.run(self.store.close())
        self.run(self.link.close())
        self._client.close()
        super().close()


def _under_our_clock(text: str) -> Script:
    told = "cjson.decode(redis.call('GET', 'now'))"
    replaced = text.replace("redis.call('TIME')", told)
    assert replaced != text
    # Redis's own clock does not stand still, and must not end a key before ours does.
    return Script(replaced.replace("math.ceil((full_at - now) / 1000)", "3600000"))
