"""A real PostgreSQL for the tests: one cluster for each worker, one database for each test."""

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
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

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


class Cluster:
    """A PostgreSQL server in a folder of its own. It can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
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
    with postgres.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url
