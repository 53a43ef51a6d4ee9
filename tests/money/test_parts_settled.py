"""How a call that was cut ends: one row, an attempt for each try at a part, and a fair baseline."""

from __future__ import annotations

from typing import Any

import pytest
from parts import AT_S, CHEAP, DEAR, RATE, Counter, book, part, purse, whole

from gateway.errors import Outcome
from gateway.journey import Journey
from gateway.ledger import Closing
from gateway.money.purse import Purse
from gateway.schema import CallRecord, Part, PartCounts, Usage

USAGE = Usage(input_tokens=900, output_tokens=400)


async def sent(money: Purse, of: Journey, part: Part, usage: Usage = USAGE) -> Journey:
    """One request for a part, answered."""
    journey = Journey(part.call, part.plan, hold=await money.share(of.hold, *part))
    journey.begin(CHEAP)
    journey.usage = usage
    journey.bill = money.bill(journey, CHEAP, usage)
    journey.end(Outcome.OK, 1.0, "")
    money.give_back(journey)
    of.take_part(journey)
    return journey


async def begun(money: Purse, *parts: Part) -> Journey:
    call, plan = whole(*parts)
    return Journey(call, plan, hold=await money.hold(call, plan), parts=PartCounts())


def settled(money: Purse, ledger: Counter, journey: Journey) -> tuple[CallRecord, Closing]:
    record = journey.record(5.0)
    money.settle(journey.hold, record)
    return record, ledger.closing


async def test_a_cut_call_is_one_request_with_an_attempt_for_each_part() -> None:
    ledger, parts = Counter(), [part(1), part(2)]
    money = purse(ledger)
    journey = await begun(money, *parts)
    for each in parts:
        journey.take_answer(await sent(money, journey, each))
    record, closing = settled(money, ledger, journey)
    assert [(row.number, row.part) for row in closing.attempts] == [(1, 1), (2, 2)]
    assert closing.request is not None
    assert closing.request.held_nano == ledger.asked[0].amount_nano
    charged = sum(charge.cost_nano for charge in closing.charges)
    assert record.cost is not None
    assert charged == record.cost.nano == journey.hold.charged_nano == 2 * 1_700_000


async def test_an_answer_that_was_of_no_use_is_paid_and_marked() -> None:
    ledger, only = Counter(), part(1)
    money = purse(ledger)
    journey = await begun(money, only)
    await sent(money, journey, only)
    journey.take_answer(await sent(money, journey, only))
    record, closing = settled(money, ledger, journey)
    assert [row.outcome for row in closing.attempts] == ["discarded", "ok"]
    assert [charge.cost_nano for charge in closing.charges] == [1_700_000, 1_700_000]
    assert record.usage == USAGE
    assert record.list_cost is not None
    assert record.list_cost.nano == 1_700_000


async def test_the_answer_that_is_relayed_as_it_comes_is_known_before_its_attempt_ends() -> None:
    money, only = purse(), part(1)
    journey = await begun(money, only)
    last = Journey(only.call, only.plan, hold=await money.share(journey.hold, *only))
    last.begin(CHEAP)
    last.usage, last.bill = USAGE, money.bill(last, CHEAP, USAGE)
    journey.take_answer(last)
    last.end(Outcome.OK, 1.0, "")
    journey.take_part(last)
    assert [attempt.outcome for attempt in journey.record(5.0).attempts] == [Outcome.OK]


async def test_savings_compare_the_answers_that_were_used_each_in_its_own_tier() -> None:
    ledger, parts = Counter(), [part(1), part(2)]
    money = Purse(ledger, book(), RATE, 3, {"polish": DEAR})
    journey = await begun(money, *parts)
    await sent(money, journey, parts[0])
    for each in parts:
        journey.take_answer(await sent(money, journey, each))
    _, closing = settled(money, ledger, journey)
    price = book().price(DEAR)
    assert price is not None
    assert closing.request is not None
    assert closing.request.baseline_nano == 2 * price.cost(USAGE, AT_S).nano


@pytest.mark.parametrize("counts", [{"kept": 2}, {"kept": 1, "source": 1}])
async def test_a_call_whose_parts_were_all_kept_was_not_sent(counts: dict[str, Any]) -> None:
    ledger = Counter()
    money = Purse(ledger, book(), RATE, 3, {"polish": DEAR})
    journey = await begun(money, part(1), part(2))
    journey.parts, journey.target = PartCounts(**counts), CHEAP
    _, closing = settled(money, ledger, journey)
    assert closing.request is not None
    assert (closing.request.replayed, closing.request.baseline_nano) == ("parts", None)
    assert closing.was_held
    assert closing.charges == ()
