"""In memory: buckets that are full take no room, and made-up names cannot fill it."""

from __future__ import annotations

from gateway.limits.buckets import Denied, Granted, Take
from gateway.limits.memory_buckets import MemoryBuckets

from .bucket_stores import bucket


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def of_user(name: str, per_minute: int = 60) -> Take:
    made = bucket(capacity=per_minute, per_minute=per_minute, name=f"user=*{name}")
    return (made, 1)


async def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    store = MemoryBuckets(clock)
    for number in range(10_000):
        clock.now_s += 0.01  # each is full again after a second, when a hundred others came
        await store.take([of_user(f"u{number}")])
    assert len(store) < 250


async def test_made_up_names_share_a_bucket_once_there_are_too_many() -> None:
    store = MemoryBuckets(Clock(), max_buckets=1000)
    found = [await store.take([of_user(f"u{number}", 2)]) for number in range(5000)]
    passed = sum(isinstance(one, Granted) for one in found)
    assert len(store) <= 1001
    assert passed == 1000 + 2  # one for each that was early, and two for all the others together


async def test_whoever_came_before_them_keeps_their_own() -> None:
    store = MemoryBuckets(Clock(), max_buckets=100)
    regular = of_user("regular", 5)
    await store.take([regular])
    for number in range(500):
        await store.take([of_user(f"u{number}", 2)])
    found = [await store.take([regular]) for _ in range(5)]
    assert [isinstance(one, Granted) for one in found] == [True] * 4 + [False]


async def test_room_comes_back_with_time() -> None:
    clock = Clock()
    store = MemoryBuckets(clock, max_buckets=100)
    for number in range(500):
        await store.take([of_user(f"u{number}", 2)])
    clock.now_s += 61
    found = [await store.take([of_user(f"v{number}", 2)]) for number in range(100)]
    assert not any(isinstance(one, Denied) for one in found)


async def test_a_place_of_the_shared_bucket_comes_back() -> None:
    store = MemoryBuckets(Clock(), max_buckets=1)
    place = (bucket("concurrency", capacity=1, name="user=*a"), 1)
    other = (bucket("concurrency", capacity=1, name="user=*b"), 1)
    await store.take([place])
    shared = await store.take([other])
    assert isinstance(shared, Granted)
    assert isinstance(await store.take([other]), Denied)
    store.settle(shared, 0)
    assert isinstance(await store.take([other]), Granted)
