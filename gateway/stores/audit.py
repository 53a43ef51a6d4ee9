"""The books checked against themselves: balances worked out anew from every row.

``spent`` is the sum of all attempts of a node's calls, ``held`` of all holds that stand. Whatever
the counters say besides is a fault, and shown as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.budget import EACH, Budget, BudgetIndex
from gateway.ledger import LEVELS, MICRO, ExchangeRate, Place

from .balances import TURNSTILE
from .connections import Connection
from .rows import PLACE_COLUMNS, READ_HOLDS, hold_of

BalanceKey = tuple[str, str, int]
"""Budget, node, bucket."""
Amounts = list[int]
"""Spent, held, rehearsed, held for rehearsals."""

READ_ATTEMPTS = (
    f"SELECT {', '.join(f'requests.{name}' for name in PLACE_COLUMNS)}, requests.started_us, "
    "attempts.currency, attempts.cost_nano, attempts.list_cost_nano, attempts.rehearsal, "
    "cny_per_usd_nano, requests.id, attempts.number "
    "FROM requests JOIN attempts ON attempts.request_id = requests.id "
    "JOIN exchange_rates ON exchange_rates.id = requests.exchange_rate "
    "WHERE requests.started_us >= ? "  # PostgreSQL finds the page by this alone
    "AND (requests.started_us, requests.id, attempts.number) > (?, ?, ?) "
    "AND attempts.currency IS NOT NULL "
)
IN_ORDER = "ORDER BY requests.started_us, requests.id, attempts.number LIMIT ?"
COLUMN_OF = dict(zip(LEVELS, PLACE_COLUMNS, strict=True))
PAGE_ROWS = 100
"""Attempts that are read at once. A ledger of years does not fit into memory, and a page is added
up in less than a millisecond, for which calls have to wait."""
READ_BALANCES = (
    "SELECT budget, node, bucket_s, spent_nano, held_nano, rehearsed_nano, rehearsal_held_nano "
    "FROM balances"
)
NEXT_BALANCES = (
    f"{READ_BALANCES} WHERE (budget, node, bucket_s) > (?, ?, ?) "
    "ORDER BY budget, node, bucket_s LIMIT ?"
)


class Difference(NamedTuple):
    """A balance that is not what the rows add up to."""

    key: BalanceKey
    counted: tuple[int, ...]
    true: tuple[int, ...]


def _no_pause() -> None:
    """Whoever has the database to himself does not let others go first."""


def true_balances(
    connection: Connection,
    budgets: Iterable[Budget],
    now_s: int,
    pause: Callable[[], None] = _no_pause,
) -> dict[BalanceKey, Amounts]:
    """The balances of the buckets that still count, from the rows alone.

    ``pause`` is called after every page, and may raise to end it.
    """
    budgets = list(budgets)
    index = BudgetIndex(budgets)
    since = {budget.id: budget.window.since(now_s) for budget in budgets}
    found: defaultdict[BalanceKey, Amounts] = defaultdict(lambda: [0, 0, 0, 0])
    oldest_us = min(since.values(), default=0) * MICRO
    for page in _pages(connection, oldest_us, _in_common(budgets)):
        for row in page:
            _add_attempt(found, index, row)
        pause()
    for row in connection.execute(READ_HOLDS):
        hold = hold_of(row)
        for budget, node in index.concerning(hold.place):
            bucket_s = budget.window.bucket(hold.started_us // MICRO)
            nano = hold.rate.convert(hold.amount_nano, hold.currency, budget.currency)
            found[budget.id, node, bucket_s][3 if hold.rehearsal else 1] += nano
    return {key: amounts for key, amounts in found.items() if key[2] >= since[key[0]]}


def _in_common(budgets: list[Budget]) -> dict[str, str]:
    """What every call that concerns them says of itself; one new budget needs no others read."""
    scopes = [{level: value for level, value in b.scope if value != EACH} for b in budgets]
    return {
        level: value
        for level, value in (scopes[0].items() if scopes else ())
        if all(scope.get(level) == value for scope in scopes)
    }


def _pages(
    connection: Connection, oldest_us: int, place: Mapping[str, str]
) -> Iterator[list[tuple[Any, ...]]]:
    """Every attempt at this place since then that has a bill, in the order of time."""
    there = "".join(f"AND requests.{COLUMN_OF[level]} = ? " for level in place)
    after: tuple[Any, ...] = (oldest_us, "", 0)
    while page := connection.execute(
        READ_ATTEMPTS + there + IN_ORDER, (after[0], *after, *place.values(), PAGE_ROWS)
    ):
        yield page
        after = (page[-1][len(PLACE_COLUMNS)], *page[-1][-2:])


def _add_attempt(
    found: defaultdict[BalanceKey, Amounts], index: BudgetIndex, row: tuple[Any, ...]
) -> None:
    place = Place(*row[: len(PLACE_COLUMNS)])
    started_us, currency, cost_nano, list_cost_nano, rehearsal, rate = row[len(PLACE_COLUMNS) : -2]
    convert = ExchangeRate(rate).convert
    for budget, node in index.concerning(place):
        amounts = found[budget.id, node, budget.window.bucket(started_us // MICRO)]
        amounts[0] += convert(cost_nano, currency, budget.currency)
        if rehearsal:
            amounts[2] += convert(list_cost_nano, currency, budget.currency)


def differences(
    connection: Connection,
    budgets: Iterable[Budget],
    now_s: int,
    pause: Callable[[], None] = _no_pause,
) -> list[Difference]:
    """Every balance that still counts and is not the sum of its rows; in one transaction."""
    budgets = list(budgets)
    true = true_balances(connection, budgets, now_s, pause)
    since = {budget.id: budget.window.since(now_s) for budget in budgets}
    nothing: Amounts = [0, 0, 0, 0]
    found = []
    for page in _balances(connection):
        for budget_id, node, bucket_s, *counted in page:
            if budget_id in since and bucket_s >= since[budget_id]:
                key = budget_id, node, bucket_s
                rows = true.pop(key, nothing)
                if counted != rows:
                    found.append(Difference(key, tuple(counted), tuple(rows)))
        pause()
    found += (  # what is left has no balance at all
        Difference(key, tuple(nothing), tuple(rows))
        for key, rows in true.items()
        if rows != nothing
    )
    return sorted(found)


def _balances(connection: Connection) -> Iterator[list[tuple[Any, ...]]]:
    """A page at a time: there may be one for each user."""
    after: tuple[Any, ...] = ("", "", TURNSTILE - 1)
    while page := connection.execute(NEXT_BALANCES, (*after, PAGE_ROWS)):
        yield page
        after = page[-1][:3]
