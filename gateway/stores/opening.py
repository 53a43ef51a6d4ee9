"""Opens the ledger: the database of the environment, or a file in the state folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.errors import ConfigError

from .connections import ADDRESSES, Connection, StoreUnavailable, connect
from .ledger_store import LedgerStore
from .schema_version import prepare

FILE_NAME = "ledger.db"


def database_url(environ: Mapping[str, str], state: Path) -> str:
    """Where the ledger is: ``DAOBO_DATABASE_URL``, or SQLite in the state folder. Raises
    ConfigError."""
    url = environ.get("DAOBO_DATABASE_URL") or f"sqlite:///{(state / FILE_NAME).absolute()}"
    host = url.partition("://")[2].partition("/")[0]
    if host.count("@") > 1:  # what stands before the last is of the password, and would be shown
        raise ConfigError(f"DAOBO_DATABASE_URL has more than one @; {ADDRESSES}")
    return url


def is_made(url: str) -> bool:
    """False for a file that nobody has made yet; a server is only known when it is asked."""
    scheme, _, path = url.partition(":///")
    return scheme != "sqlite" or Path(path).exists()


def prepare_ledger(url: str) -> None:
    """Create or migrate the ledger's tables. Raises ConfigError."""
    try:
        prepare(url)
    except StoreUnavailable as error:
        raise ConfigError(f"the ledger's database cannot be used: {error}") from None


def connector(url: str) -> Callable[[], Connection]:
    """Opens connections; the first brings the tables up to date. It raises StoreUnavailable, and
    ConfigError where no other time will do."""
    prepared = False

    def open_connection() -> Connection:
        nonlocal prepared
        if not prepared:
            prepare(url)
            prepared = True
        return connect(url)

    return open_connection


def ledger_store(url: str, wall_clock: Callable[[], float]) -> LedgerStore:
    """The ledger for one process; nothing is opened yet."""
    return LedgerStore(connector(url), secrets.token_hex(8), wall_clock)
