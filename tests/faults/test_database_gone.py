"""The ledger's database goes and comes back: nothing is sent that is not held, nothing is lost."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import Cluster

from .audit import audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config

MARGIN_S = 0.5
"""What a machine with two busy cores may add to the second in which a call is refused."""
UNDER_WAY = 20
AT_ONCE = 4

BACKENDS = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
POSTMASTER = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::integer"

Outage = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Length:
    seconds: float
    answer_s: float
    back_s: float


SHORT = Length(1.2, answer_s=30.0, back_s=60.0)
"""The short form asks whether calls are refused while the database is gone, not how soon."""
LENGTHS = pytest.mark.parametrize(
    "length",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(Length(30, 1.0 + MARGIN_S, 5.0), id="long", marks=pytest.mark.soak),
    ],
)


class DatabaseGone:
    """One outage: calls that began before it, calls during it, and the first one after it."""

    def __init__(self, gateway: GatewayProcess, upstream: UpstreamProcess, outage: Outage) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._outage = outage
        self.before: list[Reply] = []
        self.during: list[Reply] = []
        self.after: list[Reply] = []
        self.back_s = 0.0

    async def run(self, length: Length) -> None:
        seconds = length.seconds
        order = Order(after_s=min(1.0, seconds / 2), chunks=10, pace_s=seconds / 20)
        wishes = [Wish(u, order, stream=True) for u in users("before", UNDER_WAY)]
        async with Clients(self._gateway.root) as clients:
            under_way = asyncio.ensure_future(clients.all(wishes))
            await until(lambda: len(self._upstream.billed()) == UNDER_WAY, 60, "calls under way")
            with self._outage():
                ends_s = time.monotonic() + seconds
                self.during = await clients.by_turns(_until(ends_s, "during"), AT_ONCE)
                self.before = await under_way
            began_s = time.monotonic()
            for user in users("after"):
                self.after.append(await clients.call(Wish(user)))
                if self.after[-1].complete:
                    break
                assert time.monotonic() - began_s < length.back_s, self.after[-1]
            self.back_s = time.monotonic() - began_s
        await until(lambda: open_holds(self._gateway.database_url) == 0, 60, "all holds closed")

    @property
    def refused(self) -> list[Reply]:
        return [reply for reply in [*self.during, *self.after] if not reply.complete]


def _until(ends_s: float, prefix: str) -> Iterator[Wish]:
    for user in users(prefix):
        if time.monotonic() > ends_s:
            return
        yield Wish(user)


@contextmanager
def sqlite_locked(path: Path) -> Iterator[None]:
    """Another process (the test's) writes and does not finish."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextmanager
def postgresql_stopped(cluster: Cluster) -> Iterator[None]:
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


@contextmanager
def postgresql_silent(cluster: Cluster) -> Iterator[None]:
    """Every process of the server stands still: connections stay, and nobody answers."""
    rows = cluster.execute(f"{BACKENDS} UNION {POSTMASTER}")
    processes = [int(process) for (process,) in rows]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


async def check(
    gateway: GatewayProcess, upstream: UpstreamProcess, outage: Outage, length: Length
) -> str:
    """Run through one outage; what was found."""
    gone = DatabaseGone(gateway, upstream, outage)
    await gateway.start()
    await gone.run(length)
    billed = upstream.billed()
    report = audit(gateway.database_url, billed, [*gone.before, *gone.during, *gone.after])
    slowest_s = max((reply.duration_s for reply in gone.refused), default=0.0)
    unheld = [reply for reply in gone.refused if reply.wish.user in billed]
    assert {(reply.status, reply.code) for reply in gone.refused} == {(503, "ledger_unavailable")}
    assert gone.refused
    assert unheld == []
    assert all(reply.complete for reply in gone.before)
    assert report.faults() == {}
    assert slowest_s < length.answer_s
    return (
        f"{len(gone.refused):,} calls refused with 503 in {slowest_s:.2f} s at most, {len(unheld)} "
        f"sent without a hold; {len(gone.before)} that were under way all settled; back "
        f"{gone.back_s:.1f} s after the database"
    )


@LENGTHS
async def test_a_sqlite_file_that_somebody_locks(
    length: Length, upstream: UpstreamProcess, tmp_path: Path, note: Note
) -> None:
    gateway = GatewayProcess(written_config(tmp_path, upstream.root), tmp_path / "state")
    try:
        locked = tmp_path / "state" / "ledger.db"
        found = await check(gateway, upstream, lambda: sqlite_locked(locked), length)
        note(f"SQLite locked by another process for {length.seconds:g} s", found)
    finally:
        gateway.kill()


@LENGTHS
async def test_a_postgresql_server_that_stops(
    length: Length,
    upstream: UpstreamProcess,
    tmp_path: Path,
    postgres: Cluster,
    postgres_url: str,
    note: Note,
) -> None:
    environ = {"DAOBO_DATABASE_URL": postgres_url}
    gateway = GatewayProcess(written_config(tmp_path, upstream.root), tmp_path / "state", environ)
    try:
        found = await check(gateway, upstream, lambda: postgresql_stopped(postgres), length)
        note(f"PostgreSQL stopped for {length.seconds:g} s", found)
    finally:
        gateway.kill()


@LENGTHS
async def test_a_postgresql_server_that_says_nothing(
    length: Length,
    upstream: UpstreamProcess,
    tmp_path: Path,
    postgres: Cluster,
    postgres_url: str,
    note: Note,
) -> None:
    environ = {"DAOBO_DATABASE_URL": postgres_url}
    gateway = GatewayProcess(written_config(tmp_path, upstream.root), tmp_path / "state", environ)
    try:
        found = await check(gateway, upstream, lambda: postgresql_silent(postgres), length)
        note(f"PostgreSQL stands still for {length.seconds:g} s", found)
    finally:
        gateway.kill()
