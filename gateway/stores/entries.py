"""The ledger read request by request, each with its attempts and their rows, however many.

Memory stays the same for a million requests: rows come from a cursor of the server, or from
SQLite's, a thousand at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from gateway.ledger import AttemptRow, ExchangeRate, LedgerRow, Place, RequestRow

from .tables import attempts, exchange_rates, ledger, requests

ROWS_AT_A_TIME = 1000
_REQUEST, _RATE = len(RequestRow._fields), len(ExchangeRate._fields)
_ATTEMPT = len(AttemptRow._fields)


class Entry(NamedTuple):
    """One request with everything that the ledger knows of it."""

    request: RequestRow
    rate: ExchangeRate | None
    """None only where the ledger is damaged."""
    attempts: tuple[tuple[AttemptRow, tuple[LedgerRow, ...]], ...]

    @property
    def place(self) -> Place:
        r = self.request
        tree = (r.tenant, r.project, r.season, r.episode, r.scene, r.shot)
        return Place(*tree, r.key_id, r.user_id, r.task)


def read_entries(
    connection: Connection, since_us: int | None = None, until_us: int | None = None
) -> Iterator[Entry]:
    """Requests that began within the times, Unix microseconds, in the order in which they did."""
    columns = [
        *(requests.c[name] for name in RequestRow._fields),
        *(exchange_rates.c[name] for name in ExchangeRate._fields),
        *(attempts.c[name] for name in AttemptRow._fields),
        *(ledger.c[name] for name in LedgerRow._fields),
    ]
    joined = (
        requests.outerjoin(exchange_rates, exchange_rates.c.id == requests.c.exchange_rate)
        .outerjoin(attempts, attempts.c.request_id == requests.c.id)
        .outerjoin(
            ledger,
            (ledger.c.request_id == attempts.c.request_id)
            & (ledger.c.attempt == attempts.c.number),
        )
    )
    order = (requests.c.started_us, requests.c.id, attempts.c.number, ledger.c.meter)
    statement = select(*columns).select_from(joined).order_by(*order)
    if since_us is not None:
        statement = statement.where(requests.c.started_us >= since_us)
    if until_us is not None:
        statement = statement.where(requests.c.started_us < until_us)
    result = connection.execution_options(yield_per=ROWS_AT_A_TIME).execute(statement)
    for _, rows in groupby(result, key=_id):
        yield _entry([tuple(row) for row in rows])


def _id(row: Sequence[Any]) -> str:
    return str(row[0])


def _entry(rows: list[tuple[Any, ...]]) -> Entry:
    rest = _REQUEST + _RATE
    rate = rows[0][_REQUEST:rest]
    tried = [
        (AttemptRow(*attempt), _lines(of_attempt, rest + _ATTEMPT))
        for attempt, of_attempt in groupby(rows, key=lambda row: row[rest : rest + _ATTEMPT])
        if attempt[0] is not None
    ]
    known = ExchangeRate(*rate) if rate[0] is not None else None
    return Entry(RequestRow(*rows[0][:_REQUEST]), known, tuple(tried))


def _lines(rows: Iterator[tuple[Any, ...]], at: int) -> tuple[LedgerRow, ...]:
    return tuple([LedgerRow(*row[at:]) for row in rows if row[at] is not None])
