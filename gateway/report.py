"""The words of a report on what was spent: what is asked, and what comes back.

Two books are kept apart and never added: what was charged, and what rehearsed calls would have
cost. Amounts are nano-units. They are summed by currency and exchange rate, and converted as sums
with the rate that was frozen in the rows; each such sum is rounded up, so a converted total may
differ from converted rows by less than a nano-unit for each sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .ledger import LEVELS, MICRO, ExchangeRate

TIMES = ("day", "month")
GROUPS = (*LEVELS, "model", "provider", *TIMES, "outcome")
"""What spend can be grouped by."""
FILTERS = tuple(word for word in GROUPS if word not in TIMES)
BOUNDS = ("since", "until")
_RELATIVE = re.compile(r"(\d{1,5})([hd])")
_MONTH = re.compile(r"\d{4}-\d\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class ReportQuery(NamedTuple):
    """What is asked. Times are as they were written; ``moment_us`` reads them."""

    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    """Word and value; of one word any value fits, and all words have to. An empty value means
    those that name none."""
    since: str | None = None
    until: str | None = None

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The wanted values of each word."""
        words = dict.fromkeys(word for word, _ in self.where)
        return {word: tuple(v for w, v in self.where if w == word) for word in words}


class ReportTerms(NamedTuple):
    """How a report is made: whose days, in which currency sums are shown besides, what is now."""

    time_zone: str
    currency: str
    now_s: int


def parse_query(parameters: Iterable[tuple[str, str]]) -> ReportQuery:
    """The query in the parameters of an address. ValueError lists the words that are allowed."""
    by: tuple[str, ...] = ()
    where: list[tuple[str, str]] = []
    bounds: dict[str, str | None] = dict.fromkeys(BOUNDS)
    for name, value in parameters:
        if name == "by":
            by = (*by, *parse_groups(value))
        elif name in BOUNDS:
            moment_us(value, name, ReportTerms("UTC", "USD", 0))
            bounds[name] = value
        elif name in FILTERS:
            where.append((name, value))
        else:
            raise ValueError(f"{name!r} is no parameter; there are by, {', '.join(BOUNDS)}, "
                             f"format, and as filters {', '.join(FILTERS)}")  # fmt: skip
    return ReportQuery(tuple(dict.fromkeys(by)), tuple(where), bounds["since"], bounds["until"])


def parse_groups(text: str) -> tuple[str, ...]:
    """``project,episode,task``. ValueError lists the words that are allowed."""
    words = tuple(word for part in text.split(",") if (word := part.strip()))
    for word in words:
        if word not in GROUPS:
            raise ValueError(f"cannot group by {word!r}; there are {', '.join(GROUPS)}")
    return words


def moment_us(text: str, bound: str, terms: ReportTerms) -> int:
    """A point in time, Unix microseconds: ``7d`` or ``24h`` ago, a day, a month, ISO 8601.

    A day or month that is the ``until`` of a report counts whole. ValueError for anything else.
    """
    if found := _RELATIVE.fullmatch(text):
        hours = int(found[1]) * (24 if found[2] == "d" else 1)
        return (terms.now_s - hours * 3600) * MICRO
    try:
        moment = _calendar(text, bound)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time; write 2026-11-01, 2026-11, 2026-11-01T12:00+08:00, 24h or 7d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(terms.time_zone))
    return int(moment.timestamp()) * MICRO + moment.microsecond


def period_us(
    since: str | None, until: str | None, terms: ReportTerms
) -> tuple[int | None, int | None]:
    """The first moment and the one after the last. ValueError where no time lies between them."""
    since_us = None if since is None else moment_us(since, "since", terms)
    until_us = None if until is None else moment_us(until, "until", terms)
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise ValueError(f"no time lies between since {since} and until {until}")
    return since_us, until_us


def _calendar(text: str, bound: str) -> datetime:
    if _MONTH.fullmatch(text):
        first = datetime.fromisoformat(f"{text}-01")
        return (first + timedelta(days=31)).replace(day=1) if bound == "until" else first
    moment = datetime.fromisoformat(text)
    if _DAY.fullmatch(text) and bound == "until":
        return moment + timedelta(days=1)
    return moment


