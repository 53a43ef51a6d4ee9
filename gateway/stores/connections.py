"""One connection to SQLite or PostgreSQL, as plain as both can be used.

The statements of a call run thousands of times a second, so they are text with ``?`` for values;
nothing is composed. (Reports compose theirs with SQLAlchemy, see ``reports.py``.) A connection
belongs to one thread at a time. Whatever goes wrong with the database itself is a
``StoreUnavailable``; what is wrong with a statement stays what it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import ConfigError

BUSY_WAIT_S = 0.5
"""How long SQLite waits for another process's transaction before it says that it cannot."""
CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 2_000
SILENCE_MS = 5_000
"""How long a server may leave what was sent unacknowledged before it is taken for gone."""


class StoreUnavailable(Exception):
    """The database cannot be used at this moment: gone, locked, full, or it failed."""


class Busy(StoreUnavailable):
    """Others kept it from being done in time. Nothing was done, and the connection is sound."""


class Connection(Protocol):
    """What the stores need of a database."""

    for_update: str
    """Ends a SELECT whose rows nobody else may change or lock until the transaction ends. SQLite
    needs none of that: it has one writing transaction at a time."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows, if the statement gives some."""

    def lock(self, number: int, shared: bool = False) -> None:
        """Wait for a lock of that number, in turn, and keep it until the transaction ends. Those
        who share it keep out those who do not."""

    def transaction(self) -> AbstractContextManager[None]:
        """A context: all of it or nothing."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A context for reading, in which nothing changes; nobody has to wait for it."""

    def close(self) -> None: ...


ADDRESSES = (
    "it is postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH, and in USER and PASSWORD "
    "each of the characters / @ : % ? # [ ] is percent-encoded, such as %40 for @"
)


def connect(url: str) -> Connection:
    """``sqlite:///PATH`` or ``postgresql://…``. Raises StoreUnavailable, and ConfigError, which
    never says what the address was: there is a password in it."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return SqliteConnection(Path(rest.removeprefix("/")))
    if scheme in ("postgresql", "postgres"):
        return PostgresqlConnection(f"postgresql://{rest}")
    named = repr(scheme) if rest else "DAOBO_DATABASE_URL"
    raise ConfigError(f"{named} is no database that is known here; {ADDRESSES}")


class SqliteConnection:
    """SQLite in WAL mode: readers never wait, writers wait for each other.

    ``synchronous=NORMAL``: what was committed outlives the process in any case, the last moments
    may be lost if the machine loses power.
    """

    for_update = ""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = sqlite3.connect(
                path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreUnavailable(f"{path}: {error}") from error
        try:
            # ``checkpoints.py`` does it before the log has grown to this many pages.
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=16384"):
                self.execute(f"PRAGMA {pragma}")
        except (StoreUnavailable, sqlite3.DatabaseError) as error:
            self._raw.close()
            kind = Busy if isinstance(error, Busy) else StoreUnavailable
            raise kind(f"{path}: {error}") from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._raw.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Busy(str(error)) from error
            if code in SQLITE_FAULTS_OF_STATEMENTS:
                raise
            raise StoreUnavailable(str(error)) from error

    def lock(self, number: int, shared: bool = False) -> None:
        """Whoever writes is alone already."""

    def transaction(self) -> AbstractContextManager[None]:
        return self._between("BEGIN IMMEDIATE")

    def snapshot(self) -> AbstractContextManager[None]:
        return self._between("BEGIN")

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._raw.in_transaction:
                self._raw.rollback()
            raise

    def close(self) -> None:
        self._raw.close()


SQLITE_FAULTS_OF_STATEMENTS = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    }
)


@lru_cache(maxsize=512)
def _percent_style(sql: str) -> str:
    return sql.replace("?", "%s")


class PostgresqlConnection:
    """PostgreSQL; statements that come again are prepared by the driver."""

    for_update = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        # Imported here: nobody who uses SQLite should pay for it.
        import psycopg
        from psycopg import errors

        self._unavailable = (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.ReadOnlySqlTransaction,
        )
        self._busy = (
            errors.LockNotAvailable,
            errors.DeadlockDetected,
            errors.SerializationFailure,
            errors.QueryCanceled,
        )
        try:
            self._raw = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                # A server that has vanished says nothing; without these, nobody would notice.
                tcp_user_timeout=SILENCE_MS,
                keepalives_idle=2,
                keepalives_interval=1,
                keepalives_count=3,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
                f"-c lock_timeout={LOCK_TIMEOUT_MS}",
            )
        except self._unavailable as error:
            raise StoreUnavailable(_first_line(error)) from error
        except psycopg.ProgrammingError:  # its words repeat the address
            raise ConfigError(f"DAOBO_DATABASE_URL cannot be read; {ADDRESSES}") from None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor = self._raw.execute(_percent_style(sql).encode(), values or None)
            return cursor.fetchall() if cursor.description else []
        except self._busy as error:
            raise Busy(_first_line(error)) from error
        except self._unavailable as error:
            raise StoreUnavailable(_first_line(error)) from error

    def lock(self, number: int, shared: bool = False) -> None:
        # Not a row's lock: PostgreSQL lets those who share one pass a waiting writer for ever.
        self.execute(f"SELECT pg_advisory_xact_lock{'_shared' * shared}(?)", (number,))

    def transaction(self) -> AbstractContextManager[None]:
        return self._between("BEGIN")

    def snapshot(self) -> AbstractContextManager[None]:
        return self._between("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        self.execute(begin)
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
