"""What was spent, by anything: one statement for money, one for calls, one for accepted shots.

Money is that of attempts (``provider`` is the one that was tried), calls are counted once, by the
target that answered or was tried last. Times are grouped by quarters of an hour, see
``report_sheet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from gateway.budget import QUARTER_S
from gateway.errors import Outcome
from gateway.ledger import MICRO
from gateway.report import (
    TIMES,
    Amounts,
    Held,
    ReportQuery,
    ReportResult,
    ReportTerms,
    period_us,
)

from .queries import snapshot
from .report_sheet import Sheet
from .tables import attempts, exchange_rates, holds, requests

SHOT = ("tenant", "project", "season", "episode", "scene", "shot")
_COLUMN = {"key": "key_id", "user": "user_id", "model": "public_model"}
"""Words of a report whose column has another name."""
_SUCCEEDED = requests.c.outcome == Outcome.OK.label
_QUARTER = requests.c.started_us // literal_column(str(QUARTER_S * MICRO))


def report(url: str, query: ReportQuery, terms: ReportTerms) -> ReportResult:
    """Read the ledger as it is now. Raises CallError(LEDGER_UNAVAILABLE), ValueError for times."""
    since_us, until_us = period_us(query.since, query.until, terms)
    within = _Within(query, since_us, until_us)
    sheet = Sheet(query.by, terms.time_zone)
    with snapshot(url) as connection:
        for row in connection.execute(_money(within)):
            sheet.add_money(row)
        for row in connection.execute(_calls(within)):
            sheet.add_calls(row)
        for row in connection.execute(_replays(within)):
            sheet.add_replays(row)
        for row in connection.execute(_accepted_shots(within)):
            sheet.add_shot(row)
        held = _held(connection, query)
    groups = sheet.groups(terms.currency)
    return ReportResult(query, terms, since_us, until_us, groups, sheet.total, held)


class _Within:
    """Which rows a report is about, and how they are grouped."""

    def __init__(self, query: ReportQuery, since_us: int | None, until_us: int | None) -> None:
        self._query = query
        self._times: list[ColumnElement[bool]] = []
        if since_us is not None:
            self._times.append(requests.c.started_us >= since_us)
        if until_us is not None:
            self._times.append(requests.c.started_us < until_us)

    def where(self, of_attempts: bool) -> list[ColumnElement[bool]]:
        return self._times + [
            _one_of(_column(word, of_attempts), values)
            for word, values in self._query.filters.items()
        ]

    def groups(self, of_attempts: bool) -> list[ColumnElement[Any]]:
        return [_column(word, of_attempts) for word in self._query.by]


def _column(word: str, of_attempts: bool) -> ColumnElement[Any]:
    if word in TIMES:
        return _QUARTER
    table = attempts if of_attempts and word == "provider" else requests
    return table.c[_COLUMN.get(word, word)]


def _one_of(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    named = column.in_([value for value in values if value])
    return named if all(values) else or_(named, column.is_(None))


def _money(within: _Within) -> Select[Any]:
    """Rows: groups, rehearsed attempt, rehearsed call, currency, rate, attempts, ``Amounts``."""
    takes = _first_takes()
    amount = case((attempts.c.rehearsal, attempts.c.list_cost_nano), else_=attempts.c.cost_nano)
    parts = _parts(takes)
    summed = [amount, *(case((parts[name], amount), else_=0) for name in Amounts._fields[1:])]
    keys = [
        *within.groups(of_attempts=True),
        attempts.c.rehearsal,
        requests.c.rehearsal,
        attempts.c.currency,
        exchange_rates.c.cny_per_usd_nano,
    ]
    joined = (
        requests.join(attempts, attempts.c.request_id == requests.c.id)
        .join(exchange_rates, exchange_rates.c.id == requests.c.exchange_rate)
        .outerjoin(takes, takes.c.id == requests.c.id)
    )
    return (
        select(*keys, func.count(), *map(func.sum, summed))
        .select_from(joined)
        .where(*within.where(of_attempts=True))
        .group_by(*keys)
    )


def _parts(takes: Subquery) -> dict[str, ColumnElement[bool]]:
    """Which attempts count for each of ``Amounts`` but the total."""
    later = attempts.alias("later")
    # The parts of a call follow each other, too; only what failed at one was tried again.
    failed_part = and_(attempts.c.part.is_not(None), attempts.c.outcome != Outcome.OK.label)
    followed = exists().where(
        later.c.request_id == attempts.c.request_id,
        later.c.number > attempts.c.number,
        or_(attempts.c.part.is_(None), and_(failed_part, later.c.part == attempts.c.part)),
    )
    return {
        "estimated": and_(attempts.c.estimated, not_(requests.c.recovered)),
        "recovered": and_(requests.c.recovered, attempts.c.estimated),
        "clamped": attempts.c.clamped,
        "retries": followed,
        "waste": or_(not_(_SUCCEEDED), and_(failed_part, not_(followed))),
        "unattributed": requests.c.project.is_(None),
        "shots": requests.c.shot.is_not(None),
        "retakes": takes.c.first_us < requests.c.started_us,
        "compared": _comparable(),
    }


def _comparable() -> ColumnElement[bool]:
    """Calls whose baseline is known; of rehearsed ones, those whose own price is known too."""
    tried = attempts.alias("tried")
    priced = exists().where(tried.c.request_id == requests.c.id, tried.c.price != "")
    return and_(requests.c.baseline_nano.is_not(None), or_(not_(requests.c.rehearsal), priced))


def _calls(within: _Within) -> Select[Any]:
    """Rows: groups, rehearsed, baseline's currency, rate, calls, succeeded, retakes, compared
    calls, what those would have cost."""
    takes = _first_takes()
    keys = [
        *within.groups(of_attempts=False),
        requests.c.rehearsal,
        requests.c.baseline_currency,
        exchange_rates.c.cny_per_usd_nano,
    ]
    counts = [
        func.count(),
        func.sum(case((_SUCCEEDED, 1), else_=0)),
        func.sum(case((takes.c.first_us < requests.c.started_us, 1), else_=0)),
        func.sum(case((_comparable(), 1), else_=0)),
        func.sum(case((_comparable(), requests.c.baseline_nano), else_=0)),
    ]
    joined = requests.join(
        exchange_rates, exchange_rates.c.id == requests.c.exchange_rate
    ).outerjoin(takes, takes.c.id == requests.c.id)
    return (
        select(*keys, *counts)
        .select_from(joined)
        .where(*within.where(of_attempts=False))
        .group_by(*keys)
    )


def _replays(within: _Within) -> Select[Any]:
    """Rows: groups, rehearsed, currency, rate, calls that were given a kept answer, what it would
    have cost."""
    keys = [
        *within.groups(of_attempts=False),
        requests.c.rehearsal,
        requests.c.saved_currency,
        exchange_rates.c.cny_per_usd_nano,
    ]
    return (
        select(*keys, func.count(), func.sum(requests.c.saved_nano))
        .select_from(requests.join(exchange_rates, exchange_rates.c.id == requests.c.exchange_rate))
        .where(requests.c.replayed != "", *within.where(of_attempts=False))
        .group_by(*keys)
    )


def _accepted_shots(within: _Within) -> Select[Any]:
    """Rows: groups, rehearsed, and the shot's whole name."""
    keys = [
        *within.groups(of_attempts=False),
        requests.c.rehearsal,
        *(requests.c[name] for name in SHOT),
    ]
    accepted = (requests.c.shot.is_not(None), _SUCCEEDED)
    return select(*keys).where(*accepted, *within.where(of_attempts=False)).distinct()


def _first_takes() -> Subquery:
    """For each call with a shot: when the first success of its shot and task began, at any time,
    not only within the report's. Rehearsals are takes of their own."""
    same = [requests.c[name] for name in (*SHOT, "task", "rehearsal")]
    first = func.min(case((_SUCCEEDED, requests.c.started_us))).over(partition_by=same)
    return (
        select(requests.c.id, first.label("first_us"))
        .where(requests.c.shot.is_not(None))
        .subquery("takes")
    )


def _held(connection: Connection, query: ReportQuery) -> list[Held] | None:
    columns = {word: _COLUMN.get(word, word) for word in query.filters}
    if not set(columns.values()) <= set(holds.c.keys()):
        return None
    for_quote = holds.c.expires_us.is_not(None)
    keys: list[ColumnElement[Any]] = [holds.c.currency, holds.c.rehearsal, for_quote]
    rows = connection.execute(
        select(*keys, func.count(), func.sum(holds.c.amount_nano))
        .where(*(_one_of(holds.c[columns[word]], v) for word, v in query.filters.items()))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Held(row[0], bool(row[1]), bool(row[2]), row[3], int(row[4])) for row in rows]
