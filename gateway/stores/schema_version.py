"""Brings a database to the tables of this version: a new one at once, an old one by alembic.

A new database gets the scripts of ``migrations/`` one after the other; that takes milliseconds.
Alembic, which takes longer to import than that, is for databases that an older version made.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigError

from .connections import Busy, Connection, SqliteConnection, StoreUnavailable, connect

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0004"
OPEN_WAIT_S = 10.0
OPEN_PAUSE_S = 0.05
ADVISORY_LOCK = 0x64616F626F
"""Any number, as long as everybody takes the same."""


def prepare(url: str) -> None:
    """Create or migrate the tables. Processes that start together wait for each other.

    Raises StoreUnavailable if the database cannot be used, ConfigError if it never can.
    """
    with _alone_with_file(url):
        connection = _connect_patiently(url)
        try:
            with _alone(connection):
                _bring_up_to_date(connection, url)
        finally:
            connection.close()


def _connect_patiently(url: str) -> Connection:
    """SQLite's file is locked for a moment while others open or close it."""
    deadline_s = time.monotonic() + OPEN_WAIT_S
    while True:
        try:
            return connect(url)
        except Busy:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(OPEN_PAUSE_S)


def _bring_up_to_date(connection: Connection, url: str) -> None:
    version = _version(connection)
    if version is None:
        with connection.transaction():
            create(connection)
    elif version < HEAD:
        upgrade(url)
    elif version > HEAD:
        raise ConfigError(
            f"the ledger's database is of version {version}, this gateway knows {HEAD}; "
            "a newer gateway has migrated it, and only that or a newer one can use it"
        )


def create(connection: Connection) -> None:
    """All tables in an empty database, within the caller's transaction."""
    for script in sorted(MIGRATIONS.glob("*.sql")):
        for statement in statements(script, isinstance(connection, SqliteConnection)):
            connection.execute(statement)
    connection.execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD,))


def statements(script: Path, sqlite: bool) -> list[str]:
    """The statements of a script, which end with a semicolon at the end of a line.

    In SQLite a table is its own index then: half the pages to write for each row. It has no way
    to change a column's type, and no need to: its integers have no width.
    """
    lines = [line for line in script.read_text("utf-8").splitlines() if not line.startswith("--")]
    parts = (part.strip(" ;\n") for part in "\n".join(lines).split(";\n"))
    suffix = " WITHOUT ROWID" if sqlite else ""
    return [
        part + suffix * part.startswith("CREATE TABLE")
        for part in parts
        if part and not (sqlite and " ALTER COLUMN " in part)
    ]


def upgrade(url: str) -> None:
    """Every migration that is missing, by alembic: all of them or none. Raises StoreUnavailable."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, HEAD)
    except DBAPIError as error:
        raise StoreUnavailable(
            f"the tables could not be brought to {HEAD}: {error.orig}"
        ) from error


def _version(connection: Connection) -> str | None:
    """None for a database without tables of ours."""
    if isinstance(connection, SqliteConnection):
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
    else:
        found = connection.execute(
            "SELECT 1 FROM information_schema.tables WHERE table_name = 'alembic_version' "
            "AND table_schema = current_schema()"
        )
    rows = connection.execute("SELECT version_num FROM alembic_version") if found else []
    return str(rows[0][0]) if rows else None


@contextlib.contextmanager
def _alone_with_file(url: str) -> Iterator[None]:
    """Keep other processes away from a SQLite database that may not exist yet."""
    scheme, _, name = url.partition(":///")
    if scheme != "sqlite":
        yield
        return
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("wb")
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating at the same time."""
    if isinstance(connection, SqliteConnection):
        yield  # they wait for the file
    else:
        # Another process may be at a migration that takes its time.
        connection.execute("SET lock_timeout = 0")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(?)", (ADVISORY_LOCK,))
        try:
            yield
        finally:
            connection.execute("SELECT pg_advisory_unlock(?)", (ADVISORY_LOCK,))
