"""A second attempt beside a silent first one: who wins, what the loser costs, what is closed."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from ladder_house import Answer, answers, is_silent, ladder_house, says

from gateway.contracts import Client
from gateway.errors import Outcome
from gateway.journey import Journey
from gateway.schema import Call, Caller, Plan, Target
from gateway.upstream.hedging import Race
from gateway.upstream.ladder import Step

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture
async def house(tmp_path):
    async with ladder_house(tmp_path) as it:
        yield it


def after(moment, act):
    """Answer once ``moment`` has come."""

    async def wait(asked):
        await moment.wait()
        await act(asked)

    return wait


async def rows(house):
    """Outcome and cost of every attempt in the ledger."""
    await house.gateway.ledger.stop(5)
    path = house.gateway.options.state / "ledger.db"
    with sqlite3.connect(path) as ledger:
        return ledger.execute(
            "select provider, outcome, cost_nano > 0, estimated from attempts order by provider"
        ).fetchall()


async def test_the_second_one_answers_for_a_silent_first_one(house):
    first, _ = house.upstreams
    first.act = is_silent
    answer = await house.call("both")
    assert (answer.status, answer.provider) == (200, "p1")
    assert answer.headers["x-daobo-hedged"] == "true"
    assert answer.headers["x-daobo-attempts"] == "2"
    async with asyncio.timeout(1):
        await first.asked[0].gone.wait()
    (record,) = await house.records()
    assert [a.outcome for a in record.attempts] == [Outcome.HEDGE_LOST, Outcome.OK]
    assert record.target.provider == "p1"


async def test_what_the_loser_may_cost_is_in_header_and_ledger(house):
    house.upstreams[0].act = is_silent
    answer = await house.call("both")
    lost, won = await house.attempts()
    assert lost.bill.estimated
    assert lost.bill.cost_nano > won.bill.cost_nano > 0
    total = lost.bill.cost_nano + won.bill.cost_nano
    assert answer.headers["x-daobo-cost"] == f"{total / 1e9:.9f}"
    assert await rows(house) == [("p0", "hedge_lost", 1, 1), ("p1", "ok", 1, 0)]


async def test_a_stream_says_in_its_comment_what_both_cost(house):
    house.upstreams[0].act = is_silent
    answer = await house.call("both", stream=True, stream_options={"include_usage": True})
    total = sum(a.bill.cost_nano for a in await house.attempts())
    assert f": cost {total / 1e9:.9f} USD".encode() in answer.body
    assert b"[DONE]" in answer.body


async def test_the_first_one_may_still_win(house):
    first, second = house.upstreams
    came = asyncio.Event()
    first.act, second.act = after(came, answers), is_silent
    calling = asyncio.ensure_future(house.call("both"))
    await second.was_asked(1)
    came.set()
    answer = await calling
    assert (answer.provider, answer.headers["x-daobo-hedged"]) == ("p0", "true")
    async with asyncio.timeout(1):
        await second.asked[0].gone.wait()
    (record,) = await house.records()
    assert {a.target.provider: a.outcome for a in record.attempts} == {
        "p0": Outcome.OK,
        "p1": Outcome.HEDGE_LOST,
    }


async def test_an_answer_in_time_is_not_hedged(house):
    answer = await house.call("both")
    assert "x-daobo-hedged" not in answer.headers
    assert house.total_asked == 1


async def test_a_client_that_leaves_ends_both(house):
    first, second = house.upstreams
    first.act = second.act = is_silent
    calling = asyncio.ensure_future(house.call("both"))
    await second.was_asked(1)
    calling.cancel()
    async with asyncio.timeout(1):
        await first.asked[0].gone.wait()
        await second.asked[0].gone.wait()
    attempts = await house.attempts()
    assert [a.outcome for a in attempts] == [Outcome.CLIENT_GONE] * 2
    assert all(a.bill.estimated and a.bill.cost_nano for a in attempts)


async def test_a_failure_of_one_leaves_the_answer_to_the_other(house):
    first, second = house.upstreams
    came = asyncio.Event()
    first.act, second.act = after(came, says(500)), after(came, answers)
    calling = asyncio.ensure_future(house.call("both"))
    await second.was_asked(1)
    came.set()
    answer = await calling
    assert (answer.status, answer.provider) == (200, "p1")
    outcomes = {a.target.provider: a.outcome for a in await house.attempts()}
    assert outcomes["p1"] is Outcome.OK


async def test_where_both_fail_the_ladder_goes_on(tmp_path):
    async with ladder_house(tmp_path, size=3) as house:
        came = asyncio.Event()
        for upstream in house.upstreams[:2]:
            upstream.act = after(came, says(500))
        calling = asyncio.ensure_future(house.call("both"))
        await house.upstreams[1].was_asked(1)
        came.set()
        assert (await calling).provider == "p2"
        assert len(await house.attempts()) == 3


async def test_a_wrong_request_ends_both(house):
    first, second = house.upstreams
    came = asyncio.Event()
    first.act, second.act = after(came, says(400)), is_silent
    calling = asyncio.ensure_future(house.call("both"))
    await second.was_asked(1)
    came.set()
    assert (await calling).status == 400
    async with asyncio.timeout(1):
        await second.asked[0].gone.wait()


class Nobody(Client):
    """A client that has left."""


async def test_a_client_that_leaves_while_the_loser_is_ended_forgets_no_attempt():
    targets = [Target(f"p{number}", "m", "writer") for number in range(2)]
    first, second = (Step(target, None, None, None, 0) for target in targets)
    call = Call("call_1", "chat", Caller("k_1"), "writer", {}, 0, 0.0, 0.0)
    journey = Journey(call, Plan(tuple(targets), {}, "model"))
    ending = asyncio.Event()

    async def attempt(journey, step, client):
        journey.begin(step.target)
        try:
            await (client.send_answer(journey, b"{}") if step is second else asyncio.Future())
        finally:
            ending.set()
            await asyncio.sleep(0)
            journey.end(Outcome.CLIENT_GONE, 0.0, "")

    async def beside():
        return second

    race = Race(journey, Nobody(), attempt)
    running = asyncio.ensure_future(race.run(first, beside, 0.0, lambda error: True))
    await ending.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(attempt.target.provider for attempt in journey.attempts) == ["p0", "p1"]


@pytest.mark.parametrize("more", [{"tools": [TOOL]}, {"modalities": ["text", "audio"]}])
async def test_what_may_do_more_than_write_is_not_hedged(house, more):
    answered = asyncio.Event()
    house.upstreams[0].act = after(answered, answers)
    calling = asyncio.ensure_future(house.call("both", **more))
    await house.upstreams[0].was_asked(1)
    await asyncio.sleep(0.15)  # three times what a hedge waits for
    answered.set()
    answer: Answer = await calling
    assert (answer.status, house.total_asked) == (200, 1)


async def test_without_a_budget_there_is_no_second_one(tmp_path):
    async with ladder_house(tmp_path, more="retries: {budget: 0}\n") as house:
        answered = asyncio.Event()
        house.upstreams[0].act = after(answered, answers)
        calling = asyncio.ensure_future(house.call("both"))
        await house.upstreams[0].was_asked(1)
        await asyncio.sleep(0.15)
        answered.set()
        assert (await calling).provider == "p0"
        assert house.total_asked == 1


async def test_a_hedge_is_held_for_before_it_is_sent(tmp_path):
    async with ladder_house(tmp_path) as house:
        house.upstreams[0].act = house.upstreams[1].act = is_silent
        calling = asyncio.ensure_future(house.call("both"))
        await house.upstreams[1].was_asked(1)
        with sqlite3.connect(house.gateway.options.state / "ledger.db") as ledger:
            (amount,) = ledger.execute("select amount_nano from holds").fetchone()
        calling.cancel()
        bills = [a.bill.cost_nano for a in await house.attempts()]
        assert sum(bills) == amount
