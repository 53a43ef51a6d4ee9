"""What the ledger has as at risk, at any moment in which the process may die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from parts import CHEAP, DEAR, RATE, YUAN, Counter, bound, part, purse, whole

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.ledger import Closing, Granted, HoldRequest, Note, Refused, Verdict
from gateway.money.holds import Hold
from gateway.money.purse import Purse
from gateway.money.recovery import closing_of_orphan
from gateway.money.risk import Risk
from gateway.schema import Part, Target, Usage

LITTLE = Usage(input_tokens=10, output_tokens=10)
LITTLE_NANO = 30_000


@dataclass
class Disk:
    """The ledger's rows of one call, which are what a process leaves behind that dies."""

    hold: HoldRequest
    notes: dict[int, Note] = field(default_factory=dict)

    def extend(self, more: HoldRequest) -> None:
        self._risk(more.at_risk_nano or 0)
        self.hold = self.hold._replace(amount_nano=self.hold.amount_nano + more.amount_nano)

    def note(self, note: Note) -> None:
        if note.number not in self.notes:
            self.notes[note.number] = note
            self._risk(note.more_at_risk_nano)

    def _risk(self, more_nano: int) -> None:
        before = self.hold.at_risk_nano
        before = self.hold.amount_nano if before is None else before
        self.hold = self.hold._replace(at_risk_nano=before + more_nano)

    def closing(self) -> Closing:
        noted = tuple(self.notes[number] for number in sorted(self.notes))
        return closing_of_orphan(self.hold._replace(noted=noted))

    @property
    def charged_nano(self) -> int:
        return sum(
            RATE.convert(charge.cost_nano, charge.currency, self.hold.currency)
            for charge in self.closing().charges
        )


async def begun(money: Purse, hold: Hold, part: Part) -> Journey:
    return Journey(part.call, part.plan, hold=await money.share(hold, *part))


def ended(money: Purse, journey: Journey, usage: Usage = LITTLE) -> None:
    journey.begin(CHEAP)
    journey.bill = money.bill(journey, CHEAP, usage)
    journey.end(Outcome.OK, 1.0, "")
    money.give_back(journey)


def disk_of(ledger: Counter) -> Disk:
    disk = Disk(ledger.asked[0])
    for more in ledger.asked[1:]:
        disk.extend(more)
    for note, _ in ledger.notes:
        disk.note(note)
    return disk


async def test_as_many_parts_are_at_risk_from_the_start_as_are_under_way_at_once() -> None:
    ledger, parts = Counter(), [part(number) for number in range(1, 11)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=3))
    for each in parts[:3]:
        await money.share(hold, *each)
    assert len(ledger.asked) == 1
    assert ledger.asked[0].at_risk_nano == 3 * bound(parts[0])


async def test_a_call_that_is_not_cut_is_at_risk_with_all_that_is_held() -> None:
    ledger, uncut = Counter(), part(1)
    hold = await purse(ledger).hold(*uncut)
    assert (hold.request.at_risk_nano, hold.risk) == (None, None)
    assert disk_of(ledger).charged_nano == bound(uncut)


async def test_a_part_that_ended_is_charged_what_it_used_and_one_under_way_its_bound() -> None:
    ledger, parts = Counter(), [part(number) for number in range(1, 11)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=3))
    first, *_ = [await begun(money, hold, each) for each in parts[:3]]
    ended(money, first)
    closing = disk_of(ledger).closing()
    assert [(row.number, row.part, row.estimated) for row in closing.attempts] == [
        (1, 1, False), (2, None, True),
    ]  # fmt: skip
    assert [c.cost_nano for c in closing.charges] == [LITTLE_NANO, 3 * bound(parts[0])]


async def test_the_next_part_begins_without_waiting_once_the_one_before_is_noted() -> None:
    ledger, parts = Counter(), [part(number) for number in range(1, 101)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=4))
    running = [await begun(money, hold, each) for each in parts[:4]]
    for each in parts[4:]:
        ended(money, running.pop(0))
        running.append(await begun(money, hold, each))
    assert len(ledger.asked) == 1
    assert disk_of(ledger).charged_nano == 96 * LITTLE_NANO + 4 * bound(parts[0])


