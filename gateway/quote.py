"""The words of quotes: what is asked, and what it costs at least, likely and at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .ledger import ExchangeRate, Line, Place
from .schema import Call


class Asked(NamedTuple):
    """One entry of a list that is to be quoted: a call that nobody has made yet."""

    call: Call
    copies: int = 1
    """So many that are alike."""
    custom_id: str | None = None
    where: str = ""
    """Its place in the list for error texts, ``requests[3]``; empty for a single request."""


class Range(NamedTuple):
    """Nano-units of one currency: ``min <= likely <= max``."""

    min_nano: int
    likely_nano: int
    max_nano: int

    def converted(self, rate: ExchangeRate, currency: str, to: str) -> Range:
        """In another currency, each rounded up. ValueError for any but CNY and USD."""
        if currency == to:
            return self
        return Range(*[rate.convert(nano, currency, to) for nano in self])

    def times(self, count: int) -> Range:
        return Range(*[nano * count for nano in self])


def total(ranges: Iterable[Range]) -> Range:
    """The sum of ranges in one currency; of none, nothing."""
    sums = [0, 0, 0]
    for cost in ranges:
        sums = [have + more for have, more in zip(sums, cost, strict=True)]
    return Range(*sums)


class Candidate(NamedTuple):
    """One target that a call may be billed for."""

    target: str
    currency: str
    """Of the price."""
    cost: Range
    lines: tuple[Line, ...]
    """How the maximum comes about; they add up to it."""
    price: str
    """Where the rates come from, with date or version."""
    likely_by: str
    """The rule behind the likely figure."""
    rehearsal: bool = False
    """A stand-in: it bills nothing, and the figures are those of what it stands for."""
    stands_for: str | None = None
    served: bool = True
    """False for what has a price and nobody here who makes it."""


class QuotedCall(NamedTuple):
    """One entry with its price. Of several candidates, ``min`` is the cheapest's, ``likely`` that
    of the first, which is tried first, and ``max`` the dearest's: what the call would hold."""

    asked: Asked
    task: str | None
    route: str
    currency: str
    cost: Range
    candidates: tuple[Candidate, ...]
    place: Place

    @property
    def rehearsal(self) -> bool:
        return all(candidate.rehearsal for candidate in self.candidates)

    @property
    def served(self) -> bool:
        return any(candidate.served for candidate in self.candidates)


class Quote(NamedTuple):
    """A list with its price, and what setting it aside as a whole would take."""

    calls: tuple[QuotedCall, ...]
    total: dict[str, Range]
    """In each of ``CURRENCIES``, stand-ins at the price of what they stand for."""
    hold_nano: int
    """The sum of the maxima of all calls that can be made and will be billed; where every call is
    rehearsed, of those."""
    currency: str
    """Of the hold: that of all its calls, or the configured one."""
    rehearsal: bool
    """Every candidate is a stand-in: admitting it rehearses budgets too."""
    place: Place
    """What all calls have in common."""
    rate: ExchangeRate
    warnings: tuple[str, ...] = ()


class QuoteRow(NamedTuple):
    """A row of the table ``quotes``; the fields are its columns."""

    id: str
    key_id: str
    made_us: int
    expires_us: int
    amount_nano: int
    currency: str
    hold: str | None
    """The hold that it was admitted as; it may have ended since."""
    body: str
    """Two lines of JSON: what admitting it needs to know, and the answer, which may be long."""
