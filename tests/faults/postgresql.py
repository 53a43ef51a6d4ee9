"""A PostgreSQL server of our own in a temporary folder, that a test may stop and start."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.end_to_end.loopback import free_port

PLACES = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
SETTINGS = "-c fsync=off -c listen_addresses=127.0.0.1 -c max_connections=50"


@dataclass
class PostgresqlServer:
    """Root may not run it, so that it belongs to the user ``postgres`` then."""

    folder: Path
    programs: Path
    port: int = field(default_factory=free_port)
    _names: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["PostgresqlServer"]:
        programs = _programs()
        if programs is None:
            pytest.skip("there is no PostgreSQL on this machine")
        folder = Path(tempfile.mkdtemp(prefix="daobo-pg-"))
        server = cls(folder, programs)
        try:
            if (user := _user()) is not None:
                shutil.chown(folder, user)
            server._run("initdb", "-D", "data", "-A", "trust", "-U", "daobo", "--no-sync")
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        options = f"{SETTINGS} -p {self.port} -k {self.folder}"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """As if the machine had lost it: sessions end where they are."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop", check=False)

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"ledger{next(self._names)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://daobo@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            user=_user(),
            stdout=subprocess.DEVNULL,  # a pipe would be kept open by the server
            stderr=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{program} failed, see {self.folder}/log"


def _programs() -> Path | None:
    """Where ``initdb`` and ``pg_ctl`` are."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else [Path(place) for place in PLACES]
    return next((place for place in places if (place / "pg_ctl").exists()), None)


def _user() -> str | None:
    """The user to become for the server, None to stay who we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
