"""A real PostgreSQL for the tests: one cluster for each worker, one database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
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
        if os.getuid() == 0:
            owner = _unprivileged()
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        initdb = ("--pgdata", self._data, "--no-sync", "--auth=trust", "--username=daobo")
        self._run("initdb", *initdb, "--encoding=UTF8", "--locale=C")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        settings = {**SETTINGS, "unix_socket_directories": str(self._folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(self._folder / "log")
        timeout = f"--timeout={START_TIMEOUT_S}"
        self._run("pg_ctl", "start", "--pgdata", self._data, "--log", log, "--options", options,
                  "--wait", timeout)  # fmt: skip

    def stop(self) -> None:
        """Like a server that is switched off: nobody is waited for."""
        self._run("pg_ctl", "stop", "--pgdata", self._data, "--mode=immediate", "--wait")

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

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to run as root, who is all there is in many containers.
        drop: dict[str, Any] = {}
        if os.getuid() == 0:
            owner = _unprivileged()
            drop = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [_program(program), *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            **drop,
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stderr.strip()}", pytrace=False)


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