class Amounts(NamedTuple):
    """Sums of one currency in nano-units. ``estimated`` and ``recovered`` are parts of the total
    that exclude each other; the others are parts that may overlap with anything."""

    total: int = 0
    estimated: int = 0
    """The provider never said what was used."""
    recovered: int = 0
    """Charged at the bound for calls whose process died."""
    clamped: int = 0
    """The provider reported more than was held, and only that was charged."""
    retries: int = 0
    """Attempts that another one followed."""
    waste: int = 0
    """Calls that failed, and parts of calls at the last attempt."""
    unattributed: int = 0
    """Calls that name no project."""
    shots: int = 0
    """Calls that name a shot."""
    retakes: int = 0
    """Calls to a shot after the first that succeeded, for the same task."""
    compared: int = 0
    """Calls for which the baseline's cost is known."""

    @property
    def settled(self) -> int:
        """What providers reported, priced."""
        return self.total - self.estimated - self.recovered

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(*[mine + more for mine, more in zip(self, other, strict=True)])


Priced = tuple[str, int]
"""Currency, and yuan per dollar in nano: amounts of the same may be added, then converted."""


@dataclass(slots=True)
class Book:
    """The account of one group: what was charged, or what rehearsals would have cost."""

    calls: int = 0
    succeeded: int = 0
    attempts: int = 0
    retakes: int = 0
    compared_calls: int = 0
    replays: int = 0
    """Calls that were given a kept answer, for nothing."""
    sums: dict[Priced, Amounts] = field(default_factory=dict)
    baselines: dict[Priced, int] = field(default_factory=dict)
    saved: dict[Priced, int] = field(default_factory=dict)
    """What kept answers would have cost."""
    shots: set[tuple[str | None, ...]] = field(default_factory=set)
    """The accepted ones: a call to them succeeded."""

    def add(self, priced: Priced, amounts: Amounts) -> None:
        self.sums[priced] = self.sums.get(priced, Amounts()).plus(amounts)

    def add_baseline(self, priced: Priced, nano: int) -> None:
        self.baselines[priced] = self.baselines.get(priced, 0) + nano

    def add_replays(self, priced: Priced, calls: int, nano: int) -> None:
        self.replays += calls
        self.saved[priced] = self.saved.get(priced, 0) + nano

    @property
    def empty(self) -> bool:
        return not (self.calls or self.attempts)

    def by_currency(self) -> dict[str, Amounts]:
        """As it was charged; a currency without any amount is left out."""
        found: dict[str, Amounts] = {}
        for (currency, _), amounts in sorted(self.sums.items()):
            found[currency] = found.get(currency, Amounts()).plus(amounts)
        return {currency: amounts for currency, amounts in found.items() if any(amounts)}

    def converted(self, currency: str) -> Amounts:
        """Everything in one currency, each sum at its own rate."""
        total = Amounts()
        for (unit, rate), amounts in self.sums.items():
            convert = ExchangeRate(rate).convert
            total = total.plus(Amounts(*[convert(nano, unit, currency) for nano in amounts]))
        return total

    def baseline_nano(self, currency: str) -> int:
        """What the compared calls would have cost on their baseline."""
        return _converted(self.baselines, currency)

    def saved_nano(self, currency: str) -> int:
        """What kept answers would have cost."""
        return _converted(self.saved, currency)

    def per_shot_nano(self, currency: str) -> int | None:
        """All that calls with a shot cost, for each accepted one, rounded up."""
        if not self.shots:
            return None
        return -(-self.converted(currency).shots // len(self.shots))


def _converted(sums: dict[Priced, int], currency: str) -> int:
    """Each sum at its own rate."""
    return sum(
        ExchangeRate(rate).convert(nano, unit, currency) for (unit, rate), nano in sums.items()
    )


Key = tuple[str | None, ...]


@dataclass(slots=True)
class Group:
    """One row of a report: a value for each word of ``by``, None where calls name none."""

    key: Key
    spent: Book = field(default_factory=Book)
    rehearsed: Book = field(default_factory=Book)


class Held(NamedTuple):
    """What is set aside at this moment, in one currency."""

    currency: str
    rehearsal: bool
    for_quote: bool
    """By an admitted quote that no call has drawn yet."""
    holds: int
    nano: int


@dataclass(slots=True)
class ReportResult:
    """What was spent. ``groups`` are the largest first, or in order of time."""

    query: ReportQuery
    terms: ReportTerms
    since_us: int | None
    until_us: int | None
    groups: list[Group]
    total: Group
    held: list[Held] | None
    """Now, whatever times were asked for; None if it is not known by what was filtered by."""


def label(word: str, value: str | None) -> str:
    """How a group is called; ``(no project)`` for calls that name none."""
    return f"(no {word})" if value is None else value
