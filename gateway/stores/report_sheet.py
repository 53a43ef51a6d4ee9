"""Adds the rows of a report's statements up into groups and their total.

Local days and months are made here of quarters of an hour, at which days begin in every time zone,
so that the databases need not know any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from gateway.budget import QUARTER_S
from gateway.report import TIMES, Amounts, Book, Group, Key


class Sheet:
    """Adds rows up into groups and the total."""

    def __init__(self, by: tuple[str, ...], time_zone: str) -> None:
        self.total = Group(())
        self._by = by
        self._groups: dict[Key, Group] = {}
        self._read: list[Callable[[Any], str | None]] = [
            _period_reader(word, time_zone) if word in TIMES else _same for word in by
        ]

    def add_money(self, row: Sequence[Any]) -> None:
        rehearsed, rehearsed_call, currency, rate, tries, *sums = row[len(self._by) :]
        amounts = Amounts(*map(int, sums))
        for group in self._both(row):
            book = group.rehearsed if rehearsed else group.spent
            book.attempts += tries
            if currency is None:
                continue
            # A call's whole cost, whoever tried, is compared in the book that counts the call.
            whose = group.rehearsed if rehearsed_call else group.spent
            book.add((currency, rate), amounts._replace(compared=0))
            whose.add((currency, rate), Amounts(compared=amounts.compared))

    def add_calls(self, row: Sequence[Any]) -> None:
        rehearsed, currency, rate, calls, ok, retakes, compared, nano = row[len(self._by) :]
        for book in self._books(row, rehearsed):
            book.calls += calls
            book.succeeded += int(ok)
            book.retakes += int(retakes)
            book.compared_calls += int(compared)
            if compared:
                book.add_baseline((currency, rate), int(nano))

    def add_replays(self, row: Sequence[Any]) -> None:
        rehearsed, currency, rate, calls, nano = row[len(self._by) :]
        for book in self._books(row, rehearsed):
            book.add_replays((currency or "USD", rate), calls, int(nano))

    def add_shot(self, row: Sequence[Any]) -> None:
        rehearsed, *shot = row[len(self._by) :]
        for book in self._books(row, rehearsed):
            book.shots.add(tuple(shot))

    def groups(self, currency: str) -> list[Group]:
        groups = list(self._groups.values())
        if self._by[:1] and self._by[0] in TIMES:
            return sorted(groups, key=_names)
        return sorted(groups, key=lambda group: (*_negative_costs(group, currency), _names(group)))

    def _books(self, row: Sequence[Any], rehearsed: bool) -> Iterator[Book]:
        for group in self._both(row):
            yield group.rehearsed if rehearsed else group.spent

    def _both(self, row: Sequence[Any]) -> tuple[Group, ...]:
        """The row's group, and the total."""
        if not self._by:
            return (self.total,)
        key = tuple([read(value) for read, value in zip(self._read, row, strict=False)])
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key)
        return group, self.total


def _names(group: Group) -> tuple[str, ...]:
    return tuple([value or "" for value in group.key])


def _negative_costs(group: Group, currency: str) -> tuple[int, int]:
    books = (group.spent, group.rehearsed)
    spent, rehearsed = (-book.converted(currency).total for book in books)
    return spent, rehearsed


def _same(value: str | None) -> str | None:
    return value


def _period_reader(word: str, time_zone: str) -> Callable[[Any], str]:
    """From a quarter of an hour to the local day or month that it is in."""
    zone = ZoneInfo(time_zone)
    length = len("2026-11-22") if word == "day" else len("2026-11")

    @lru_cache(maxsize=4096)
    def read(quarter: int) -> str:
        return datetime.fromtimestamp(quarter * QUARTER_S, zone).date().isoformat()[:length]

    return read
