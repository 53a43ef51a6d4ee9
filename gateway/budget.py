"""Budgets: what they cover, over which time. Pure words; the stores keep the balances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from .ledger import LEVELS, NANO, Place, Refused


@dataclass(frozen=True, slots=True)
class Window:
    """The time over which a budget counts: all of it, a day, a month, or the last so many hours.

    Time is cut into buckets, each named by its first Unix second. A rolling window is made of 24
    of them and counts the oldest whole: it may let a little less through than the cap, never more.
    """

    kind: str = "total"
    """``total``, ``day``, ``month`` or ``rolling``."""
    hours: int = 0
    """Length of a rolling window."""
    time_zone: str = "UTC"
    """Whose days and months."""

    def bucket(self, at_s: int) -> int:
        """The bucket that a moment falls into."""
        if self.kind == "rolling":
            return at_s - at_s % self._bucket_s
        return 0 if self.kind == "total" else self._period(at_s)[0]

    def since(self, at_s: int) -> int:
        """The oldest bucket that still counts at a moment."""
        if self.kind == "rolling":
            return self.bucket(at_s - self.hours * 3600)
        return self.bucket(at_s)

    def resets_at(self, at_s: int) -> int | None:
        """When there is room again for certain; None for a budget that never starts anew."""
        if self.kind == "total":
            return None
        if self.kind == "rolling":
            return self.bucket(at_s) + self.hours * 3600 + self._bucket_s
        return self._period(at_s)[1]

    def _period(self, at_s: int) -> tuple[int, int]:
        return _period(self.kind, self.time_zone, at_s // QUARTER_S)

    @property
    def _bucket_s(self) -> int:
        return self.hours * 150  # a 24th of the window

    def __str__(self) -> str:
        if self.kind != "rolling":
            return self.kind
        days, hours = divmod(self.hours, 24)
        return f"{self.hours}h" if hours else f"{days}d"


def parse_window(text: str, time_zone: str) -> Window:
    """``total``, ``day``, ``month``, ``24h`` or ``7d``. ValueError for anything else."""
    if text in ("total", "day", "month"):
        return Window(text, time_zone=time_zone)
    count, unit = text[:-1], text[-1:]
    if not count.isdecimal() or unit not in ("h", "d") or not int(count):
        raise ValueError(f"{text!r} is no window; there are total, day, month, and such as 24h, 7d")
    return Window("rolling", int(count) * (24 if unit == "d" else 1), time_zone)


QUARTER_S = 900
"""Days begin at a whole quarter of an hour in every time zone there is."""


@lru_cache(maxsize=256)
def _period(kind: str, time_zone: str, quarter: int) -> tuple[int, int]:
    """First second of the local day or month that a quarter of an hour is in, and of the next."""
    zone = ZoneInfo(time_zone)
    day = datetime.fromtimestamp(quarter * QUARTER_S, zone).date()
    first = day if kind == "day" else day.replace(day=1)
    after = (
        first + timedelta(days=1) if kind == "day" else (first + timedelta(days=31)).replace(day=1)
    )
    return tuple(  # type: ignore[return-value]
        int(datetime(d.year, d.month, d.day, tzinfo=zone).timestamp()) for d in (first, after)
    )


def amount(nano: int) -> str:
    """Units of a currency, with as many decimals as there are, two at least."""
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    units, rest = divmod(nano, NANO)
    decimals = f"{rest:09d}".rstrip("0")
    return f"{sign}{units}.{decimals:0<2}"


EACH = "*"
"""In a scope: every value of this level has the budget for itself."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap on what the calls of one node may cost within a window."""

    id: str
    scope: tuple[tuple[str, str], ...]
    """Level and value, in the order of ``LEVELS``; a call has to match all."""
    cap_nano: int
    currency: str
    window: Window = Window()
    hard: bool = True
    """A soft budget warns at its marks and never stops a call."""
    marks: tuple[int, ...] = (80, 100)
    """Per cent at which answers begin to carry a warning."""
    origin: str = "admin"
    """Who made it, and may change it: ``config``, ``admin``, or ``share``, made for a task."""

    def node(self, place: Place) -> str | None:
        """The node that this call counts under; None if the budget does not concern it."""
        parts = []
        for level, wanted in self.scope:
            value = getattr(place, level)
            if value is None or (wanted != EACH and value != wanted):
                return None
            parts.append(f"{level}={escaped(value)}")
        return ",".join(parts)

    @property
    def name(self) -> str:
        return scope_text(self.scope)

    def share(self, task: str, parts_per_million: int) -> Budget | None:
        """The part of a project's budget that one task may use; None if this is not one."""
        levels = {level for level, _ in self.scope}
        if "project" not in levels or levels & {"task", "key", "user"}:
            return None
        scope = (*self.scope, ("task", task))
        cap_nano = self.cap_nano * parts_per_million // 1_000_000
        return replace(
            self, id=budget_id(scope, self.window), scope=scope, cap_nano=cap_nano, origin="share"
        )

    @property
    def cap(self) -> str:
        """The cap as people read it."""
        window = "" if self.window.kind == "total" else f" a {self.window}"
        if self.window.kind == "rolling":
            window = f" in {self.window}"
        return f"{self.currency} {amount(self.cap_nano)}{window}"


