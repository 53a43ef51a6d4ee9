"""What the ledger is asked to set aside: the most that a call can cost, at where it may be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from gateway.ledger import MICRO, NANO, ExchangeRate, HoldRequest, Place
from gateway.schema import Call, Caller, Money, Part, Plan, Target

from .bounds import billed_targets, call_bound_nano
from .prices import PriceBook
from .recovery import about
from .refusals import too_dear, unpriced
from .risk import Risk
from .token_price import TokenPrice

MAX_HOLD_NANO = 10_000_000 * NANO
"""Of one call, in any currency: the sum of many still fits into 64 bits."""
PARTS_AT_ONCE = 64
"""How many are added up before others get a turn: about half a millisecond."""


class _Billed(NamedTuple):
    """A part, and the targets whose bills have to be covered."""

    call: Call
    plan: Plan
    targets: Sequence[Target]


class HoldRequests:
    """With the prices of one configuration. Amounts are nano-units."""

    def __init__(self, prices: PriceBook, rate: ExchangeRate, max_attempts: int) -> None:
        self._prices = prices
        self._rate = rate
        self._max_attempts = max_attempts

    def whole(self, call: Call, plan: Plan) -> HoldRequest:
        """For the dearest of the targets that may be tried; for a call that is cut, the sum of
        those for its parts.

        Raises CallError: UNPRICED; INVALID_REQUEST for more money than any call should cost.
        """
        if plan.parts:
            billed = self._billed(plan.parts)
            first = billed[0].targets[0]
            currency = self._currency(first)
            amount_nano = sum([self.dearest_nano(*part, currency) for part in billed])
        else:
            targets = billed_targets(plan, self._max_attempts)
            first = targets[0]
            amount_nano = self.dearest_nano(call, plan, targets, self._currency(first))
        return self._request(call, plan, first, amount_nano)

    async def in_parts(self, call: Call, plan: Plan) -> tuple[HoldRequest, Risk]:
        """The same with pauses, in which others are served: there may be thousands of parts. And
        what is at risk once the first of them are sent."""
        billed = self._billed(plan.parts)
        bounds: list[int] = []
        first = billed[0].targets[0]
        currency = self._currency(first)
        for at in range(0, len(billed), PARTS_AT_ONCE):
            some = billed[at : at + PARTS_AT_ONCE]
            bounds += [self.dearest_nano(*part, currency) for part in some]
            await asyncio.sleep(0)
        risk = Risk.of_parts(bounds, plan.at_once)
        request = self._request(call, plan, first, sum(bounds))
        return request._replace(at_risk_nano=risk.written_nano), risk

    def dearest_nano(self, call: Call, plan: Plan, targets: Sequence[Target], currency: str) -> int:
        """The most that one attempt at any of these can cost. Raises CallError(UNPRICED)."""
        return max([self.bound_nano(call, plan, target, currency) for target in targets])

    def bound_nano(self, call: Call, plan: Plan, target: Target, currency: str) -> int:
        """The most that an attempt there can cost. Raises CallError(UNPRICED)."""
        price = self.price(target)
        if price is None:
            if target.rehearsal:
                return 0
            raise unpriced(target)
        bound_nano = call_bound_nano(price, call, plan, target)
        return self._rate.convert(bound_nano, price.currency, currency)

    def price(self, target: Target) -> TokenPrice | None:
        """A stand-in's is that of whom it stands for."""
        return self._prices.price(target.stands_for or target)

    def _billed(self, parts: Sequence[Part]) -> list[_Billed]:
        """The parts that are paid for. Those that only stand-ins can answer cost nothing beside
        others, and are rehearsed where there are no others."""
        asked = [
            _Billed(call, plan, billed_targets(plan, self._max_attempts)) for call, plan in parts
        ]
        return [part for part in asked if not part.targets[0].rehearsal] or asked

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

    def _currency(self, target: Target) -> str:
        price = self.price(target)
        return price.currency if price else "USD"


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
