"""From what an attempt used to what it costs, and to the rows that say so."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Outcome
from gateway.ledger import (
    MICRO,
    AttemptRow,
    Bill,
    Charge,
    Closing,
    HoldRequest,
    LedgerRow,
    Line,
    Note,
    RequestRow,
)
from gateway.schema import Attempt, CallRecord, Money, Target, Usage

from .token_price import TokenPrice

UNKNOWN_METER = "unknown"
"""The meter of what nobody measured: an attempt whose fate is not known, at its upper bound."""

KEPT_PARTS = "parts"
"""Why nothing was sent for a call that was cut: its answer is made of kept ones."""


def bill_usage(
    price: TokenPrice | None, target: Target, usage: Usage, at_s: float, room_nano: int
) -> Bill | None:
    """The bill of a usage; no more than ``room_nano`` is charged, whatever an upstream reports.

    None if nobody knows the price, which only happens for stand-ins, who bill nothing anyway.
    """
    if price is None:
        return Bill("USD", 0, 0) if target.rehearsal else None
    lines = price.lines(usage, at_s)
    listed = sum(line.cost_nano for line in lines)
    cost = 0 if target.rehearsal else listed
    room_nano = max(0, room_nano)  # conversion rounds up, and can pass the hold by a nano-unit
    absurd = cost > room_nano or min(usage[:-1]) < 0
    return Bill(
        currency=price.currency,
        cost_nano=min(cost, room_nano),
        list_cost_nano=listed,
        lines=lines,
        price=price.source,
        estimated=usage.estimated,
        clamped=absurd,
    )


def bill_unknown(currency: str, bound_nano: int, price: str, rehearsal: bool) -> Bill:
    """The bill of an attempt that may have been served and whose usage nobody told: the most
    that it can have cost, marked as an estimate."""
    lines = (Line(UNKNOWN_METER, 1, bound_nano, 1),) if bound_nano else ()
    cost = 0 if rehearsal else bound_nano
    return Bill(currency, cost, bound_nano, lines, price, estimated=True)


def nothing_sent(record: CallRecord) -> bool:
    """Whether a call that was cut has an answer made of kept ones alone."""
    return record.parts is not None and record.target is not None and not record.attempts


def baseline_cost(price: TokenPrice, record: CallRecord) -> Money:
    """What a call's answer would have cost at another price; nothing for one that failed. The
    parts of a call that was cut would have been as long there, and in the same tiers."""
    at_s = record.started_at_s
    if record.parts is None:
        return price.cost(record.usage, at_s)
    answers = [attempt.usage for attempt in record.attempts if attempt.outcome is Outcome.OK]
    nano = sum([price.cost(usage, at_s).nano for usage in answers])
    return Money(nano, price.currency)


def closing_of(
    hold: HoldRequest, record: CallRecord, baseline_model: str | None, baseline: Money | None
) -> Closing:
    """The end of a call's hold: what is charged for each attempt, and the rows."""
    target = record.target
    saved = record.list_cost if record.replayed else None
    replayed = record.replayed or (KEPT_PARTS if nothing_sent(record) else "")
    request = RequestRow(
        hold.id,
        hold.started_us,
        int(record.duration_s * MICRO),
        record.endpoint,
        *hold.place,
        requested_model=record.requested_model,
        route_reason=record.route_reason,
        stream=record.stream,
        outcome=record.outcome.label,
        provider=target.provider if target else None,
        model=target.model if target else None,
        public_model=target.public_model if target else None,
        rehearsal=bool(target and target.rehearsal),
        recovered=False,
        held_nano=hold.amount_nano,
        held_currency=hold.currency,
        exchange_rate=hold.rate.id,
        baseline_model=baseline_model if baseline else None,
        baseline_nano=baseline.nano if baseline else None,
        baseline_currency=baseline.currency if baseline else None,
        replayed=replayed,
        saved_nano=saved.nano if saved else 0,
        saved_currency=saved.currency if saved else None,
    )
    numbered = list(enumerate(record.attempts, start=1))
    return Closing(
        hold=hold,
        charges=tuple([_charge(attempt) for attempt in record.attempts if attempt.bill]),
        request=request,
        attempts=tuple([_attempt_row(hold.id, number, attempt) for number, attempt in numbered]),
        lines=tuple([row for numbered_ in numbered for row in _ledger_rows(hold.id, *numbered_)]),
        was_held=not record.replayed,
    )


def note_of(hold_id: str, number: int, attempts: Sequence[Attempt], more_nano: int) -> Note:
    """The same rows for attempts at one part, the first of which has this number, while the call
    goes on; ``more_nano`` is at risk besides."""
    numbered = list(enumerate(attempts, start=number))
    rows = tuple([_attempt_row(hold_id, at, attempt) for at, attempt in numbered])
    lines = tuple([row for numbered_ in numbered for row in _ledger_rows(hold_id, *numbered_)])
    return Note(hold_id, number, rows, lines, more_nano)


def _charge(attempt: Attempt) -> Charge:
    bill = attempt.bill
    assert bill is not None
    rehearsed = bill.list_cost_nano if attempt.target.rehearsal else 0
    return Charge(bill.currency, bill.cost_nano, rehearsed)


def _attempt_row(request_id: str, number: int, attempt: Attempt) -> AttemptRow:
    bill, target = attempt.bill, attempt.target
    return AttemptRow(
        request_id,
        number,
        target.provider,
        target.model,
        attempt.outcome.label,
        int(attempt.duration_s * MICRO),
        target.rehearsal,
        bill.currency if bill else None,
        bill.cost_nano if bill else 0,
        bill.list_cost_nano if bill else 0,
        bool(bill and bill.estimated),
        bool(bill and bill.clamped),
        bill.price if bill else "",
        attempt.part,
    )


def _ledger_rows(request_id: str, number: int, attempt: Attempt) -> list[LedgerRow]:
    return [
        LedgerRow(request_id, number, *line, line.cost_nano)
        for line in (attempt.bill.lines if attempt.bill else ())
    ]
