"""A real PostgreSQL for the tests, one cluster for each worker; and empty ledgers, on it and on
SQLite."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from gateway.stores.schema_version import prepare

DEBIAN = Path("/usr/lib/postgresql")
UNPRIVILEGED = ("postgres", "nobody")
START_TIMEOUT_S = 30
MORTAL = ("setpriv", "--pdeathsig=QUIT") if shutil.which("setpriv") else ()
"""Ends the server with the tests, even if these are killed."""
SETTINGS = {
    "listen_addresses": "",  # a Unix socket only: no port that could be taken
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}
KINDS = ("sqlite", "postgresql")
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
SHAPE = """
SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0
UNION ALL SELECT proname, '', '', false FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT tgname, '', '', false FROM pg_trigger
UNION ALL SELECT '', '', array_to_string(setconfig, ','), false FROM pg_db_role_setting
ORDER BY 1, 2
"""
"""All that a test may have changed besides rows."""


class Cluster:
    """A PostgreSQL server in a folder of its own. It can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._spare: list[_Ledger] = []
        self._server: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            owner = _unprivileged()
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        _initialise(folder, self._data)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        settings = {**SETTINGS, "unix_socket_directories": str(self._folder)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*MORTAL, _program("postgres"), "-D", self._data, *options],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_as_somebody_else(),
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline_s:
                log_text = (self._folder / "log").read_text("utf-8")
                pytest.fail(f"PostgreSQL did not start: {log_text}", pytrace=False)
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Like a server that is switched off: nobody is waited for."""
        assert self._server is not None
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(START_TIMEOUT_S)

    def url(self, database: str) -> str:
        return f"postgresql://daobo@/{database}?host={self._folder}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """By hand, as an administrator."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database that nobody has used."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def ledger(self) -> Iterator[str]:
        """The address of an empty ledger. Making one takes long, so it is emptied and used again,
        unless its tables are no longer what they were."""
        ledger = self._spare.pop() if self._spare else self._new_ledger()
        yield self.url(ledger.name)
        with psycopg.connect(self.url(ledger.name), autocommit=True) as connection:
            reusable = ledger.empty(connection)
        if reusable:
            self._spare.append(ledger)
        else:
            self.execute(f"DROP DATABASE {ledger.name} WITH (FORCE)")

    def _new_ledger(self) -> _Ledger:
        name = f"ledger{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        prepare(self.url(name))
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            tables = [name for (name,) in connection.execute(TABLES)]
            rows = {table: _rows(connection, table) for table in tables}
            return _Ledger(name, rows, _shape(connection))


Rows = list[tuple[Any, ...]]
Client = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class _Ledger:
    """A database that has the ledger's tables."""

    name: str
    rows: dict[str, Rows]
    """Of every table, as it was made."""
    shape: Rows

    def empty(self, connection: Client) -> bool:
        """Whether it is as it was made, after whoever is still at it was thrown out."""
        while connection.execute(OTHERS).fetchall():
            time.sleep(0.005)
        if _shape(connection) != self.shape:
            return False
        connection.execute("SELECT pg_stat_reset()")
        changed = [table for table, rows in self.rows.items() if _rows(connection, table) != rows]
        if changed:
            names = sql.SQL(", ").join(map(sql.Identifier, changed))
            connection.execute(sql.SQL("TRUNCATE {}").format(names))
        for table in changed:
            for row in self.rows[table]:
                insert = sql.SQL("INSERT INTO {} VALUES ({})")
                values = sql.SQL(", ").join(map(sql.Literal, row))
                connection.execute(insert.format(sql.Identifier(table), values))
        return True


def _shape(connection: Client) -> Rows:
    return connection.execute(SHAPE).fetchall()


def _rows(connection: Client, table: str) -> Rows:
    """The first few: no table begins with more than one."""
    statement = sql.SQL("SELECT * FROM {} LIMIT 2").format(sql.Identifier(table))
    return connection.execute(statement).fetchall()


def _initialise(folder: Path, data: str) -> None:
    options = ("--no-sync", "--auth=trust", "--username=daobo", "--encoding=UTF8", "--locale=C")
    done = subprocess.run(
        [_program("initdb"), "--pgdata", data, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **_as_somebody_else(),
    )
    if done.returncode:
        pytest.fail(f"initdb failed: {done.stderr.strip()}", pytrace=False)


def _as_somebody_else() -> dict[str, Any]:
    """PostgreSQL refuses to run as root, who is all there is in many containers."""
    if os.getuid() != 0:
        return {}
    owner = _unprivileged()
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _program(name: str) -> str:
    """A program of PostgreSQL's: on the path, or where Debian keeps those of the newest."""
    if found := shutil.which(name):
        return found
    versions = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not versions:
        pytest.fail(
            f"PostgreSQL's {name} was not found; 'make postgresql' installs it", pytrace=False
        )
    return str(versions[-1])


def _unprivileged() -> pwd.struct_passwd:
    """Whom a server started by root runs as."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    # Not below pytest's own temporary folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory(prefix="daobo-postgres-") as folder:
        cluster = Cluster(Path(folder))
        cluster.start()
        yield cluster
        cluster.stop()


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    with postgres.ledger() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger in a file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "ledger.db"
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_ledger: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_ledger, tmp_path / 'ledger.db')}"


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """An empty ledger of each kind."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=KINDS)
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind in which there are no tables yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        with cluster.database() as url:
            yield url


@pytest.fixture(scope="module", params=KINDS)
def shared_ledger_url(
    request: pytest.FixtureRequest, sqlite_ledger: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An empty ledger of each kind, which is written once and which the tests of a module read."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("shared")
        yield f"sqlite:///{shutil.copy(sqlite_ledger, folder / 'ledger.db')}"
    else:
        cluster: Cluster = request.getfixturevalue("postgres")
        with cluster.ledger() as url:
            yield url
