"""In Redis: several processes share buckets, and what a process had comes back when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis

from gateway.errors import CallError, Outcome
from gateway.limits.buckets import Denied, Granted, Take
from gateway.limits.count_here import CountHere
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.redis_buckets import PREFIX, RedisBuckets
from gateway.stores.redis_link import RedisLink, Script
from tests.redis_server import RedisServer

from .bucket_stores import bucket, report

Open = Callable[..., RedisBuckets]
PLACE = (bucket("concurrency", capacity=1), 1)


@pytest.fixture
async def opened(redis_server: RedisServer) -> AsyncIterator[Open]:
    """Opens stores, each with a link of its own, as processes have."""
    links: list[RedisLink] = []
    stores: list[RedisBuckets] = []

    def make(lease_s: float = 30.0) -> RedisBuckets:
        links.append(RedisLink(redis_server.url, lambda up, why: None))
        stores.append(RedisBuckets(links[-1], Script, report, lease_s))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
    for link in links:
        await link.close()


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    began_s = time.monotonic()
    while not await condition():
        assert time.monotonic() - began_s < within_s
        await asyncio.sleep(0.01)


async def granted(store: RedisBuckets, take: Take) -> bool:
    return isinstance(await store.take([take]), Granted)


async def test_two_processes_never_pass_more_than_there_is(opened: Open) -> None:
    take = (bucket(capacity=100, per_minute=60), 1)
    began_s = time.monotonic()
    stores = [opened(), opened()]
    found = await asyncio.gather(*(store.take([take]) for store in stores for _ in range(300)))
    passed = sum(isinstance(one, Granted) for one in found)
    assert 0 <= passed - 100 <= 1 + (time.monotonic() - began_s)


async def test_what_is_settled_in_one_process_is_there_for_the_other(opened: Open) -> None:
    tokens = bucket("tokens", capacity=1000, per_minute=1)
    one, other = opened(), opened()
    taken = await one.take([(tokens, 1000)])
    assert isinstance(taken, Granted)
    assert not await granted(other, (tokens, 400))
    one.settle(taken, 500)
    await eventually(lambda: granted(other, (tokens, 400)))
    assert not await granted(other, (tokens, 200))


async def test_a_thousand_settlements_leave_no_token_behind(
    opened: Open, redis_server: RedisServer
) -> None:
    tokens = bucket("tokens", capacity=10_000, per_minute=1)
    store = opened()
    found = await asyncio.gather(*(store.take([(tokens, 10)]) for _ in range(1000)))
    for one in found:
        assert isinstance(one, Granted)
        store.settle(one, 0)
    await store.close()
    with redis_server.client() as client:
        assert client.keys("*") == []  # a bucket that is full is no key


async def test_a_place_is_free_for_whoever_calls_next(opened: Open) -> None:
    store = opened()
    for _ in range(20):
        taken = await store.take([PLACE])
        assert isinstance(taken, Granted)
        store.settle(taken, 0)


async def test_the_places_of_a_process_that_died_come_back(opened: Open) -> None:
    dying, living = opened(lease_s=0.4), opened()
    began_s = time.monotonic()
    assert await granted(dying, PLACE)
    await dying.close()  # it renews nothing any more
    assert not await granted(living, PLACE) or time.monotonic() - began_s > 0.4
    await eventually(lambda: granted(living, PLACE))


async def test_a_long_call_keeps_its_place(opened: Open, redis_server: RedisServer) -> None:
    store, other = opened(), opened()
    store._renew_every_s = 0.02
    assert await granted(store, PLACE)
    with redis_server.client() as client:
        first = ends(client)

        async def renewed() -> bool:
            return ends(client) > first

        await eventually(renewed)
    assert not await granted(other, PLACE)


def ends(client: redis.Redis) -> float:
    """When the one lease on the place runs out, in Redis's time."""
    ((_, score),) = client.zrange(PREFIX + PLACE[0].name, 0, -1, withscores=True)
    return float(score)


async def test_places_are_still_taken_after_a_redis_that_forgot_them(
    opened: Open, redis_server: RedisServer
) -> None:
    store, other = opened(), opened()
    free = (bucket("concurrency", capacity=5, name="user=u"), 1)
    assert await granted(store, PLACE)
    with redis_server.gone(), pytest.raises(CallError):
        await store.take([free])

    async def back() -> bool:
        try:
            return await granted(store, free)
        except CallError:
            return False

    await eventually(back)

    async def refused() -> bool:
        with redis_server.client() as client:
            return client.zcard(PREFIX + PLACE[0].name) == 1

    await eventually(refused)
    assert not await granted(other, PLACE)


async def test_whoever_leaves_while_it_is_taken_gives_it_back(
    opened: Open, redis_server: RedisServer
) -> None:
    store = opened()
    await granted(store, (bucket(name="user=first"), 1))
    tokens = (bucket("tokens", capacity=100, per_minute=1), 100)
    with redis_server.silent():
        leaving = asyncio.ensure_future(store.take([tokens, PLACE]))
        await asyncio.sleep(0.05)  # until it is on its way
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    await eventually(lambda: granted(store, PLACE))
    await eventually(lambda: granted(store, tokens))


async def test_whoever_leaves_at_whatever_moment_keeps_no_place(opened: Open) -> None:
    store = opened()
    for steps in range(300):
        asking = asyncio.ensure_future(store.take([PLACE]))
        for _ in range(steps % 30):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            found = await asking
            assert isinstance(found, Granted)
            store.settle(found, 0)
    assert await granted(store, PLACE)


async def test_keys_end_by_themselves(opened: Open, redis_server: RedisServer) -> None:
    store = opened(lease_s=5.0)
    await store.take([(bucket(per_minute=600), 1), PLACE])
    with redis_server.client() as client:
        lives_ms = {key: client.pttl(key) for key in client.keys("*")}
    assert len(lives_ms) == 2
    assert all(0 < left_ms <= 5001 for left_ms in lives_ms.values())
    assert all(key.startswith(b"{daobo}") for key in lives_ms)


async def test_without_redis_nothing_is_granted(opened: Open, redis_server: RedisServer) -> None:
    store = opened()
    with redis_server.gone(), pytest.raises(CallError) as caught:
        await store.take([PLACE])
    assert caught.value.outcome is Outcome.LIMITS_UNAVAILABLE


async def test_counting_here_lets_as_many_through_as_one_process_may(
    opened: Open, redis_server: RedisServer
) -> None:
    here: list[None] = []
    store = CountHere(opened(), MemoryBuckets(time.monotonic), lambda: here.append(None))
    take = (bucket(capacity=5, per_minute=1), 1)
    with redis_server.gone():
        during = [await store.take([take, PLACE]) for _ in range(2)]
        assert [type(one) for one in during] == [Granted, Denied]
    assert isinstance(during[0], Granted)

    async def back() -> bool:
        found = await store.take([(bucket(name="user=u"), 1)])
        return isinstance(found, Granted) and bool(found.receipt)

    await eventually(back)
    store.settle(during[0], 0)  # goes to where it came from
    after = await store.take([take, PLACE])
    assert isinstance(after, Granted)
    remaining, _ = after.levels[0]
    assert remaining == 4
    assert len(here) >= 2
