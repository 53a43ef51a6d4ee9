"""A quote as JSON: every amount a decimal string, every total in both currencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.budget import amount
from gateway.ledger import CURRENCIES, LEVELS, MICRO, ExchangeRate, HoldRequest, Line, Place
from gateway.quote import Candidate, Quote, QuotedCall, Range


def quote_object(quote: Quote) -> dict[str, Any]:
    """What of the answer does not depend on whether the quote is kept."""
    return _summary(quote) | {"requests": list(_call_objects(quote))}


def quote_text(quote: Quote, head: Mapping[str, Any]) -> str:
    """The same as JSON, after ``head``. It is written piece by piece: a list of ten thousand in
    one piece would keep Python's lock, and so every call under way, for a tenth of a second."""
    opening = orjson.dumps({**head, **_summary(quote)})
    entries = b",".join([orjson.dumps(entry) for entry in _call_objects(quote)])
    return b"".join((opening[:-1], b',"requests":[', entries, b"]}")).decode()


def terms_text(quote: Quote) -> str:
    """What admitting the quote needs to know, JSON on one line."""
    unserved = [index for index, call in enumerate(quote.calls) if not call.served]
    terms = {
        "place": _levels(quote.place),
        "rehearsal": quote.rehearsal,
        "rate": list(quote.rate),
        "first_unserved": unserved[0] if unserved else None,
    }
    return orjson.dumps(terms).decode()


def _summary(quote: Quote) -> dict[str, Any]:
    return {
        "object": "quote",
        "rehearsal": quote.rehearsal,
        "exchange_rate": {
            "cny_per_usd": amount(quote.rate.cny_per_usd_nano),
            "checked": quote.rate.checked,
            "source": quote.rate.source,
        },
        "place": _levels(quote.place),
        "total": {currency: range_object(quote.total[currency]) for currency in CURRENCIES},
        "to_admit": {"amount": amount(quote.hold_nano), "currency": quote.currency},
        "warnings": list(quote.warnings),
    }


def _call_objects(quote: Quote) -> Iterator[dict[str, Any]]:
    for index, call in enumerate(quote.calls):
        yield _call_object(index, call, quote.rate)


def range_object(cost: Range) -> dict[str, str]:
    return {
        "min": amount(cost.min_nano),
        "likely": amount(cost.likely_nano),
        "max": amount(cost.max_nano),
    }


def hold_object(hold: HoldRequest, quote_id: str, admitted_nano: int) -> dict[str, Any]:
    """An admitted quote. ``hold`` is what stands now, less than was admitted by what was drawn."""
    assert hold.expires_us is not None
    return {
        "id": hold.id,
        "object": "hold",
        "quote": quote_id,
        "amount": amount(admitted_nano),
        "left": amount(hold.amount_nano),
        "currency": hold.currency,
        "rehearsal": hold.rehearsal,
        "place": _levels(hold.place),
        "expires_at": hold.expires_us // MICRO,
    }


def _levels(place: Place) -> dict[str, str]:
    return {
        level: value
        for level, value in zip(LEVELS, place, strict=True)
        if value is not None and level != "key"
    }


def _call_object(index: int, call: QuotedCall, rate: ExchangeRate) -> dict[str, Any]:
    return {
        "index": index,
        "custom_id": call.asked.custom_id,
        "endpoint": call.asked.call.endpoint,
        "model": call.asked.call.model,
        "task": call.task,
        "route": call.route,
        "count": call.asked.copies,
        "served": call.served,
        "rehearsal": call.rehearsal,
        "chosen": call.candidates[0].target,
        "each": _both(call.cost, call.currency, rate),
        "candidates": [_candidate_object(candidate, rate) for candidate in call.candidates],
    }


def _candidate_object(candidate: Candidate, rate: ExchangeRate) -> dict[str, Any]:
    return {
        "target": candidate.target,
        "served": candidate.served,
        "rehearsal": candidate.rehearsal,
        "stands_for": candidate.stands_for,
        "currency": candidate.currency,
        **range_object(candidate.cost),
        "in": _both(candidate.cost, candidate.currency, rate),
        "likely_by": candidate.likely_by,
        "price": candidate.price,
        "lines": [_line_object(line) for line in candidate.lines],
    }


def _line_object(line: Line) -> dict[str, Any]:
    return {
        "meter": line.meter,
        "quantity": line.quantity,
        "rate": amount(line.rate_nano),
        "per": line.per,
        "cost": amount(line.cost_nano),
    }


def _both(cost: Range, currency: str, rate: ExchangeRate) -> dict[str, dict[str, str]]:
    return {to: range_object(cost.converted(rate, currency, to)) for to in CURRENCIES}
