"""What a call sees of money: a hold before it is sent, bills while it runs, one settlement.

One purse for each configuration; the ledger behind it is the same for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from gateway.journey import Journey
from gateway.ledger import (
    MICRO,
    NANO,
    Bill,
    Closing,
    ExchangeRate,
    HoldRequest,
    Note,
    Place,
    Refused,
    Verdict,
)
from gateway.schema import Call, Caller, CallRecord, Money, Part, Plan, Target, Usage

from .billing import baseline_cost, bill_unknown, bill_usage, closing_of, note_of, nothing_sent
from .bounds import billed_targets, call_bound_nano
from .holds import Hold
from .prices import PriceBook
from .recovery import about
from .refusals import refused, too_dear, unpriced
from .risk import Risk
from .token_price import TokenPrice

MAX_HOLD_NANO = 10_000_000 * NANO
"""Of one call, in any currency: the sum of many still fits into 64 bits."""
PARTS_AT_ONCE = 64
"""How many are added up before others get a turn: about half a millisecond."""


class Ledger(Protocol):
    """Where holds stand and calls are settled."""

    async def hold(self, request: HoldRequest) -> Verdict: ...

    def close(self, make_closing: Callable[[], Closing]) -> None: ...

    def note(self, note: Note, written: Callable[[], None]) -> None:
        """Write down what a part used; ``written`` is called once it is."""


class _Billed(NamedTuple):
    """A part, and the targets whose bills have to be covered."""

    call: Call
    plan: Plan
    targets: Sequence[Target]


class Purse:
    """Implements the pipeline's ``Money`` and what attempts need of it."""

    def __init__(
        self,
        ledger: Ledger,
        prices: PriceBook,
        rate: ExchangeRate,
        max_attempts: int,
        baselines: Mapping[str | None, Target],
    ) -> None:
        """``baselines``: for each task, the target whose price its calls are compared with."""
        self._ledger = ledger
        self._prices = prices
        self._rate = rate
        self._max_attempts = max_attempts
        self._baselines = baselines

    async def hold(self, call: Call, plan: Plan) -> Hold:
        """Raises CallError: BUDGET_EXHAUSTED, LEDGER_UNAVAILABLE, UNPRICED."""
        risk = None
        if plan.parts:
            request, risk = await self._hold_for_parts(call, plan)
        else:
            request = self.hold_for(call, plan)
        verdict = await self._ledger.hold(request)
        if isinstance(verdict, Refused):
            raise refused(verdict, call)
        return Hold(request, verdict.warnings, plan.targets[: self._max_attempts], risk=risk)

    async def share(self, hold: Hold, call: Call, plan: Plan) -> Hold:
        """What one part may cost, of the whole call's hold; the ledger is asked for what that
        lacks. Raises CallError: BUDGET_EXHAUSTED, LEDGER_UNAVAILABLE, UNPRICED."""
        share = hold.share(plan.targets[: self._max_attempts])
        targets, whole = billed_targets(plan, self._max_attempts), hold.request
        if whole.rehearsal or not targets[0].rehearsal:  # else it bills nothing
            needed_nano = self._dearest_nano(call, plan, targets, whole.currency)
            assert share.risk is not None
            share.risk.begin(plan.part or 0, needed_nano)
            await self._extend(share, needed_nano, call, plan)
        return share

    def give_back(self, part: Journey) -> None:
        """A part is over, and what it was charged is known: it is noted for whoever has to close
        the call if this process dies."""
        share: Hold = part.hold
        if not share.give_back() or not part.attempts:
            return
        whole, risk = share.whole, share.risk
        assert whole is not None
        assert risk is not None
        more_nano = risk.change(whole.charged_nano, whole.request.amount_nano)
        note = note_of(whole.request.id, whole.noted + 1, part.attempts, more_nano)
        whole.noted += len(part.attempts)
        self._ledger.note(note, partial(risk.written, more_nano))

    async def cover(self, journey: Journey, target: Target, beside: Target | None = None) -> None:
        """See to it that what is left of the hold is enough for an attempt, and for another one
        ``beside`` it that is under way. Raises CallError: BUDGET_EXHAUSTED, LEDGER_UNAVAILABLE."""
        hold: Hold = journey.hold
        if target in hold.covered and beside is None and not hold.charged_nano:
            return
        if target.rehearsal and not hold.request.rehearsal:
            return  # it bills nothing
        missing_nano = self._bounds_nano(journey, target, beside) - hold.room_nano
        if missing_nano > 0:
            assert journey.plan is not None
            await self._extend(hold, missing_nano, journey.call, journey.plan)

    async def _extend(self, hold: Hold, missing_nano: int, call: Call, plan: Plan) -> None:
        """More for a hold; a share takes what the whole has to spare before the ledger is asked.
        It is asked, too, where it does not have yet that so much is at risk."""
        drawn_nano = hold.draw(missing_nano)
        lacking_nano = missing_nano - drawn_nano
        covered_nano = hold.risk.cover(missing_nano) if hold.risk else missing_nano
        unwritten_nano = missing_nano - covered_nano
        if not lacking_nano and not unwritten_nano:
            return
        try:
            more = hold.request._replace(
                amount_nano=lacking_nano,
                extends=True,
                at_risk_nano=unwritten_nano if hold.risk else None,
            )
            verdict = await self._ledger.hold(more)
            if isinstance(verdict, Refused):
                raise refused(verdict, call, plan.part)
        except BaseException:
            hold.put_back(drawn_nano)
            if hold.risk:
                hold.risk.put_back(covered_nano)
            raise
        hold.grow(lacking_nano)
        if hold.risk:
            hold.risk.grow(unwritten_nano)

    def _bounds_nano(self, journey: Journey, *targets: Target | None) -> int:
        """Of attempts at all of these, in the hold's currency."""
        assert journey.plan is not None
        call, plan, currency = journey.call, journey.plan, journey.hold.request.currency
        return sum(self._bound_nano(call, plan, target, currency) for target in targets if target)

    def bill(self, journey: Journey, target: Target, usage: Usage) -> Bill | None:
        """What this usage costs, never more than is held for it."""
        hold: Hold = journey.hold
        price = self._price(target)
        room_nano = hold.room_nano
        if price is not None:
            room_nano = self._rate.convert(room_nano, hold.request.currency, price.currency)
        return self._charged(
            hold, bill_usage(price, target, usage, journey.call.started_at_s, room_nano)
        )

    def bill_unknown(self, journey: Journey, target: Target) -> Bill | None:
        """The bill of an attempt that may have been served, and nobody knows."""
        assert journey.plan is not None
        hold: Hold = journey.hold
        price = self._price(target)
        if price is None:
            return None
        bound_nano = call_bound_nano(price, journey.call, journey.plan, target)
        bill = bill_unknown(price.currency, bound_nano, price.source, target.rehearsal)
        return self._charged(hold, bill)

    def settle(self, hold: Hold | None, record: CallRecord) -> None:
        """Once for each call that has a hold, or that was answered for nothing; cannot fail, and
        waits for nobody."""
        if hold is not None:
            self._ledger.close(partial(self._closing, hold.request, record))
        elif record.replayed:
            self._ledger.close(partial(self._closing_of_replay, record))

    def _charged(self, hold: Hold, bill: Bill | None) -> Bill | None:
        if bill is not None and bill.cost_nano:
            currency = hold.request.currency
            hold.charge(self._rate.convert(bill.cost_nano, bill.currency, currency))
        return bill

    def _closing(self, request: HoldRequest, record: CallRecord) -> Closing:
        baseline = self._baselines.get(record.task)
        cost: Money | None = None
        if baseline is not None and not nothing_sent(record):
            price = self._prices.price(baseline)
            cost = baseline_cost(price, record) if price else None
        return closing_of(request, record, baseline.public_model if baseline else None, cost)

    def _closing_of_replay(self, record: CallRecord) -> Closing:
        """No baseline either: nothing would have been sent there."""
        target, saved = record.target, record.list_cost
        nothing = HoldRequest(
            id=record.call_id,
            place=place_of(record.caller, record.task),
            started_us=int(record.started_at_s * MICRO),
            amount_nano=0,
            currency=saved.currency if saved else "USD",
            rate=self._rate,
            rehearsal=bool(target and target.rehearsal),
        )
        return closing_of(nothing, record, None, None)

    def hold_for(self, call: Call, plan: Plan) -> HoldRequest:
        """The hold for the dearest of the targets that may be tried; for a call that is cut, the
        sum of those for its parts.

        Raises CallError: UNPRICED; INVALID_REQUEST for more money than any call should cost.
        """
        if plan.parts:
            billed = self._billed(plan.parts)
            first = billed[0].targets[0]
            amount_nano = self._sum_nano(billed, self._currency(first))
        else:
            targets = billed_targets(plan, self._max_attempts)
            first = targets[0]
            amount_nano = self._dearest_nano(call, plan, targets, self._currency(first))
        return self._request(call, plan, first, amount_nano)

    async def _hold_for_parts(self, call: Call, plan: Plan) -> tuple[HoldRequest, Risk]:
        """The same with pauses, in which others are served: there may be thousands of parts. And
        what is at risk once the first of them are sent."""
        billed: list[_Billed] = self._billed(plan.parts)
        bounds: list[int] = []
        first = billed[0].targets[0]
        currency = self._currency(first)
        for at in range(0, len(billed), PARTS_AT_ONCE):
            some = billed[at : at + PARTS_AT_ONCE]
            bounds += [self._dearest_nano(*part, currency) for part in some]
            await asyncio.sleep(0)
        risk = Risk.of_parts(bounds, plan.at_once)
        request = self._request(call, plan, first, sum(bounds))
        return request._replace(at_risk_nano=risk.written_nano), risk

    def _billed(self, parts: Sequence[Part]) -> list[_Billed]:
        """The parts that are paid for. Those that only stand-ins can answer cost nothing beside
        others, and are rehearsed where there are no others."""
        asked = [
            _Billed(call, plan, billed_targets(plan, self._max_attempts)) for call, plan in parts
        ]
        return [part for part in asked if not part.targets[0].rehearsal] or asked

    def _sum_nano(self, parts: Sequence[_Billed], currency: str) -> int:
        return sum([self._dearest_nano(*part, currency) for part in parts])

    def _dearest_nano(
        self, call: Call, plan: Plan, targets: Sequence[Target], currency: str
    ) -> int:
        return max([self._bound_nano(call, plan, target, currency) for target in targets])

    def _request(self, call: Call, plan: Plan, first: Target, amount_nano: int) -> HoldRequest:
        currency = self._currency(first)
        if amount_nano > MAX_HOLD_NANO:
            raise too_dear(call, plan, Money(amount_nano, currency), MAX_HOLD_NANO)
        return HoldRequest(
            id=call.id,
            place=place_of(call.caller, plan.task),
            started_us=int(call.started_at_s * MICRO),
            amount_nano=amount_nano,
            currency=currency,
            rate=self._rate,
            rehearsal=first.rehearsal,
            about=about(call, plan, first),
            parent=call.admitted_hold,
        )

    def _bound_nano(self, call: Call, plan: Plan, target: Target, currency: str) -> int:
        price = self._price(target)
        if price is None:
            if target.rehearsal:
                return 0
            raise unpriced(target)
        return self._rate.convert(
            call_bound_nano(price, call, plan, target), price.currency, currency
        )

    def _currency(self, target: Target) -> str:
        price = self._price(target)
        return price.currency if price else "USD"

    def _price(self, target: Target) -> TokenPrice | None:
        return self._prices.price(target.stands_for or target)


def place_of(caller: Caller, task: str | None) -> Place:
    """Where a call belongs, for budgets and reports."""
    return Place(
        caller.tenant,
        caller.project,
        caller.season,
        caller.episode,
        caller.scene,
        caller.shot,
        caller.key_id,
        caller.user,
        task,
    )
