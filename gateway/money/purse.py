"""What a call sees of money: a hold before it is sent, bills while it runs, one settlement.

One purse for each configuration; the ledger behind it is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from gateway.journey import Journey
from gateway.ledger import (
    MICRO,
    Bill,
    Closing,
    ExchangeRate,
    HoldRequest,
    Note,
    Refused,
    Verdict,
)
from gateway.schema import Call, CallRecord, Money, Plan, Target, Usage

from .billing import baseline_cost, bill_unknown, bill_usage, closing_of, note_of, nothing_sent
from .bounds import billed_targets, call_bound_nano
from .hold_requests import HoldRequests, place_of
from .holds import Hold
from .prices import PriceBook
from .refusals import refused


class Ledger(Protocol):
    """Where holds stand and calls are settled."""

    async def hold(self, request: HoldRequest) -> Verdict: ...

    def close(self, make_closing: Callable[[], Closing]) -> None: ...

    def note(self, note: Note, written: Callable[[], None]) -> None:
        """Write down what a part used; ``written`` is called once it is."""


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
        self._requests = HoldRequests(prices, rate, max_attempts)
        self._rate = rate
        self._max_attempts = max_attempts
        self._baselines = baselines

    def hold_for(self, call: Call, plan: Plan) -> HoldRequest:
        """What would be held, for whoever only asks. Raises CallError: UNPRICED,
        INVALID_REQUEST."""
        return self._requests.whole(call, plan)

    async def hold(self, call: Call, plan: Plan) -> Hold:
        """Raises CallError: BUDGET_EXHAUSTED, LEDGER_UNAVAILABLE, UNPRICED."""
        risk = None
        if plan.parts:
            request, risk = await self._requests.in_parts(call, plan)
        else:
            request = self._requests.whole(call, plan)
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
            needed_nano = self._requests.dearest_nano(call, plan, targets, whole.currency)
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
        return sum(
            self._requests.bound_nano(call, plan, target, currency) for target in targets if target
        )

    def bill(self, journey: Journey, target: Target, usage: Usage) -> Bill | None:
        """What this usage costs, never more than is held for it."""
        hold: Hold = journey.hold
        price = self._requests.price(target)
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
        price = self._requests.price(target)
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