async def test_a_part_waits_for_the_ledger_while_what_ended_is_not_noted() -> None:
    ledger, parts = Counter(writes=False), [part(number) for number in range(1, 9)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=1))
    ended(money, await begun(money, hold, parts[0]))
    await money.share(hold, *parts[1])
    _, more = ledger.asked
    assert (more.extends, more.amount_nano, more.at_risk_nano) == (True, 0, LITTLE_NANO)


async def test_less_and_less_is_at_risk_as_the_last_parts_end() -> None:
    ledger, parts = Counter(), [part(number) for number in range(1, 5)]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=3))
    running = [await begun(money, hold, each) for each in parts]
    for left in (3, 2, 1, 0):
        ended(money, running.pop())
        used_nano = (4 - left) * LITTLE_NANO
        assert disk_of(ledger).charged_nano == used_nano + left * bound(parts[0])


async def test_a_part_that_the_ledger_refuses_to_put_at_risk_is_not_sent() -> None:
    gone = Refused("the hold of call has ended, so there is none to extend")
    ledger = Counter(lambda request: gone if request.extends else Granted(), writes=False)
    money, parts = purse(ledger), [part(1), part(2)]
    hold = await money.hold(*whole(*parts, at_once=1))
    ended(money, await begun(money, hold, parts[0]))
    with pytest.raises(CallError, match="part 2 of the call was not sent: the hold of call"):
        await money.share(hold, *parts[1])
    assert hold.room_nano == 2 * bound(parts[0]) - LITTLE_NANO
    assert hold.risk is not None
    assert hold.risk.sent_nano == LITTLE_NANO


async def test_a_call_that_was_cut_after_its_hold_is_at_risk_with_its_parts_from_then_on() -> None:
    ledger, uncut = Counter(), part(1, 9_000)
    money = purse(ledger)
    hold = await money.hold(*uncut)
    first, second = [await begun(money, hold, part(number, 500)) for number in (1, 2)]
    assert disk_of(ledger).charged_nano == bound(uncut)
    ended(money, first)
    assert disk_of(ledger).charged_nano == LITTLE_NANO + bound(part(2, 500))
    ended(money, second)
    assert disk_of(ledger).charged_nano == 2 * LITTLE_NANO


async def test_what_was_charged_before_a_call_was_cut_is_at_risk_beside_its_parts() -> None:
    ledger, uncut = Counter(), part(1)
    money = purse(ledger)
    hold = await money.hold(*uncut)
    first = Journey(*uncut, hold=hold)
    first.begin(CHEAP)
    first.bill = money.bill_unknown(first, CHEAP)
    first.end(Outcome.UPSTREAM_TIMEOUT, 1.0, "")
    await begun(money, hold, part(1))
    assert disk_of(ledger).charged_nano == 2 * bound(uncut)


async def test_a_call_that_was_cut_after_its_hold_is_closed_as_one_with_notes() -> None:
    """What closes it knows by its figure that there may be notes to take away."""
    ledger, uncut = Counter(), part(1)
    money = purse(ledger)
    hold = await money.hold(*uncut)
    ended(money, await begun(money, hold, uncut))
    assert hold.request.at_risk_nano is not None


async def test_parts_in_another_currency_are_taken_from_what_is_at_risk_at_the_same_rate() -> None:
    ledger, parts = Counter(), [part(1), part(2, targets=(YUAN,))]
    money = purse(ledger)
    hold = await money.hold(*whole(*parts, at_once=2))
    _, yuan = [await begun(money, hold, each) for each in parts]
    yuan.begin(YUAN)
    yuan.bill = money.bill(yuan, YUAN, LITTLE)
    yuan.end(Outcome.OK, 1.0, "")
    money.give_back(yuan)
    in_yuan, lost = disk_of(ledger).closing().charges
    assert (in_yuan.currency, in_yuan.cost_nano) == ("CNY", 100_000)
    assert lost.cost_nano == bound(parts[0])


