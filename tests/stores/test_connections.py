"""What a database says when it cannot, and what that means to the ledger."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from books import Bench, budget, closing, granted, hold

from gateway.errors import ConfigError
from gateway.stores import connections
from gateway.stores.audit import IN_ORDER, READ_ATTEMPTS
from gateway.stores.connections import Busy, Connection, StoreUnavailable, connect
from gateway.stores.ledger_store import LedgerStore
from gateway.stores.opening import connector, database_url
from gateway.stores.schema_version import prepare

ALL = budget("everything", 10_000, origin="config")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_WAIT_S", 0.05)
    monkeypatch.setattr(connections, "LOCK_TIMEOUT_MS", 50)


@pytest.fixture
def connection(ledger_url: str) -> Iterator[Connection]:
    connection = connect(ledger_url)
    connection.execute("CREATE TABLE things (name TEXT NOT NULL PRIMARY KEY)")
    yield connection
    connection.close()


def names(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY name")]


def test_a_transaction_is_all_or_nothing(connection: Connection) -> None:
    def fail_within() -> None:
        with connection.transaction():
            connection.execute("INSERT INTO things VALUES (?)", ("lamp",))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_within()
    assert names(connection) == []
    with connection.transaction():
        connection.execute("INSERT INTO things VALUES (?)", ("lamp",))
    assert names(connection) == ["lamp"]


@pytest.mark.parametrize(
    "statement", ["SELECT nothing FROM nowhere", "SELEC", "INSERT INTO things VALUES (NULL)"]
)
def test_a_wrong_statement_is_not_the_databases_fault(
    connection: Connection, statement: str
) -> None:
    """It would be tried again for ever."""
    with pytest.raises((sqlite3.Error, psycopg.Error)):
        connection.execute(statement)
    assert names(connection) == []


def test_a_snapshot_stays_as_it_is_and_nobody_waits_for_it(
    connection: Connection, ledger_url: str
) -> None:
    other = connect(ledger_url)
    with connection.snapshot():
        assert names(connection) == []
        with other.transaction():
            other.execute("INSERT INTO things VALUES (?)", ("lamp",))
        assert names(connection) == []
    assert names(connection) == ["lamp"]
    other.close()


def test_a_connection_is_sound_after_others_kept_it_waiting(
    connection: Connection, ledger_url: str
) -> None:
    other = connect(ledger_url)
    with other.transaction():
        other.lock(1)
        other.execute("INSERT INTO things VALUES (?)", ("lamp",))
        with pytest.raises(Busy), connection.transaction():
            connection.lock(1)
    with connection.transaction():
        connection.lock(1)
        connection.execute("INSERT INTO things VALUES (?)", ("chair",))
    assert names(connection) == ["chair", "lamp"]
    other.close()


def test_a_lock_is_shared_by_those_who_share_it(postgres_url: str) -> None:
    """Of PostgreSQL only: SQLite has one writer at a time."""
    first, second = connect(postgres_url), connect(postgres_url)
    with first.transaction(), second.transaction():
        first.lock(1, shared=True)
        second.lock(1, shared=True)
        with pytest.raises(Busy):
            second.lock(1)
    first.close()
    second.close()


# A database that takes nothing more


class Disk:
    """Opens connections to a SQLite ledger that may not grow beyond so many pages."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.max_pages = 1 << 30

    def __call__(self) -> Connection:
        connection = connect(self.url)
        connection.execute(f"PRAGMA max_page_count = {self.max_pages}")
        return connection


def fill(store: LedgerStore) -> None:
    """Hold until the database refuses, soon."""
    for _ in range(10_000):
        store.commit([hold(0, about="x" * 2_000)], [])


def test_a_full_disk_grants_nothing_and_is_used_again_when_there_is_room(sqlite_url: str) -> None:
    prepare(sqlite_url)
    bench, disk = Bench(sqlite_url), Disk(sqlite_url)
    store = LedgerStore(disk, "writer", bench.clock)
    store.want_budgets({ALL.id: ALL}, {})
    call = hold(10)
    store.commit([call], [])
    disk.max_pages = int(bench.look.execute("PRAGMA page_count")[0][0]) + 50
    store.disconnect()
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        fill(store)
    assert 10 < len(bench.rows("holds")) < 100
    disk.max_pages = 1 << 30
    assert granted(store.commit([hold(10)], [closing(call, 5)])) == [True]
    assert bench.balance(ALL) == (5, 10)
    assert bench.differences() == []
    store.disconnect()
    bench.close()


FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$
"""


def test_a_server_without_room_grants_nothing_and_is_used_again(postgres_url: str) -> None:
    bench = Bench(postgres_url)
    store = bench.store(ALL)
    call = hold(10)
    store.commit([call], [])
    bench.look.execute(FULL)
    bench.look.execute("CREATE TRIGGER full_disk BEFORE INSERT ON holds EXECUTE FUNCTION no_room()")
    with pytest.raises(StoreUnavailable, match="no room"):
        store.commit([hold(10)], [])
    assert bench.balance(ALL) == (0, 10)
    bench.look.execute("DROP TRIGGER full_disk ON holds")
    assert granted(store.commit([hold(10)], [closing(call, 5)])) == [True]
    assert bench.differences() == []
    bench.close()


def test_a_server_that_may_only_be_read_is_unavailable(postgres_url: str) -> None:
    """As the second of a pair is, after the first has failed and before it takes over."""
    bench = Bench(postgres_url)
    store = bench.store(ALL)
    store.connection().execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.commit([hold(10)], [])
    assert granted(store.commit([hold(10)], [])) == [True]
    bench.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://writer:RainyNight@[::1/ledger",
        "postgresql://writer:Rainy%Night@127.0.0.1:1/ledger",
        "postgresql://writer:Rainy@Night@127.0.0.1:1/ledger",
        "writer:RainyNight@127.0.0.1/ledger",
        "postgres:writer:RainyNight@127.0.0.1/ledger",
    ],
)
def test_an_address_that_cannot_be_read_is_never_repeated(url: str) -> None:
    """The password may be any part of it."""
    with pytest.raises(ConfigError, match="is percent-encoded") as refused:
        connect(database_url({"DAOBO_DATABASE_URL": url}, Path()))
    told = "".join(traceback.format_exception(refused.value))
    assert "Rainy" not in told
    assert "Night" not in told


def test_a_page_of_the_audit_is_found_without_reading_what_is_before_it(postgres_url: str) -> None:
    connection = connector(postgres_url)()
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute(f"EXPLAIN {READ_ATTEMPTS}{IN_ORDER}", (7, 7, "", 0, 100))
    connection.close()
    assert any("Cond: (started_us >= " in line for (line,) in plan)
