"""One connection to SQLite or PostgreSQL, as plain as both can be used.

The statements of a call run thousands of times a second, so they are text with ``?`` for values;
nothing is composed. (Reports compose theirs with SQLAlchemy, see ``reports.py``.) A connection
belongs to one thread at a time. Whatever goes wrong with the database itself is a
``StoreUnavailable``; what is wrong with a statement stays what it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import ConfigError

BUSY_WAIT_S = 0.5
"""How long SQLite waits for another process's transaction before it says that it cannot."""
CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 5_000


class StoreUnavailable(Exception):
    """The database cannot be used at this moment: gone, locked, full, or it failed."""


class Connection(Protocol):
    """What the stores need of a database."""

    for_share: str
    """Ends a SELECT whose rows nobody may change until the transaction ends."""
    for_update: str
    """The same, and nobody else may do it at the same time. SQLite needs neither: it has one
    writing transaction at a time."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows, if the statement gives some."""

    def transaction(self) -> Any:
        """A context: all of it or nothing."""

    def close(self) -> None: ...


def connect(url: str) -> Connection:
    """``sqlite:///PATH`` or ``postgresql://…``. Raises StoreUnavailable, ConfigError."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return SqliteConnection(Path(rest.removeprefix("/")))
    if scheme in ("postgresql", "postgres"):
        return PostgresqlConnection(f"postgresql://{rest}")
    raise ConfigError(
        f"{scheme!r} is no database that is known here; DAOBO_DATABASE_URL is "
        "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH"
    )


class SqliteConnection:
    """SQLite in WAL mode: readers never wait, writers wait for each other.

    ``synchronous=NORMAL``: what was committed outlives the process in any case, the last moments
    may be lost if the machine loses power.
    """

    for_share = for_update = ""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = sqlite3.connect(
                path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False
            )
            # Checkpoints are made by ``checkpoint`` on a connection of their own.
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=16384"):
                self._raw.execute(f"PRAGMA {pragma}")
        except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
            raise StoreUnavailable(f"{path}: {error}") from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._raw.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(str(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._raw.in_transaction:
                self._raw.rollback()
            raise

    def close(self) -> None:
        self._raw.close()


@lru_cache(maxsize=512)
def _percent_style(sql: str) -> str:
    return sql.replace("?", "%s")


class PostgresqlConnection:
    """PostgreSQL; statements that come again are prepared by the driver."""

    for_share, for_update = " FOR SHARE", " FOR UPDATE"

    def __init__(self, url: str) -> None:
        # Imported here: nobody who uses SQLite should pay for it.
        import psycopg

        self._unavailable = (psycopg.OperationalError, psycopg.InterfaceError)
        try:
            self._raw = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout=2000",
            )
        except self._unavailable as error:
            raise StoreUnavailable(_first_line(error)) from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._raw.execute(_percent_style(sql).encode(), values or None)
            return cursor.fetchall() if cursor.description else []
        except self._unavailable as error:
            raise StoreUnavailable(_first_line(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if not self._raw.closed:
                self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            self._raw.execute(b"ROLLBACK")
        except self._unavailable:
            self._raw.close()

    def close(self) -> None:
        self._raw.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
