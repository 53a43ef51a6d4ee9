"""SQLAlchemy's way to the ledger, for what is composed: reports, exports, migrations.

Importing SQLAlchemy costs a fifth of a second and 20 MB, so only those who ask for a report do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from gateway.errors import CallError, ConfigError, Outcome

from .connections import ADDRESSES
from .opening import is_made


def engine_url(url: str) -> str:
    """The database's address as SQLAlchemy writes it, with the driver that is installed."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def open_engine(url: str) -> Engine:
    """For reading. A SQLite database in WAL mode is read while others write. Raises ConfigError."""
    try:
        return create_engine(engine_url(url), poolclass=NullPool)
    except (ArgumentError, ValueError, ImportError):  # the last where a driver is missing
        raise ConfigError(f"DAOBO_DATABASE_URL cannot be read; {ADDRESSES}") from None


def has_ledger(url: str) -> bool:
    """Whether anything was ever written there. Raises CallError(LEDGER_UNAVAILABLE) or
    ConfigError."""
    if not is_made(url):
        return False
    with snapshot(url) as connection:
        return inspect(connection).has_table("requests")


@contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """The ledger as it is at this moment, for as long as the context lasts; nobody waits for it.

    Raises CallError(LEDGER_UNAVAILABLE).
    """
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection
    except DBAPIError as error:
        said = (str(error.orig).strip() or type(error).__name__).splitlines()[0]
        raise CallError(
            Outcome.LEDGER_UNAVAILABLE, f"the ledger's database cannot be used: {said}"
        ) from error