def test_what_comes_next_decides_how_far_the_ledger_is_ahead() -> None:
    """Small parts, then two that join their answers and are large."""
    risk = Risk.of_parts([10, 10, 10, 90], at_once=2)
    assert risk.written_nano == 20
    for number in (1, 2, 3):
        risk.begin(number, 10)
        risk.grow(10 - risk.cover(10))
        risk.put_back(9)  # it used 1
    assert risk.change(3, 120) == 3 + 90 - risk.written_nano


def test_nothing_is_taken_from_what_was_sent_while_more_is_on_its_way() -> None:
    """Three parts, each of which uses 1; the first one's note is late."""
    risk = Risk.of_parts([10, 10, 10], at_once=2)
    for number in (1, 2):
        risk.begin(number, 10)
        assert risk.cover(10) == 10
    risk.put_back(9)
    assert risk.change(charged_nano=1, held_nano=30) == 1
    risk.begin(3, 10)
    assert risk.cover(10) == 9
    risk.grow(1)
    risk.put_back(9)
    assert risk.change(charged_nano=2, held_nano=30) == -9
    assert risk.written_nano == risk.sent_nano == 2 + 10


@dataclass
class Runner:
    """One part: what it may cost its provider, and what it waits for."""

    part: Part
    journey: Journey | None = None
    waiting: Coroutine[Any, Any, Any] | None = None
    wanted: HoldRequest | None = None


which_one = st.integers(0, 7)
sizes = st.integers(1, 3_000)
usages = st.builds(Usage, st.integers(0, 4_000), output_tokens=st.integers(0, 2_000))
ladders = st.sampled_from([(CHEAP,), (CHEAP, DEAR), (YUAN, CHEAP)])


