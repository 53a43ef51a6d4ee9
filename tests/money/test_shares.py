"""One hold for a call that is cut, and what its parts have of it at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from parts import CHEAP, DEAR, RATE, SECRET, STAND_IN, YUAN, Counter, bound, part, purse, whole

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.ledger import Granted, Refused, Verdict
from gateway.money.hold_requests import MAX_HOLD_NANO, PARTS_AT_ONCE
from gateway.money.holds import Hold
from gateway.money.purse import Purse
from gateway.schema import Part, Target, Usage


async def test_the_hold_of_a_call_in_parts_is_the_sum_of_what_each_part_would_hold() -> None:
    ledger, parts = Counter(), [part(1), part(2, 5_000), part(3, 20)]
    hold = await purse(ledger).hold(*whole(*parts))
    (asked,) = ledger.asked
    assert asked.amount_nano == sum(map(bound, parts)) == hold.room_nano
    assert (asked.id, asked.currency, asked.extends) == ("call", "USD", False)


async def test_holding_for_a_thousand_parts_lets_others_in_between() -> None:
    cut = whole(*[part(number) for number in range(1, 10 * PARTS_AT_ONCE)])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.ensure_future(others())
    hold = await purse().hold(*cut)
    waiting.cancel()
    assert turns >= 9
    assert hold.request._replace(at_risk_nano=None) == purse().hold_for(*cut)


def test_parts_at_different_currencies_are_held_in_one() -> None:
    dollars, yuan = part(1), part(2, targets=(YUAN,))
    held = purse().hold_for(*whole(dollars, yuan))
    assert held.currency == "USD"
    assert held.amount_nano == bound(dollars) + RATE.convert(bound(yuan), "CNY", "USD")


def test_a_part_that_only_a_stand_in_can_answer_costs_nothing_beside_others() -> None:
    paid, rehearsed = part(1), part(2, targets=(STAND_IN,))
    assert purse().hold_for(*whole(rehearsed, paid)).amount_nano == bound(paid)
    assert not purse().hold_for(*whole(rehearsed, paid)).rehearsal
    alone = purse().hold_for(*whole(rehearsed, rehearsed))
    assert (alone.amount_nano, alone.rehearsal) == (2 * bound(rehearsed), True)


def test_a_call_whose_parts_are_too_dear_together_is_told_how_many_they_are() -> None:
    one = part(1, targets=(DEAR,))
    one = Part(one.call, one.plan._replace(max_output_tokens=400_000_000_000))
    assert bound(one) < MAX_HOLD_NANO
    with pytest.raises(CallError, match=r"USD 12000000\.\d+ in its 2 parts, .* shorter script"):
        purse().hold_for(*whole(one, one))


def test_a_part_without_a_price_keeps_the_whole_call_from_being_sent() -> None:
    with pytest.raises(CallError, match="no price is known for studio/secret"):
        purse().hold_for(*whole(part(1), part(2, targets=(SECRET,))))


async def test_shares_of_all_parts_need_nothing_more_from_the_ledger() -> None:
    ledger, parts = Counter(), [part(number, 100 * number) for number in range(1, 9)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts))
    shares = [await money.share(hold, *each) for each in parts]
    assert len(ledger.asked) == 1
    assert [share.room_nano for share in shares] == list(map(bound, parts))
    assert hold.room_nano == 0


async def test_what_a_part_did_not_need_is_the_next_ones() -> None:
    ledger, first = Counter(), part(1)
    money = purse(ledger)
    hold = await money.hold(*whole(first))
    journey = await under_way(money, hold, first)
    bill = money.bill(journey, CHEAP, Usage(input_tokens=10, output_tokens=10))
    assert bill is not None
    money.give_back(journey)
    assert hold.charged_nano == bill.cost_nano == 30_000
    assert hold.room_nano == bound(first) - 30_000
    money.give_back(journey)
    assert hold.room_nano == bound(first) - 30_000


async def test_a_second_attempt_at_a_part_is_paid_from_what_others_left() -> None:
    ledger, parts = Counter(), [part(1), part(2)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts))
    money.give_back(await under_way(money, hold, parts[0]))
    second = await under_way(money, hold, parts[1])
    money.bill(second, CHEAP, Usage(input_tokens=10, output_tokens=200))
    await money.cover(second, CHEAP)
    assert len(ledger.asked) == 1
    assert second.hold.room_nano == bound(parts[1])


async def test_where_nothing_is_left_the_ledger_is_asked_for_the_rest() -> None:
    ledger, only = Counter(), part(1)
    money = purse(ledger)
    hold = await money.hold(*whole(only))
    journey = await under_way(money, hold, only)
    bill = money.bill(journey, CHEAP, Usage(input_tokens=10, output_tokens=200))
    assert bill is not None
    await money.cover(journey, CHEAP)
    _, more = ledger.asked
    assert (more.id, more.extends, more.amount_nano) == ("call", True, bill.cost_nano)
    assert hold.request.amount_nano == bound(only) + bill.cost_nano


async def test_a_call_that_was_first_sent_whole_shares_what_was_held_for_that() -> None:
    """Its upstream said that it is too long, and did nothing with it."""
    ledger, uncut = Counter(), part(1, 2_000)
    money = purse(ledger)
    hold = await money.hold(*uncut)
    parts = [part(number, 1_100) for number in (1, 2)]
    for each in parts:
        await money.share(hold, *each)
    lacking = sum(map(bound, parts)) - bound(uncut)
    assert [(more.extends, more.amount_nano) for more in ledger.asked[1:]] == [(True, lacking)]


async def test_a_part_for_which_a_budget_has_no_room_says_which_and_takes_nothing() -> None:
    ledger = Counter(lambda request: Refused("drafts are full") if request.extends else Granted())
    money, first = purse(ledger), part(1)
    hold = await money.hold(*whole(first))
    with pytest.raises(CallError) as caught:
        await money.share(hold, *part(7, 9_000))
    assert caught.value.outcome is Outcome.BUDGET_EXHAUSTED
    assert caught.value.message.startswith("part 7 of the call was not sent: drafts are full")
    assert hold.room_nano == bound(first)


async def test_a_stand_in_needs_no_share_of_money() -> None:
    paid, rehearsed = part(1), part(2, targets=(STAND_IN,))
    money = purse()
    hold = await money.hold(*whole(paid))
    await money.share(hold, *paid)
    assert (await money.share(hold, *rehearsed)).request.amount_nano == 0


async def under_way(money: Purse, hold: Hold, part: Part) -> Journey:
    """A part with its share, about to be tried."""
    return Journey(part.call, part.plan, hold=await money.share(hold, *part))


@dataclass
class Runner:
    """One part, driven by hand from one wait to the next."""

    part: Part
    journey: Journey | None = None
    waiting: Coroutine[Any, Any, Any] | None = None
    wanted_nano: int = 0
    """What the ledger was asked for."""


sizes = st.integers(1, 4_000)
usages = st.builds(Usage, st.integers(0, 3_000), output_tokens=st.integers(0, 3_000))
ladders = st.sampled_from([(CHEAP,), (CHEAP, DEAR), (DEAR, CHEAP)])
at_most_eight = st.integers(0, 7)


class Shares(RuleBasedStateMachine):
    """Eight parts at once, of which any may wait for the ledger at any time."""

    @initialize(parts=st.lists(st.builds(part, st.just(1), sizes, ladders), max_size=8, min_size=1))
    def begin(self, parts: list[Part]) -> None:
        self.ledger = Counter(by_hand=True)
        self.money = purse(self.ledger)
        self.granted_nano = sum(map(bound, parts))
        request = self.money.hold_for(*whole(*parts))
        self.hold = Hold(request, covered=parts[0].plan.targets)
        self.charged_nano = 0
        self.runners: list[Runner] = []

    def _step(self, runner: Runner, verdict: Verdict | CallError | None = None) -> None:
        """Go on until the ledger is asked again, or it is over."""
        assert runner.waiting is not None
        try:
            if isinstance(verdict, CallError):
                runner.waiting.throw(verdict)
            else:
                runner.waiting.send(verdict)
            runner.wanted_nano = self.ledger.asked[-1].amount_nano
        except StopIteration as done:
            runner.waiting = None
            if runner.journey is None:
                call, plan = runner.part
                runner.journey = Journey(call, plan, hold=done.value)
            assert runner.journey.hold.room_nano >= bound(runner.part)
        except CallError:
            runner.waiting = None
            if runner.journey is None:
                self.runners.remove(runner)

    @precondition(lambda self: len(self.runners) < 8)
    @rule(size=sizes, ladder=ladders)
    def a_part_begins(self, size: int, ladder: tuple[Target, ...]) -> None:
        runner = Runner(part(1, size, ladder))
        self.runners.append(runner)
        runner.waiting = self.money.share(self.hold, *runner.part)
        self._step(runner)

    def _chosen(self, which: int, waits: bool) -> Runner | None:
        found = [runner for runner in self.runners if (runner.waiting is not None) is waits]
        return found[which % len(found)] if found else None

    @rule(which=at_most_eight)
    def the_ledger_grants_more(self, which: int) -> None:
        if runner := self._chosen(which, waits=True):
            self.granted_nano += runner.wanted_nano
            self._step(runner, Granted())

    @rule(which=at_most_eight, is_away=st.booleans())
    def the_ledger_refuses(self, which: int, is_away: bool) -> None:
        if runner := self._chosen(which, waits=True):
            away = CallError(Outcome.LEDGER_UNAVAILABLE, "the database is away")
            self._step(runner, away if is_away else Refused("full"))

    @rule(which=at_most_eight)
    def a_part_is_cancelled_while_it_waits(self, which: int) -> None:
        if runner := self._chosen(which, waits=True):
            assert runner.waiting is not None
            with pytest.raises(asyncio.CancelledError):
                runner.waiting.throw(asyncio.CancelledError())
            runner.waiting = None
            self._end(runner)

    @rule(which=at_most_eight, usage=usages, is_known=st.booleans(), nth=st.integers(0, 1))
    def an_attempt_ends(self, which: int, usage: Usage, is_known: bool, nth: int) -> None:
        """With more than was held, sometimes; the next attempt is covered at once."""
        if runner := self._chosen(which, waits=False):
            journey = runner.journey
            assert journey is not None
            targets = runner.part.plan.targets
            tried = targets[nth % len(targets)]
            if journey.hold.room_nano < bound(runner.part):  # its last extension was refused
                return
            before_nano = journey.hold.room_nano
            if is_known:
                bill = self.money.bill(journey, tried, usage)
            else:
                bill = self.money.bill_unknown(journey, tried)
            assert bill is not None
            assert bill.cost_nano <= before_nano
            self.charged_nano += bill.cost_nano
            runner.waiting = self._covered(journey, targets)
            self._step(runner)

    async def _covered(self, journey: Journey, targets: tuple[Target, ...]) -> None:
        for target in targets:
            await self.money.cover(journey, target)

    @rule(which=at_most_eight)
    def a_part_ends(self, which: int) -> None:
        if runner := self._chosen(which, waits=False):
            self._end(runner)

    def _end(self, runner: Runner) -> None:
        if runner.journey is not None:
            self.money.give_back(runner.journey)
        self.runners.remove(runner)

    @invariant()
    def all_shares_together_are_never_more_than_the_whole(self) -> None:
        if not hasattr(self, "hold"):
            return
        assert self.hold.request.amount_nano == self.granted_nano
        assert self.hold.charged_nano == self.charged_nano
        assert self.hold.room_nano >= 0
        shares = [runner.journey.hold for runner in self.runners if runner.journey]
        rooms_nano = sum(share.room_nano for share in shares)
        assert self.hold.shared_nano >= rooms_nano  # more, while a part waits for its first
        assert self.charged_nano + self.hold.shared_nano <= self.granted_nano

    def teardown(self) -> None:
        for runner in list(self.runners):
            if runner.waiting is not None:
                runner.waiting.close()
            self._end(runner)
        if hasattr(self, "hold"):
            assert self.hold.shared_nano == 0
            assert self.hold.room_nano == self.granted_nano - self.charged_nano


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
