"""Another library, asked for the same requests at the same times, lets the same ones through.

throttled-py has a limiter of the same kind (GCRA) and none for what comes beside it here: several
buckets at once, and settling. Its quota is a rate and a burst, as a bucket's is.
"""

from __future__ import annotations

import time

import pytest
import throttled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from throttled import utils

from gateway.limits.buckets import Denied, Granted
from gateway.limits.redis_buckets import RedisBuckets
from gateway.stores.redis_link import RedisLink, Script
from tests.redis_server import RedisServer

from .bucket_stores import InMemory, bucket, report

GCRA = "gcra"


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    capacity=st.integers(1, 20),
    per_minute=st.sampled_from([15, 60, 120, 960]),  # whole fractions: neither side has to round
    requests=st.lists(st.tuples(st.integers(0, 256), st.integers(1, 4)), min_size=1, max_size=60),
)
def test_in_memory(
    capacity: int,
    per_minute: int,
    requests: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1024.0
    monkeypatch.setattr(utils, "now_mono_f", lambda: now_s)
    quota = throttled.per_min(per_minute, burst=capacity)
    oracle = throttled.Throttled(using=GCRA, quota=quota, store=throttled.MemoryStore())
    bench = InMemory()
    bench.wait(24 * 10**6)
    try:
        for pause, cost in requests:
            now_s += pause / 64
            bench.wait(pause * 10**6 // 64)
            if cost > capacity:
                continue  # never let through there, once in a while here
            told = oracle.limit("k", cost=cost)
            found = bench.take((bucket(capacity=capacity, per_minute=per_minute), cost))
            assert isinstance(found, Denied) is told.limited
            if isinstance(found, Denied):
                assert found.wait_s == pytest.approx(told.state.retry_after, abs=1e-5)
            else:
                [(remaining, full_in_s)] = found.levels
                assert remaining == told.state.remaining
                assert full_in_s == pytest.approx(told.state.reset_after, abs=1e-5)
    finally:
        bench.close()


async def test_in_redis(redis_server: RedisServer) -> None:
    """Under Redis's own clock, which neither side can move. Each is asked in turn, so while one is
    asked the other gains what flows in meanwhile."""
    capacity, per_minute = 20, 3000
    store = throttled.RedisStore(server=redis_server.url)
    quota = throttled.per_min(per_minute, burst=capacity)
    oracle = throttled.Throttled(using=GCRA, quota=quota, store=store)
    link = RedisLink(redis_server.url, lambda up, why: None)
    buckets = RedisBuckets(link, Script, report)
    take = (bucket(capacity=capacity, per_minute=per_minute), 1)
    mine = theirs = 0
    began_s = asked_s = time.monotonic()
    slowest_s = 0.0
    while mine < capacity + 10:
        theirs += not oracle.limit("k").limited
        mine += isinstance(await buckets.take([take]), Granted)
        slowest_s = max(slowest_s, time.monotonic() - asked_s)
        asked_s = time.monotonic()
        assert abs(mine - theirs) <= 1 + slowest_s * per_minute / 60
    await link.close()
    assert mine <= capacity + 1 + (asked_s - began_s) * per_minute / 60
