"""How a hold ends whose process died: its call may have been served, so it is charged.

Nobody can say what was used. The hold is the most that it can have been, and the row says that it
is an estimate and who wrote it (``recovered``).
"""

from __future__ import annotations

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
    cost_nano = 0 if hold.rehearsal else hold.amount_nano
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
    attempt = AttemptRow(
        hold.id,
        1,
        provider,
        model,
        LOST,
        0,
        hold.rehearsal,
        hold.currency,
        cost_nano,
        hold.amount_nano,
        estimated=True,
        clamped=False,
        price="",
    )
    line = LedgerRow(hold.id, 1, UNKNOWN_METER, 1, hold.amount_nano, 1, hold.amount_nano)
    charge = Charge(hold.currency, cost_nano, hold.amount_nano if hold.rehearsal else 0)
    return Closing(hold, (charge,), request, (attempt,), (line,))
