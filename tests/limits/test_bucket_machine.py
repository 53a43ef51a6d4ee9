"""Any order of taking, settling and waiting comes to what arithmetic without rounding comes to."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.limits.buckets import Bucket, Denied, Granted
from tests.redis_server import RedisServer

from .bucket_stores import Bench, InMemory, InRedis, bucket

BUCKETS = (
    bucket("requests", capacity=3, per_minute=60, name="key=a"),
    bucket("requests", capacity=7, per_minute=7, name="project=b"),
    bucket("tokens", capacity=1000, per_minute=601, name="key=a"),
    bucket("tokens", capacity=50_000, per_minute=1_000_003, name="user=c"),
    bucket("concurrency", capacity=2, name="key=a"),
)
NEARLY_S = Fraction(2, 10**6)
"""Within this of the border, either verdict is right."""


@dataclass
class Exact:
    """A bucket as anybody would describe it: a level that rises. Below 0 it is in debt."""

    bucket: Bucket
    level: Fraction
    lent: int = 0

    def pass_(self, seconds: Fraction) -> None:
        risen = self.level + seconds * self.bucket.per_minute / 60
        self.level = min(risen, Fraction(self.bucket.capacity))

    def wait_s(self, amount: int) -> Fraction:
        if self.bucket.kind == "concurrency":
            return Fraction(self.lent + amount > self.bucket.capacity)
        missing = min(amount, self.bucket.capacity) - self.level
        return max(Fraction(0), missing * 60 / self.bucket.per_minute)

    def take(self, amount: int) -> None:
        if self.bucket.kind == "concurrency":
            self.lent += amount
        else:
            self.level -= amount

    def settle(self, amount: int, used_tokens: int) -> None:
        if self.bucket.kind == "concurrency":
            self.lent -= amount
        elif self.bucket.kind == "tokens":
            self.level = min(self.level + amount - used_tokens, Fraction(self.bucket.capacity))

    @property
    def remaining(self) -> int:
        left = self.bucket.capacity - self.lent
        return max(0, left if self.bucket.kind == "concurrency" else int(self.level // 1))


class Buckets(RuleBasedStateMachine):
    """``make`` opens the store that is tried."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.exact = [Exact(bucket, Fraction(bucket.capacity)) for bucket in BUCKETS]
        self.under_way: list[tuple[Granted, list[tuple[Exact, int]]]] = []

    @rule(
        which=st.sets(st.integers(0, len(BUCKETS) - 1), min_size=1),
        tokens=st.one_of(st.integers(1, 1500), st.integers(1, 80_000)),
    )
    def take(self, which: set[int], tokens: int) -> None:
        wanted = [
            (exact, tokens if exact.bucket.kind == "tokens" else 1)
            for exact in (self.exact[number] for number in sorted(which))
        ]
        found = self.bench.take(*((exact.bucket, amount) for exact, amount in wanted))
        waits_s = [exact.wait_s(amount) for exact, amount in wanted]
        if isinstance(found, Denied):
            assert max(waits_s) > 0
            assert float(max(waits_s)) == pytest.approx(found.wait_s, abs=1e-5)
            return
        assert max(waits_s) <= NEARLY_S
        for (exact, amount), (remaining, _) in zip(wanted, found.levels, strict=True):
            exact.take(amount)
            assert abs(remaining - exact.remaining) <= (exact.level.denominator != 1)
        self.under_way.append((found, wanted))

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 20), used_tokens=st.integers(0, 2000))
    def settle(self, number: int, used_tokens: int) -> None:
        granted, wanted = self.under_way.pop(number % len(self.under_way))
        self.bench.settle(granted, used_tokens)
        for exact, amount in wanted:
            exact.settle(amount, used_tokens)

    @rule(microseconds=st.one_of(st.integers(1, 3_000_000), st.integers(1, 90_000_000)))
    def wait(self, microseconds: int) -> None:
        self.bench.wait(microseconds)
        for exact in self.exact:
            if exact.bucket.kind != "concurrency":
                exact.pass_(Fraction(microseconds, 10**6))

    def teardown(self) -> None:
        self.bench.close()


QUICK = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_in_memory() -> None:
    run_state_machine_as_test(lambda: Buckets(InMemory()), settings=QUICK)


def test_in_redis(redis_server: RedisServer) -> None:
    def machine() -> Buckets:
        with redis_server.client() as client:
            client.flushall()
        return Buckets(InRedis(redis_server))

    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.soak
def test_in_memory_at_length() -> None:
    long = settings(QUICK, max_examples=1000, stateful_step_count=50)
    run_state_machine_as_test(lambda: Buckets(InMemory()), settings=long)
