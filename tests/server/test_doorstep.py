"""Calls that come at once begin a few in each round of the event loop, in their order."""

import asyncio
import itertools

from gateway.server.doorstep import MAX_AT_ONCE, MAX_IN_A_ROUND, Doorstep


async def begin(doorstep, number, begun):
    if not doorstep.may_begin():
        await doorstep.wait()
    begun.append(number)


async def rounds_of(doorstep, calls):
    """How many have begun after each round."""
    begun = []
    tasks = [asyncio.ensure_future(begin(doorstep, number, begun)) for number in range(calls)]
    counts = []
    while len(begun) < calls:
        await asyncio.sleep(0)
        counts.append(len(begun))
    await asyncio.gather(*tasks)
    return begun, counts


async def test_few_calls_begin_at_once():
    doorstep = Doorstep(lambda: 0.0)
    assert [doorstep.may_begin() for _ in range(MAX_AT_ONCE)] == [True] * MAX_AT_ONCE
    assert not doorstep.may_begin()
    await asyncio.sleep(0)
    assert doorstep.may_begin()


async def test_a_crowd_begins_in_its_order_a_few_in_a_round():
    begun, counts = await rounds_of(Doorstep(lambda: 0.0), 3 * MAX_AT_ONCE)
    assert begun == sorted(begun)
    steps = [after - before for before, after in itertools.pairwise([0, *counts])]
    first, *others = [step for step in steps if step]
    assert first == MAX_AT_ONCE
    assert set(others) == {MAX_IN_A_ROUND}


async def test_a_few_that_wait_begin_together_in_the_next_round():
    _, counts = await rounds_of(Doorstep(lambda: 0.0), MAX_AT_ONCE + 100)
    steps = [after - before for before, after in itertools.pairwise([0, *counts])]
    assert [step for step in steps if step] == [MAX_AT_ONCE, 100]


async def test_it_tells_how_many_wait_and_for_how_long():
    now_s = 10.0
    doorstep = Doorstep(lambda: now_s)
    begun = []
    tasks = [
        asyncio.ensure_future(begin(doorstep, number, begun)) for number in range(MAX_AT_ONCE + 3)
    ]
    assert (doorstep.waiting, doorstep.longest_wait_s) == (0, 0.0)
    await asyncio.sleep(0)
    now_s = 10.5
    assert (doorstep.waiting, doorstep.longest_wait_s) == (3, 0.5)
    await asyncio.gather(*tasks)
    assert (doorstep.waiting, doorstep.longest_wait_s) == (0, 0.0)


async def test_whoever_leaves_keeps_nobody_waiting():
    doorstep = Doorstep(lambda: 0.0)
    begun = []
    tasks = [
        asyncio.ensure_future(begin(doorstep, number, begun)) for number in range(3 * MAX_AT_ONCE)
    ]
    await asyncio.sleep(0)
    for task in tasks[MAX_AT_ONCE:-1]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [*range(MAX_AT_ONCE), 3 * MAX_AT_ONCE - 1]
    assert doorstep.waiting == 0