class BudgetIndex:
    """Finds the budgets that concern a place, without looking at each of them.

    Budgets are kept by their shape, which levels they name and which of those for each value;
    there are few shapes however many budgets.
    """

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._shapes: dict[tuple[str, ...], dict[tuple[str | None, ...], list[Budget]]] = {}
        for budget in sorted(budgets, key=lambda budget: budget.id):
            fixed = {level: value for level, value in budget.scope if value != EACH}
            by_value = self._shapes.setdefault(tuple(fixed), {})
            by_value.setdefault(tuple(fixed.values()), []).append(budget)

    def concerning(self, place: Place) -> list[tuple[Budget, str]]:
        """The budgets and the node that the place counts under, always in the same order."""
        found = [
            (budget, node)
            for levels, by_value in self._shapes.items()
            for budget in by_value.get(tuple([getattr(place, level) for level in levels]), ())
            if (node := budget.node(place)) is not None
        ]
        return sorted(found, key=lambda pair: pair[0].id) if len(found) > 1 else found


def budget_id(scope: tuple[tuple[str, str], ...], window: Window) -> str:
    """A scope has one budget for each window."""
    return f"{scope_text(scope)}@{window}"


def scope_text(scope: tuple[tuple[str, str], ...]) -> str:
    """``project=night-market,task=draft``; ``everything`` where nothing is named."""
    return ",".join(f"{level}={escaped(value)}" for level, value in scope) or "everything"


def parse_scope(text: str) -> tuple[tuple[str, str], ...]:
    """The scope that ``scope_text`` writes. ValueError says what is wrong. A comma within a value
    is written ``%2C``."""
    if text == "everything":
        return ()
    named: dict[str, str] = {}
    for part in text.split(","):
        level, equals, value = part.partition("=")
        level, value = level.strip(), value.strip()
        if not equals or not value:
            raise ValueError(f"{part!r} is not LEVEL=VALUE, such as project=night-market")
        if level in named:
            raise ValueError(f"{level!r} stands twice in {text!r}")
        named[level] = _ESCAPE.sub(lambda match: unquote(match[0]), value)
    return scope_of(named)


_ESCAPE = re.compile("%2[5cC]")


def escaped(value: str) -> str:
    """A value as it stands in the text of a scope or node: a comma, which would begin another
    part of it, is ``%2C``; a percent sign is ``%25`` only where it would be taken for either."""
    if "%" in value:
        value = _ESCAPE.sub(lambda match: "%25" + match[0][1:], value)
    return value.replace(",", "%2C")


def scope_of(named: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """A scope in its one order. ValueError for a level that does not exist."""
    if unknown := sorted(set(named) - set(LEVELS)):
        raise ValueError(f"{unknown[0]!r} is no level; there are {', '.join(LEVELS)}")
    return tuple((level, named[level]) for level in LEVELS if level in named)


RAISE = {
    "admin": "raise it with 'daobo budgets set'",
    "config": "raise it in the configuration, under money.budgets",
    "share": "raise its project's budget, or the task's budget_share",
}
"""What to do about a budget that is used up, by who made it."""


def no_room(
    budget: Budget,
    node: str,
    spent: int,
    held: int,
    asked: int,
    at_s: int,
    rehearsal: bool,
    what: str = "call",
) -> Refused:
    """The refusal that says how much, of which budget, until when; ``what`` is refused."""
    resets_at_s = budget.window.resets_at(at_s)
    again = f"It does not start anew; {RAISE.get(budget.origin, RAISE['admin'])}."
    if resets_at_s is not None:
        zone = ZoneInfo(budget.window.time_zone)
        again = f"It has room again from {datetime.fromtimestamp(resets_at_s, zone).isoformat()}."
    word = "rehearsed" if rehearsal else "spent"
    return Refused(
        f"budget {node or 'everything'} has no room for this {what}: cap {budget.cap}, "
        f"{word} {amount(spent)}, held {amount(held)}, and this {what} may cost up to "
        f"{amount(asked)}. {again}",
        resets_at_s,
    )
