"""What is kept in memory, for how long, and how much of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.answers.memory import ENTRY_BYTES, MemoryKeeper
from gateway.kept import Kept

from .asked import kept

T = TypeVar("T")
MAX_BYTES = 4 * ENTRY_BYTES
KEYS = st.sampled_from("abcdef")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What it returns: memory has nothing to wait for."""
    with pytest.raises(StopIteration) as ended:
        work.send(None)
    result: T = ended.value.value
    return result


def get(keeper: MemoryKeeper, key: str) -> Kept | None:
    return at_once(keeper.get(key))


def put(keeper: MemoryKeeper, key: str, size_bytes: int = 0, ttl_s: float = 60) -> None:
    at_once(keeper.put(key, kept(b"x" * size_bytes), ttl_s))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(clock: Clock) -> MemoryKeeper:
    return MemoryKeeper(clock, MAX_BYTES)


def test_what_was_put_is_found(keeper: MemoryKeeper) -> None:
    put(keeper, "a", 5)
    assert get(keeper, "a") == kept(b"xxxxx")


def test_an_answer_is_given_up_when_its_time_is_over(keeper: MemoryKeeper, clock: Clock) -> None:
    put(keeper, "a", ttl_s=60)
    clock.now_s = 60
    assert get(keeper, "a") is None
    assert (len(keeper), keeper.size_bytes) == (0, 0)


def test_what_was_used_last_is_kept_longest(keeper: MemoryKeeper) -> None:
    for key in "abcd":
        put(keeper, key)
    get(keeper, "a")
    put(keeper, "e")
    assert [key for key in "abcde" if get(keeper, key)] == ["a", "c", "d", "e"]


def test_an_answer_larger_than_everything_is_not_kept(keeper: MemoryKeeper) -> None:
    put(keeper, "a")
    put(keeper, "b", MAX_BYTES)
    assert get(keeper, "a") is not None
    assert get(keeper, "b") is None


def test_answers_take_no_more_memory_than_is_counted(clock: Clock) -> None:
    keeper = MemoryKeeper(clock, 1 << 20)
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(200):
            at_once(keeper.put(f"{number}", kept(orjson.dumps({"a": number})), 60))
        taken_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert taken_bytes <= keeper.size_bytes


def test_a_smaller_bound_takes_effect_at_once(keeper: MemoryKeeper) -> None:
    for key in "abcd":
        put(keeper, key)
    keeper.resize(ENTRY_BYTES)
    assert len(keeper) == 1
    assert get(keeper, "d") is not None


class Bounds(RuleBasedStateMachine):
    """Whatever is put and asked: no more than the bound, nothing that is over, nothing invented."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.keeper = MemoryKeeper(self.clock, MAX_BYTES)
        self.put_last: dict[str, tuple[bytes, float]] = {}

    @rule(key=KEYS, size_bytes=st.integers(0, MAX_BYTES), ttl_s=st.integers(1, 5))
    def keep(self, key: str, size_bytes: int, ttl_s: int) -> None:
        put(self.keeper, key, size_bytes, ttl_s)
        self.put_last[key] = b"x" * size_bytes, self.clock.now_s + ttl_s

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        found = get(self.keeper, key)
        if found is not None:
            body, until_s = self.put_last[key]
            assert found.body == body
            assert self.clock.now_s < until_s

    @rule(wait_s=st.integers(1, 3))
    def wait(self, wait_s: int) -> None:
        self.clock.now_s += wait_s

    @invariant()
    def within_bounds(self) -> None:
        assert 0 <= self.keeper.size_bytes <= MAX_BYTES
        assert len(self.keeper) <= MAX_BYTES // ENTRY_BYTES
        assert (len(self.keeper) == 0) == (self.keeper.size_bytes == 0)


TestBounds = Bounds.TestCase


@given(st.integers(0, MAX_BYTES - ENTRY_BYTES))
def test_one_answer_that_fits_is_always_kept(size_bytes: int) -> None:
    keeper = MemoryKeeper(Clock(), MAX_BYTES)
    for key in "abcdef":
        put(keeper, key, size_bytes)
        assert get(keeper, key) is not None
