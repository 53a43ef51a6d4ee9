"""SQLAlchemy's way to the ledger, for what is composed: reports, exports, migrations.

Importing SQLAlchemy costs a fifth of a second and 20 MB, so only those who ask for a report do.
"""

from __future__ import annotations

from sqlalchemy import Engine, create_engine


def engine_url(url: str) -> str:
    """The database's address as SQLAlchemy writes it, with the driver that is installed."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def open_engine(url: str) -> Engine:
    """For reading. A SQLite database in WAL mode is read while others write."""
    return create_engine(engine_url(url))
