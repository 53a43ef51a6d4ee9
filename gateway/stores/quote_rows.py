"""Quotes, kept until they expire or what was admitted of them ends.

Quotes are rare beside calls, so each question opens a connection of its own, in a thread, and
leaves the ledger's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from gateway.errors import CallError, ConfigError, Outcome
from gateway.ledger import HoldRequest
from gateway.quote import QuoteRow

from .connections import Connection, StoreUnavailable
from .opening import connector
from .rows import READ_HOLDS, hold_of, insert_rows

FIND = f"SELECT {', '.join(QuoteRow._fields)} FROM quotes WHERE id = ? AND key_id = ?"
CLAIM = "UPDATE quotes SET hold = ? WHERE id = ? AND hold IS NULL RETURNING id"
UNCLAIM = "UPDATE quotes SET hold = NULL WHERE id = ? AND hold = ?"
DROP = "DELETE FROM quotes WHERE id = ?"
FORGET = (
    "DELETE FROM quotes WHERE expires_us <= ? "
    "AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = quotes.hold)"
)
RETRY_AFTER_S = 2.0

T = TypeVar("T")


class QuoteRows:
    """The table ``quotes``. All methods raise CallError(LEDGER_UNAVAILABLE)."""

    def __init__(self, url: str) -> None:
        self._open_connection = connector(url)

    async def put(self, row: QuoteRow) -> None:
        """Keep a quote, and forget those that are over by the time it was made."""

        def work(connection: Connection) -> None:
            connection.execute(FORGET, (row.made_us,))
            insert_rows(connection, "quotes", QuoteRow._fields, [row])

        await self._do(work)

    async def find(self, id_: str, key_id: str) -> tuple[QuoteRow, HoldRequest | None] | None:
        """The quote of this key, and its hold if that stands."""

        def work(connection: Connection) -> tuple[QuoteRow, HoldRequest | None] | None:
            rows = connection.execute(FIND, (id_, key_id))
            if not rows:
                return None
            row = QuoteRow(*rows[0])
            holds = connection.execute(f"{READ_HOLDS} WHERE holds.id = ?", (row.hold,))
            return row, hold_of(holds[0]) if holds else None

        return await asyncio.to_thread(self._alone, work, _snapshot)

    async def claim(self, id_: str, hold: str) -> bool:
        """Write down the hold that is about to be made; False if another is written there."""
        return await self._do(lambda connection: bool(connection.execute(CLAIM, (hold, id_))))

    async def unclaim(self, id_: str, hold: str) -> None:
        """The hold was refused, or has been released."""
        await self._do(lambda connection: connection.execute(UNCLAIM, (id_, hold)))

    async def drop(self, id_: str) -> None:
        await self._do(lambda connection: connection.execute(DROP, (id_,)))

    async def _do(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._alone, work, _transaction)

    def _alone(
        self,
        work: Callable[[Connection], T],
        context: Callable[[Connection], AbstractContextManager[None]],
    ) -> T:
        """The work on a connection of its own, which sees the ledger as of one moment."""
        try:
            connection = self._open_connection()
            try:
                with context(connection):
                    return work(connection)
            finally:
                connection.close()
        except (StoreUnavailable, ConfigError) as error:
            raise CallError(
                Outcome.LEDGER_UNAVAILABLE,
                f"the ledger's database, which keeps the quotes, cannot be used ({error}). Try "
                "again in a moment.",
                retry_after_s=RETRY_AFTER_S,
            ) from error


def _snapshot(connection: Connection) -> AbstractContextManager[None]:
    return connection.snapshot()


def _transaction(connection: Connection) -> AbstractContextManager[None]:
    return connection.transaction()
