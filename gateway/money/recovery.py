"""How a hold ends whose process died: its call may have been served, so it is charged.

Nobody can say what was used. The hold is the most that it can have been, and the row says that it
is an estimate and who wrote it (``recovered``). Of a call that is cut, parts that had ended were
noted and are charged what they used; all else that may have been sent is charged at its bound, in
one row; and what was not sent yet is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.errors import Outcome
from gateway.ledger import AttemptRow, Charge, Closing, HoldRequest, LedgerRow, RequestRow
from gateway.schema import Call, Plan, Target

from .billing import UNKNOWN_METER

LOST = Outcome.INTERNAL.label


def about(call: Call, plan: Plan, target: Target) -> str:
    """What the rows of a lost call will say; kept with its hold."""
    return orjson.dumps(
        [
            call.endpoint,
            call.model,
            plan.reason,
            call.stream,
            target.provider,
            target.model,
            target.public_model,
        ]
    ).decode()


def closing_of_orphan(hold: HoldRequest) -> Closing:
    """An admitted quote that has expired is released, a call is charged what was held for it."""
    if hold.expires_us is not None:
        return Closing(hold)
    known: list[Any] = orjson.loads(hold.about)
    endpoint, requested_model, reason, stream, provider, model, public_model = known
    ended = [row for note in hold.noted for row in note.attempts]
    request = RequestRow(
        hold.id,
        hold.started_us,
        0,
        endpoint,
        *hold.place,
        requested_model=requested_model,
        route_reason=reason,
        stream=stream,
        outcome=LOST,
        provider=provider,
        model=model,
        public_model=public_model,
        rehearsal=hold.rehearsal,
        recovered=True,
        held_nano=hold.amount_nano,
        held_currency=hold.currency,
        exchange_rate=hold.rate.id,
        baseline_model=None,
        baseline_nano=None,
        baseline_currency=None,
    )
    lines = tuple([line for note in hold.noted for line in note.lines])
    charges = [_charge_of(row) for row in ended if row.currency is not None]
    lost_nano = _lost_nano(hold, ended)
    number = 1 + max([row.number for row in ended], default=0)  # one between may not be noted
    if ended and not lost_nano:
        return Closing(hold, tuple(charges), request, tuple(ended), lines)
    attempt = AttemptRow(
        hold.id,
        number,
        provider,
        model,
        LOST,
        0,
        hold.rehearsal,
        hold.currency,
        0 if hold.rehearsal else lost_nano,
        lost_nano,
        estimated=True,
        clamped=False,
        price="",
    )
    line = LedgerRow(hold.id, number, UNKNOWN_METER, 1, lost_nano, 1, lost_nano)
    return Closing(
        hold, (*charges, _charge_of(attempt)), request, (*ended, attempt), (*lines, line)
    )


def _lost_nano(hold: HoldRequest, ended: Sequence[AttemptRow]) -> int:
    """What is at risk and was not noted: attempts that were under way, or had just ended."""
    if hold.at_risk_nano is None:
        return hold.amount_nano
    convert, currency = hold.rate.convert, hold.currency
    bills = [(row.cost_nano, row.list_cost_nano, row.currency) for row in ended]
    known_nano = sum([convert(cost, of, currency) for cost, _, of in bills if of is not None])
    if not hold.rehearsal:
        return max(0, min(hold.at_risk_nano, hold.amount_nano) - known_nano)
    listed_nano = sum([convert(cost, of, currency) for _, cost, of in bills if of is not None])
    return max(0, min(hold.at_risk_nano, hold.amount_nano - listed_nano))


def _charge_of(row: AttemptRow) -> Charge:
    assert row.currency is not None
    return Charge(row.currency, row.cost_nano, row.list_cost_nano if row.rehearsal else 0)
