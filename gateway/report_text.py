"""Reports as JSON and as CSV. Amounts are decimal strings, never floats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .budget import amount
from .ledger import MICRO
from .report import Amounts, Book, Held, ReportResult, label

CONVERSION_NOTE = (
    "Converted sums use the exchange rate that each row was written with; they differ from the "
    "sum of converted rows by less than a billionth of a unit for each currency, rate and group."
)
SAVINGS_NOTE = (
    "Savings compare what was charged, failed and estimated attempts included, with what the same "
    "token counts would have cost on the baseline model; another model would have used other "
    "counts. Only calls with a baseline are compared."
)
REHEARSAL_NOTE = "Rehearsed calls are not charged; their book says what they would have cost."
PARTS = ("settled", "estimated", "recovered", "clamped", "retries", "waste", "unattributed")
BOOKS = ("spent", "rehearsed")


def to_json(result: ReportResult) -> dict[str, Any]:
    """The whole report; every amount a string in units of its currency."""
    by, currency = result.query.by, result.terms.currency
    return {
        "by": list(by),
        "filters": {word: list(values) for word, values in result.query.filters.items()},
        "since": iso(result.since_us),
        "until": iso(result.until_us),
        "time_zone": result.terms.time_zone,
        "currency": currency,
        "total": {name: _book(getattr(result.total, name), currency) for name in BOOKS},
        "groups": [
            {
                "group": dict(zip(by, group.key, strict=True)),
                **{name: _book(getattr(group, name), currency) for name in BOOKS},
            }
            for group in result.groups
        ],
        "held": None if result.held is None else [_held(held) for held in result.held],
        "notes": [CONVERSION_NOTE, SAVINGS_NOTE, REHEARSAL_NOTE],
    }


def _book(book: Book, currency: str) -> dict[str, Any] | None:
    if book.empty:
        return None
    converted, baseline_nano = book.converted(currency), book.baseline_nano(currency)
    return {
        "calls": book.calls,
        "succeeded": book.succeeded,
        "attempts": book.attempts,
        "by_currency": {unit: _amounts(sums) for unit, sums in book.by_currency().items()},
        "converted": {"currency": currency, **_amounts(converted)},
        "shots": {
            "accepted": len(book.shots),
            "cost": amount(converted.shots),
            "cost_per_accepted": _optional(book.per_shot_nano(currency)),
            "retakes": book.retakes,
            "retakes_cost": amount(converted.retakes),
        },
        "savings": {
            "compared_calls": book.compared_calls,
            "baseline": amount(baseline_nano),
            "cost": amount(converted.compared),
            "saved": amount(baseline_nano - converted.compared),
        },
        "kept_answers": {"calls": book.replays, "saved": amount(book.saved_nano(currency))},
    }


def _amounts(sums: Amounts) -> dict[str, str]:
    return {"total": amount(sums.total)} | {part: amount(getattr(sums, part)) for part in PARTS}


def _held(held: Held) -> dict[str, Any]:
    return {
        "currency": held.currency,
        "amount": amount(held.nano),
        "holds": held.holds,
        "rehearsal": held.rehearsal,
        "for_quotes": held.for_quote,
    }


COUNTS = ("calls", "succeeded", "attempts")
SUMS = ("total", *PARTS)
OF_BOOK = (
    *COUNTS, "CNY", "USD", *SUMS,
    "shots_accepted", "shots_cost", "cost_per_accepted_shot", "retakes", "retakes_cost",
    "compared_calls", "compared_cost", "baseline", "saved", "replays", "replays_saved",
)  # fmt: skip
"""Columns of one book. CNY and USD are as charged, everything else is converted."""


def csv_columns(by: Iterable[str]) -> list[str]:
    rehearsed = (f"rehearsed_{name}" for name in OF_BOOK)
    return [*by, "currency", *OF_BOOK, *rehearsed]


def to_csv(result: ReportResult) -> str:
    """A row for each group, none for the total: columns can be summed as they are (but accepted
    shots, of which one may belong to several groups)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    by, currency = result.query.by, result.terms.currency
    rows.writerow(csv_columns(by))
    for group in result.groups or ([] if by else [result.total]):
        names = [label(word, value) for word, value in zip(by, group.key, strict=False)]
        cells = [*_cells(group.spent, currency), *_cells(group.rehearsed, currency)]
        rows.writerow([*map(spreadsheet_text, names), currency, *cells])
    return text.getvalue()


def _cells(book: Book, currency: str) -> list[str | int]:
    sums, charged = book.converted(currency), book.by_currency()
    baseline_nano = book.baseline_nano(currency)
    return [
        *(getattr(book, name) for name in COUNTS),
        *(amount(charged[unit].total if unit in charged else 0) for unit in ("CNY", "USD")),
        *(amount(getattr(sums, name)) for name in SUMS),
        len(book.shots),
        amount(sums.shots),
        _optional(book.per_shot_nano(currency)) or "",
        book.retakes,
        amount(sums.retakes),
        book.compared_calls,
        amount(sums.compared),
        amount(baseline_nano),
        amount(baseline_nano - sums.compared),
        book.replays,
        amount(book.saved_nano(currency)),
    ]


def spreadsheet_text(text: str) -> str:
    """A name that a spreadsheet does not take for a formula: names come from callers."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def iso(at_us: int | None) -> str | None:
    """ISO 8601 in UTC, with microseconds where there are some."""
    if at_us is None:
        return None
    seconds, micros = divmod(at_us, MICRO)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return moment.isoformat().replace("+00:00", "Z")


def _optional(nano: int | None) -> str | None:
    return None if nano is None else amount(nano)
