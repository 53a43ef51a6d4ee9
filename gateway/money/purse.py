"""What a call sees of money: a hold before it is sent, bills while it runs, one settlement.

One purse for each configuration; the ledger behind it is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gateway.budget import amount
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.ledger import (
    MICRO,
    NANO,
    Bill,
    Closing,
    ExchangeRate,
    HoldRequest,
    Place,
    Refused,
    Verdict,
)
from gateway.schema import Call, Caller, CallRecord, Money, Plan, Target, Usage

from .billing import bill_unknown, bill_usage, closing_of
from .bounds import billed_targets, call_bound_nano
from .prices import PriceBook
from .recovery import about
from .token_price import TokenPrice

MAX_HOLD_NANO = 10_000_000 * NANO
"""Of one call, in any currency: the sum of many still fits into 64 bits."""


class Ledger(Protocol):
    """Where holds stand and calls are settled."""

    async def hold(self, request: HoldRequest) -> Verdict: ...

    def close(self, make_closing: Callable[[], Closing]) -> None: ...


@dataclass(slots=True)
class Hold:
    """What is set aside for one call."""

    request: HoldRequest
    warnings: tuple[str, ...] = ()
    covered: tuple[Target, ...] = ()
    """Targets that it was made for: for any one of them it is enough."""
    charged_nano: int = 0
    """Of it, by attempts that have ended, in the hold's currency."""

    @property
    def room_nano(self) -> int:
        return self.request.amount_nano - self.charged_nano


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
        request = self.hold_for(call, plan)
        verdict = await self._ledger.hold(request)
        if isinstance(verdict, Refused):
            raise _refused(verdict, call)
        return Hold(request, verdict.warnings, plan.targets[: self._max_attempts])

    async def cover(self, journey: Journey, target: Target, beside: Target | None = None) -> None:
        """See to it that what is left of the hold is enough for an attempt, and for another one
        ``beside`` it that is under way. Raises CallError: BUDGET_EXHAUSTED, LEDGER_UNAVAILABLE."""
        hold: Hold = journey.hold
        if target in hold.covered and beside is None and not hold.charged_nano:
            return
        if target.rehearsal and not hold.request.rehearsal:
            return  # it bills nothing
        missing_nano = self._bounds_nano(journey, target, beside) - hold.room_nano
        if missing_nano <= 0:
            return
        more = hold.request._replace(amount_nano=missing_nano, extends=True)
        verdict = await self._ledger.hold(more)
        if isinstance(verdict, Refused):
            raise _refused(verdict, journey.call)
        amount_nano = hold.request.amount_nano + missing_nano
        hold.request = hold.request._replace(amount_nano=amount_nano)

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
            hold.charged_nano += self._rate.convert(bill.cost_nano, bill.currency, currency)
        return bill

    def _closing(self, request: HoldRequest, record: CallRecord) -> Closing:
        baseline = self._baselines.get(record.task)
        cost: Money | None = None
        if baseline is not None:  # of a failed call too: it would have cost nothing there
            price = self._prices.price(baseline)
            cost = price.cost(record.usage, record.started_at_s) if price else None
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
        """The hold for the dearest of the targets that may be tried.

        Raises CallError: UNPRICED; INVALID_REQUEST for more money than any call should cost.
        """
        paid = billed_targets(plan, self._max_attempts)
        currency = self._currency(paid[0])
        bounds = [self._bound_nano(call, plan, target, currency) for target in paid]
        amount_nano = max(bounds)
        if amount_nano > MAX_HOLD_NANO:
            raise CallError(
                Outcome.INVALID_REQUEST,
                f"this call could cost up to {currency} {amount(amount_nano)}, and none may cost "
                f"more than {amount(MAX_HOLD_NANO)}; ask for fewer or shorter answers (n, "
                "max_tokens)",
                param="n" if call.body.get("n") else "max_tokens",
            )
        return HoldRequest(
            id=call.id,
            place=place_of(call.caller, plan.task),
            started_us=int(call.started_at_s * MICRO),
            amount_nano=amount_nano,
            currency=currency,
            rate=self._rate,
            rehearsal=paid[0].rehearsal,
            about=about(call, plan, paid[0]),
            parent=call.admitted_hold,
        )

    def _bound_nano(self, call: Call, plan: Plan, target: Target, currency: str) -> int:
        price = self._price(target)
        if price is None:
            if target.rehearsal:
                return 0
            raise CallError(
                Outcome.UNPRICED,
                f"no price is known for {target.name}, and nothing is sent that cannot be priced; "
                f"give it `price:` in the configuration ('daobo prices {target.name}' says more)",
                param="model",
            )
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


def _refused(verdict: Refused, call: Call) -> CallError:
    advice = "" if call.asked_output_tokens else " A lower max_tokens makes a call need less."
    return CallError(
        Outcome.BUDGET_EXHAUSTED,
        f"nothing was sent: {verdict.message}{advice}",
        retry_after_s=verdict.retry_after_s(call.started_at_s),
    )
