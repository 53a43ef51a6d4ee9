"""Pacing towards a provider: on the spot or in line, no longer than told, and turns come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from gateway.config_limits import QueueConfig
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.limits.buckets import Bucket, BucketStore, Denied, Granted, Take
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.pacing import Pacer
from gateway.limits.redis_buckets import RedisBuckets
from gateway.schema import BATCH, INTERACTIVE, Allowance, Allowances, Target
from gateway.stores.redis_link import RedisLink, Script
from tests.redis_server import RedisServer

from .bucket_stores import report
from .waits import PAINTER, PATIENCE_S, WRITER, journey, pace, pacer, until_waiting, used


class Crowd:
    """Calls that wait for one account, and the order in which they got their turns."""

    def __init__(
        self, account: Pacer, tasks: asyncio.TaskGroup, patience_s: float = PATIENCE_S
    ) -> None:
        self.account = account
        self._patience_s = patience_s
        self.order: list[str] = []
        self._tasks = tasks

    def add(self, *projects: str, priority: str = INTERACTIVE, target: Target = WRITER) -> None:
        for project in projects:
            self._tasks.create_task(self._one(project, priority, target))

    async def _one(self, project: str, priority: str, target: Target) -> None:
        async with self.account.turn(journey(project, priority, target), target, self._patience_s):
            self.order.append(project)


async def take_turns(account: Pacer, count: int) -> None:
    for _ in range(count):
        async with account.turn(journey(), WRITER, PATIENCE_S):
            pass


async def refused(account: Pacer, max_wait_s: float = 5.0, of: Journey | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        async with account.turn(of or journey(), WRITER, max_wait_s):
            pass
    return caught.value


# On the spot


async def test_a_turn_with_room_does_not_suspend() -> None:
    account = pacer(max_concurrency=1, requests_per_minute=10, tokens_per_minute=1000)
    entering = account.turn(journey(), WRITER, PATIENCE_S).__aenter__()
    with pytest.raises(StopIteration):
        entering.send(None)
    assert account.under_way == 1


async def test_a_turn_is_given_back_after_a_failure_inside_it() -> None:
    account = pacer(max_concurrency=1)
    with pytest.raises(KeyError):
        async with account.turn(journey(), WRITER, PATIENCE_S):
            raise KeyError
    await take_turns(account, 1)


async def test_a_timeout_inside_a_turn_is_not_mistaken_for_a_wait() -> None:
    with pytest.raises(TimeoutError):
        async with pacer(max_concurrency=1).turn(journey(), WRITER, PATIENCE_S):
            raise TimeoutError


# In line


async def test_no_more_calls_than_its_concurrency_are_under_way() -> None:
    account, most = pacer(max_concurrency=3), 0

    async def one() -> None:
        nonlocal most
        async with account.turn(journey(), WRITER, PATIENCE_S):
            most = max(most, account.under_way)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(one())
    assert most == 3
    assert account.under_way == 0


async def test_batch_waits_behind_interactive_and_projects_take_turns() -> None:
    account = pacer(max_concurrency=1)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks)
        async with account.turn(journey(), WRITER, PATIENCE_S):
            crowd.add("night", priority=BATCH)
            crowd.add("market", "market", "market", "lantern")
            await until_waiting(account, 5)
    assert crowd.order == ["market", "lantern", "market", "market", "night"]


async def test_a_parked_target_keeps_no_other_target_waiting() -> None:
    account = pacer(max_concurrency=1)
    account.park(WRITER, 0.05)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks)
        crowd.add("parked")
        await until_waiting(account, 1)
        crowd.add("other", target=PAINTER)
    assert crowd.order == ["other", "parked"]


async def test_calls_above_the_rate_wait_for_their_turn() -> None:
    account = pacer(requests_per_minute=1200)
    began_s = asyncio.get_running_loop().time()
    await take_turns(account, 1202)
    assert asyncio.get_running_loop().time() - began_s >= 0.09
    assert account.waiting == 0


async def test_a_call_above_the_tokens_waits_for_them() -> None:
    account = pacer(pace(tokens=60_000), tokens_per_minute=60_000)
    of = journey()
    async with account.turn(of, WRITER, PATIENCE_S):
        used(of, 60_000)
    assert (await refused(account)).retry_after_s == pytest.approx(60, abs=10)


async def test_tokens_are_settled_to_the_truth() -> None:
    account = pacer(pace(tokens=60_000), tokens_per_minute=60_000)
    of = journey()
    async with account.turn(of, WRITER, PATIENCE_S):
        used(of, 50)
    await take_turns(account, 1)  # 50 of 60,000 come back within 50 ms


async def test_an_attempt_that_the_provider_refused_used_no_tokens() -> None:
    account = pacer(pace(tokens=60_000), tokens_per_minute=60_000)
    with pytest.raises(CallError):
        async with account.turn(journey(), WRITER, PATIENCE_S):
            raise CallError(Outcome.UPSTREAM_RATE_LIMITED, "too many")
    async with account.turn(journey(), WRITER, 0.01):
        pass


async def test_an_attempt_of_which_nobody_knows_keeps_its_estimate() -> None:
    account = pacer(pace(tokens=60_000), tokens_per_minute=60_000)
    of = journey()
    of.billable = True
    with pytest.raises(CallError, match="cut"):
        async with account.turn(of, WRITER, PATIENCE_S):
            raise CallError(Outcome.UPSTREAM_CUT, "cut")
    await refused(account, 0.5)


async def test_the_limits_of_a_target_are_waited_for() -> None:
    limit = Bucket("target=writer requests", "requests", 1, 1200)
    account = pacer(pace(buckets=[limit]))
    began_s = asyncio.get_running_loop().time()
    await take_turns(account, 3)
    assert asyncio.get_running_loop().time() - began_s >= 0.09


# No longer than told


async def test_a_wait_that_is_known_to_be_too_long_is_refused_at_once() -> None:
    account = pacer(requests_per_minute=2)
    await take_turns(account, 2)
    began_s = asyncio.get_running_loop().time()
    error = await refused(account, 20.0)
    assert asyncio.get_running_loop().time() - began_s < 10
    assert error.outcome is Outcome.RATE_LIMITED
    assert error.retry_after_s == pytest.approx(30, abs=10)
    assert error.message.startswith("no turn for studio/writer at ")
    assert ": its configured limits are used up; it would come in " in error.message


async def test_whoever_is_before_a_call_counts_into_its_wait() -> None:
    account = pacer(pace(queue=QueueConfig(max_wait_s=40)), requests_per_minute=2)
    await take_turns(account, 2)
    waiting = asyncio.ensure_future(refused(account, 40))
    await until_waiting(account, 1)
    error = await refused(account, 40)
    assert error.retry_after_s == pytest.approx(60, abs=10)
    assert ": its configured limits are used up, waiting calls that go first: 1;" in error.message
    await account.close()
    assert (await waiting).outcome is Outcome.OVERLOADED


async def test_a_turn_that_does_not_come_in_time_is_an_error() -> None:
    account = pacer(max_concurrency=1)
    async with account.turn(journey(), WRITER, PATIENCE_S):
        error = await refused(account, 0.01)
    assert "0.0 s" in error.message
    assert error.outcome.retryable
    assert not error.from_upstream


async def test_a_full_queue_refuses_at_once() -> None:
    account = pacer(pace(queue=QueueConfig(max_waiting=2)), max_concurrency=1)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks)
        async with account.turn(journey(), WRITER, PATIENCE_S):
            crowd.add("one", "two")
            await until_waiting(account, 2)
            error = await refused(account)
            assert "2 calls wait there already" in error.message
    assert crowd.order == ["one", "two"]


async def test_batch_may_wait_longer_than_interactive() -> None:
    queue = QueueConfig(max_wait_s=0.01, batch_max_wait_s=PATIENCE_S)
    account = pacer(pace(queue=queue), max_concurrency=1)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks)
        async with account.turn(journey(), WRITER, PATIENCE_S):
            crowd.add("night", priority=BATCH)
            await refused(account)
            assert account.waiting == 1
    assert crowd.order == ["night"]


async def test_whoever_gives_up_waiting_takes_no_turn_from_others() -> None:
    account = pacer(max_concurrency=1)
    async with account.turn(journey(), WRITER, PATIENCE_S):
        for _ in range(3):
            await refused(account, 0.001)
    await take_turns(account, 1)
    assert account.waiting == account.under_way == 0


async def test_a_call_cancelled_with_its_turn_in_hand_gives_it_back() -> None:
    account = pacer(pace(tokens=60_000), max_concurrency=1, tokens_per_minute=60_000)

    async def one() -> None:
        async with account.turn(journey(), WRITER, PATIENCE_S):
            raise AssertionError("it was cancelled before")

    async with account.turn(journey(), WRITER, PATIENCE_S):
        waiting = asyncio.ensure_future(one())
        await until_waiting(account, 1)
    await until_waiting(account, 0)  # the turn is its own, and it has not run since
    waiting.cancel()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], BaseException)
    assert account.under_way == 0
    async with account.turn(journey(), WRITER, 0.01):
        pass


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_becomes_of_calls_nothing_stays_behind(seed: int) -> None:
    """Some are cancelled, some give up, some fail, at any moment; a far store and a near one."""
    chance = random.Random(seed)
    store = (MemoryBuckets if seed % 2 else Slow)(time.monotonic)
    tokens = Bucket("target=writer tokens", "tokens", 1000, 60_000_000)
    places = Bucket("target=writer concurrency", "concurrency", 3)
    limited = pace(buckets=[tokens, places], store=store, tokens=500)
    account = pacer(limited, max_concurrency=4, requests_per_minute=60_000)

    async def one() -> None:
        of = journey(chance.choice("abc"), chance.choice([INTERACTIVE, BATCH]))
        async with account.turn(of, WRITER, chance.choice([0.003, PATIENCE_S])):
            await asyncio.sleep(chance.random() / 200)
            used(of, chance.randrange(1000))
            if chance.random() < 0.2:
                raise CallError(Outcome.UPSTREAM_FAILED, "500")

    calls = [asyncio.ensure_future(one()) for _ in range(60)]
    for call in chance.sample(calls, 20):
        await asyncio.sleep(chance.random() / 500)
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert any(end is None for end in ended)
    assert all(isinstance(e, CallError | asyncio.CancelledError | None) for e in ended)
    assert account.waiting == account.under_way == 0
    assert account.lane(WRITER).under_way == account.lane(WRITER).reserved_tokens == 0
    assert store._places == {}


async def test_closing_sends_everybody_away() -> None:
    account = pacer(max_concurrency=1)
    async with account.turn(journey(), WRITER, PATIENCE_S):
        waiting = asyncio.ensure_future(refused(account))
        await until_waiting(account, 1)
        await account.close()
        assert (await waiting).outcome is Outcome.OVERLOADED
    assert account.waiting == 0


class Gone(BucketStore):
    """A store that cannot be reached."""

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        raise CallError(Outcome.LIMITS_UNAVAILABLE, "gone")

    def settle(self, granted: Granted, used_tokens: int) -> None:
        raise AssertionError("nothing was taken")


async def test_a_store_that_is_gone_is_told_and_nothing_stays_behind() -> None:
    account = pacer(pace(store=Gone()), tokens_per_minute=60_000)
    account.park(WRITER, 0.01)
    for _ in range(2):
        assert (await refused(account)).outcome is Outcome.LIMITS_UNAVAILABLE
    assert account.waiting == account.under_way == 0


class Slow(MemoryBuckets):
    """A store that takes its time, as one on another machine does."""

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        await asyncio.sleep(0.005)
        return await super().take(takes)


async def test_a_store_far_off_loses_nobody() -> None:
    limit = Bucket("target=writer concurrency", "concurrency", 1)
    account = pacer(pace(buckets=[limit], store=Slow(time.monotonic)))
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks)
        async with account.turn(journey(), WRITER, PATIENCE_S):
            crowd.add(*["market"] * 6)
            await until_waiting(account, 6)
            assert (await refused(account, 0.002)).outcome is Outcome.RATE_LIMITED
    assert len(crowd.order) == 6
    assert account.under_way == 0


@pytest.fixture
async def shared(redis_server: RedisServer) -> AsyncIterator[Callable[..., Pacer]]:
    """Makes accounts of the same name, each as in a process of its own."""
    links = [RedisLink(redis_server.url, lambda up, why: None) for _ in range(2)]
    stores = [RedisBuckets(link, Script, report) for link in links]
    left = iter(stores)

    def made(**settings: int) -> Pacer:
        return pacer(pace(store=next(left))._replace(is_shared=True), **settings)

    yield made
    for store, link in zip(stores, links, strict=True):
        await store.close()
        await link.close()


async def test_two_processes_share_the_requests_of_an_account(
    shared: Callable[..., Pacer],
) -> None:
    one, other = shared(requests_per_minute=5), shared(requests_per_minute=5)
    await take_turns(one, 3)
    await take_turns(other, 2)
    for account in (one, other):
        assert (await refused(account)).retry_after_s == pytest.approx(12, abs=6)


async def test_a_place_that_another_process_gives_back_is_taken(
    shared: Callable[..., Pacer],
) -> None:
    one, other = shared(max_concurrency=1), shared(max_concurrency=1)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(other, tasks)
        async with one.turn(journey(), WRITER, PATIENCE_S):
            crowd.add("market", "market")
            await until_waiting(other, 2)
            assert crowd.order == []
    assert crowd.order == ["market", "market"]


# What the provider says


async def test_nothing_left_holds_the_target_until_there_is_one_again() -> None:
    account = pacer()
    account.told(WRITER, Allowances(requests=Allowance(60, 0, 3.0)))
    began_s = asyncio.get_running_loop().time()
    async with account.turn(journey(), PAINTER, 0.001):  # it does not wait
        pass
    await take_turns(account, 1)
    assert asyncio.get_running_loop().time() - began_s >= 0.049


async def test_no_more_go_than_the_provider_says_are_left() -> None:
    account = pacer()
    account.told(WRITER, Allowances(requests=Allowance(60, 2, 60.0)))
    async with (
        account.turn(journey(), WRITER, PATIENCE_S),
        account.turn(journey(), WRITER, PATIENCE_S),
    ):
        error = await refused(account, 0.01)
    assert error.outcome is Outcome.RATE_LIMITED
    await take_turns(account, 1)


async def test_a_hold_longer_than_the_wait_is_the_providers_refusal() -> None:
    account = pacer()
    account.told(WRITER, Allowances(tokens=Allowance(1000, 0, 300.0)))
    error = await refused(account)
    assert error.outcome is Outcome.UPSTREAM_RATE_LIMITED
    assert error.retry_after_s == pytest.approx(30, abs=10)
    assert not error.from_upstream


async def test_a_higher_limit_of_another_configuration_wakes_whoever_waits() -> None:
    limit = Bucket("target=writer requests", "requests", 1, 1)
    account = pacer(pace(buckets=[limit], queue=QueueConfig(max_wait_s=100)))
    await take_turns(account, 1)
    async with asyncio.TaskGroup() as tasks:
        crowd = Crowd(account, tasks, patience_s=100.0)
        crowd.add("market")
        await until_waiting(account, 1)
        account.follow(pace(queue=QueueConfig(max_wait_s=100)))
    assert crowd.order == ["market"]