class Deaths(RuleBasedStateMachine):
    """Parts begin, are tried, tried again and end; notes and extensions reach the disk when they
    please, or nobody hears of it. Whenever the process dies, the disk covers what was sent."""

    @initialize(
        parts=st.lists(st.tuples(sizes, ladders), min_size=1, max_size=9),
        at_once=st.integers(1, 4),
        is_cut_later=st.booleans(),
    )
    def begin(
        self, parts: list[tuple[int, tuple[Target, ...]]], at_once: int, is_cut_later: bool
    ) -> None:
        self.parts = [part(number, *facts) for number, facts in enumerate(parts, start=1)]
        self.ledger = Counter(by_hand=True, writes=False)
        self.money = purse(self.ledger)
        self.runners: list[Runner] = []
        self.at_once, self.used_nano = at_once, 0
        cut = self.parts[0] if is_cut_later else whole(*self.parts, at_once=at_once)
        holding = self.money.hold(*cut)
        try:
            while not self.ledger.asked:
                holding.send(None)
            holding.send(Granted())
        except StopIteration as done:
            self.hold: Hold = done.value
        self.disk = Disk(self.ledger.asked[0])
        self.next = 0

    # The process

    @precondition(lambda self: len(self.runners) < self.at_once)
    @rule(again=st.booleans(), which=which_one)
    def a_part_begins(self, again: bool, which: int) -> None:
        """In order; or one that was there before, asked for again."""
        if again or self.next == len(self.parts):
            asked = self.parts[which % max(1, self.next)]
        else:
            asked, self.next = self.parts[self.next], self.next + 1
        runner = Runner(asked)
        self.runners.append(runner)
        runner.waiting = self.money.share(self.hold, *asked)
        self._step(runner)

    @rule(which=which_one, usage=usages, is_known=st.booleans())
    def an_attempt_ends(self, which: int, usage: Usage, is_known: bool) -> None:
        if runner := self._chosen(which, waits=False):
            journey = runner.journey
            assert journey is not None
            if not self._is_covered(runner):
                return
            target = runner.part.plan.targets[0]
            journey.begin(target)
            if is_known:
                journey.bill = self.money.bill(journey, target, usage)
            else:
                journey.bill = self.money.bill_unknown(journey, target)
            journey.end(Outcome.OK, 1.0, "")
            assert journey.bill is not None
            self.used_nano += RATE.convert(journey.bill.cost_nano, journey.bill.currency, "USD")

    @rule(which=which_one)
    def it_is_tried_again(self, which: int) -> None:
        if runner := self._chosen(which, waits=False):
            journey = runner.journey
            assert journey is not None
            runner.waiting = self.money.cover(journey, runner.part.plan.targets[-1])
            self._step(runner)

    @rule(which=which_one)
    def a_part_ends(self, which: int) -> None:
        if runner := self._chosen(which, waits=False):
            assert runner.journey is not None
            self.money.give_back(runner.journey)
            self.runners.remove(runner)

    # The ledger

    @rule(which=which_one, is_heard=st.booleans())
    def an_extension_is_written(self, which: int, is_heard: bool) -> None:
        if runner := self._chosen(which, waits=True):
            assert runner.wanted is not None
            self.disk.extend(runner.wanted)
            lost = CallError(Outcome.LEDGER_UNAVAILABLE, "nobody knows")
            self._step(runner, Granted() if is_heard else lost)

    @rule(which=which_one, answer=st.sampled_from([Refused("full"), asyncio.CancelledError()]))
    def an_extension_is_not(self, which: int, answer: Verdict | BaseException) -> None:
        if runner := self._chosen(which, waits=True):
            self._step(runner, answer)

    @rule(which=which_one, is_heard=st.booleans())
    def a_note_is_written(self, which: int, is_heard: bool) -> None:
        """It stays in line until its writer knows that it is."""
        if self.ledger.notes:
            at = which % len(self.ledger.notes)
            note, written = self.ledger.notes[at]
            self.disk.note(note)
            if is_heard:
                self.ledger.notes.pop(at)
                written()

    # What is always true

    @invariant()
    def never_less_is_charged_than_what_was_sent_can_have_cost(self) -> None:
        if hasattr(self, "disk"):
            sent = [runner for runner in self.runners if runner.journey and not runner.waiting]
            under_way_nano = sum(bound(r.part) for r in sent if self._is_covered(r))
            charged_nano = self.disk.charged_nano
            assert charged_nano >= self.used_nano
            known = self.used_nano + under_way_nano
            assert min(known, self.disk.hold.amount_nano) - charged_nano <= len(self.disk.notes)
            assert charged_nano <= self.disk.hold.amount_nano + len(self.disk.notes)

    @invariant()
    def nothing_is_sent_that_the_ledger_does_not_have(self) -> None:
        risk = self.hold.risk if hasattr(self, "disk") else None
        if risk is not None:
            at_risk_nano = self.disk.hold.at_risk_nano
            if at_risk_nano is None:
                at_risk_nano = self.disk.hold.amount_nano
            assert risk.sent_nano <= risk.written_nano <= at_risk_nano

    def _is_covered(self, runner: Runner) -> bool:
        """Whether it may be sent: its last extension was not refused."""
        assert runner.journey is not None
        return bool(runner.journey.hold.room_nano >= bound(runner.part))

    def _chosen(self, which: int, waits: bool) -> Runner | None:
        found = [runner for runner in self.runners if (runner.waiting is not None) is waits]
        return found[which % len(found)] if found else None

    def _step(self, runner: Runner, answer: Verdict | BaseException | None = None) -> None:
        assert runner.waiting is not None
        go: Callable[[Any], Any] = runner.waiting.send
        if isinstance(answer, BaseException):
            go = runner.waiting.throw
        try:
            go(answer)
            runner.wanted = self.ledger.asked[-1]
        except StopIteration as done:
            runner.waiting = None
            if runner.journey is None:
                runner.journey = Journey(*runner.part, hold=done.value)
        except (CallError, asyncio.CancelledError):
            runner.waiting = None
            if runner.journey is None:
                self.runners.remove(runner)

    def teardown(self) -> None:
        """Everything ends and is noted: what is charged is what was used."""
        if not hasattr(self, "disk"):
            return
        for runner in self.runners:
            if runner.waiting is not None:
                runner.waiting.close()
            if runner.journey is not None:
                self.money.give_back(runner.journey)
        for note, written in self.ledger.notes:
            self.disk.note(note)
            written()
        assert self.disk.charged_nano >= self.used_nano


TestDeaths = Deaths.TestCase
TestDeaths.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
