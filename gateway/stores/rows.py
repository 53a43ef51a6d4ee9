"""Rows in and out: statements that take many rows at once, and holds as rows.

One statement for many rows is one step of the database, during which Python's lock is free;
row by row, the thread that writes would have to fight for it each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from gateway.ledger import ExchangeRate, HoldRequest, Place

from .connections import Connection

MAX_ROWS = 64
"""Rows of one statement; times the columns of the widest table, well within SQLite's 32,766."""
PLACE_COLUMNS = (
    "tenant", "project", "season", "episode", "scene", "shot", "key_id", "user_id", "task",
)  # fmt: skip
HOLD_COLUMNS = (
    "id", "owner", "started_us", "amount_nano", "currency", "rehearsal", "exchange_rate",
    "parent", "expires_us", "about", *PLACE_COLUMNS, "at_risk_nano",
)  # fmt: skip


@lru_cache(maxsize=256)
def _insert(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"


def insert_rows(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert the rows in as few statements as their number, in powers of two, allows: a
    statement that was seen before is prepared already."""
    for chunk in _powers_of_two(rows):
        values = [value for row in chunk for value in row]
        connection.execute(_insert(table, columns, len(chunk)), values)


def insert_new(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    key: int,
    rows: Sequence[Sequence[Any]],
) -> set[tuple[Any, ...]]:
    """The same for rows that may be there already; the keys, the first so many columns, of those
    that were not."""
    new = f" ON CONFLICT DO NOTHING RETURNING {', '.join(columns[:key])}"
    return {
        found
        for chunk in _powers_of_two(rows)
        for found in connection.execute(
            _insert(table, columns, len(chunk)) + new, [value for row in chunk for value in row]
        )
    }


def _powers_of_two(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    at = 0
    while at < len(rows):
        count = min(MAX_ROWS, 1 << ((len(rows) - at).bit_length() - 1))
        yield rows[at : at + count]
        at += count


@lru_cache(maxsize=64)
def _delete(count: int) -> str:
    return f"DELETE FROM holds WHERE id IN ({', '.join('?' * count)}) RETURNING id, amount_nano"


def delete_holds(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Those that stood, with their amounts as they were in the end."""
    return {
        row[0]: row[1]
        for chunk in _powers_of_two(ids)
        for row in connection.execute(_delete(len(chunk)), chunk)
    }


def hold_row(hold: HoldRequest, owner: str) -> tuple[Any, ...]:
    return (
        hold.id,
        owner,
        hold.started_us,
        hold.amount_nano,
        hold.currency,
        hold.rehearsal,
        hold.rate.id,
        hold.parent,
        hold.expires_us,
        hold.about,
        *hold.place,
        hold.at_risk_nano,
    )


READ_HOLDS = (
    f"SELECT {', '.join(f'holds.{name}' for name in HOLD_COLUMNS)}, cny_per_usd_nano, checked, "
    "source FROM holds JOIN exchange_rates ON exchange_rates.id = holds.exchange_rate"
)
"""What ``hold_of`` reads; a WHERE clause follows."""


def hold_of(row: Sequence[Any]) -> HoldRequest:
    """The hold in a row of ``READ_HOLDS``."""
    (id_, _owner, started_us, amount_nano, currency, rehearsal, _rate, parent, expires_us, about,
     *rest) = row  # fmt: skip
    place, at_risk_nano = Place(*rest[: len(PLACE_COLUMNS)]), rest[len(PLACE_COLUMNS)]
    rate = ExchangeRate(*rest[len(PLACE_COLUMNS) + 1 :])
    return HoldRequest(
        id_,
        place,
        started_us,
        amount_nano,
        currency,
        rate,
        bool(rehearsal),
        about,
        parent,
        expires_us=expires_us,
        at_risk_nano=at_risk_nano,
    )
