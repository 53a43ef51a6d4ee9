"""How the tables come to be, and that every way leads to the same ones."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from gateway.errors import ConfigError
from gateway.stores.connections import StoreUnavailable, connect
from gateway.stores.opening import connector, prepare_ledger
from gateway.stores.queries import engine_url
from gateway.stores.schema_version import HEAD, MIGRATIONS, prepare, statements, upgrade
from gateway.stores.tables import metadata

PROCESSES = 6


def engine_of(url: str) -> Engine:
    return create_engine(engine_url(url))


def shape(url: str) -> dict[str, Any]:
    """Every table with its columns, keys and indexes, as the database tells them."""
    engine = engine_of(url)
    try:
        found = inspect(engine)
        return {
            table: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)],
                found.get_pk_constraint(table)["constrained_columns"],
                [(index["name"], index["column_names"]) for index in found.get_indexes(table)],
            )
            for table in found.get_table_names()
        }
    finally:
        engine.dispose()


def version(url: str) -> list[tuple[Any, ...]]:
    connection = connect(url)
    try:
        return connection.execute("SELECT version_num FROM alembic_version")
    finally:
        connection.close()


def test_a_new_database_has_the_tables_that_alembic_would_make(
    new_url: str, second_url: str
) -> None:
    prepare(new_url)
    upgrade(second_url)
    assert shape(new_url) == shape(second_url)
    assert version(new_url) == version(second_url) == [(HEAD,)]


def test_the_tables_are_those_that_reports_know(new_url: str) -> None:
    prepare(new_url)
    engine = engine_of(new_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def make_the_first_version(url: str) -> None:
    """Tables as the first version made them, and a row."""
    connection = connect(url)
    try:
        for statement in statements(MIGRATIONS / "0001_ledger.sql", url.startswith("sqlite")):
            connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version (version_num) VALUES ('0001')")
        connection.execute(
            "INSERT INTO requests VALUES ('req_1', 1, 2, 'chat', NULL, NULL, NULL, NULL, NULL, "
            "NULL, 'k1', NULL, NULL, 'draft', 'task', TRUE, 'ok', 'acme', 'm', 'm', FALSE, FALSE, "
            "3, 'USD', 'rate', NULL, NULL, NULL)"
        )
    finally:
        connection.close()


def test_a_database_of_the_first_version_is_brought_up_to_date_with_its_rows(
    new_url: str, second_url: str
) -> None:
    make_the_first_version(new_url)
    prepare(new_url)
    prepare(second_url)
    tables = shape(new_url)
    assert {**tables, "alembic_version": ()} == {**shape(second_url), "alembic_version": ()}
    connection = connect(new_url)
    rows = connection.execute("SELECT id, replayed, saved_nano, saved_currency FROM requests")
    connection.close()
    assert rows == [("req_1", "", 0, None)]


def test_attempts_of_the_second_version_are_at_no_part_and_may_be_many(new_url: str) -> None:
    make_the_first_version(new_url)
    connection = connect(new_url)
    connection.execute(
        "INSERT INTO attempts VALUES ('req_1', 1, 'acme', 'm', 'ok', 5, FALSE, 'USD', 3, 3, FALSE, "
        "FALSE, 'a list')"
    )
    prepare(new_url)
    assert connection.execute("SELECT number, part FROM attempts") == [(1, None)]
    many = "UPDATE attempts SET number = 100000, part = 9999"
    connection.execute(many)
    connection.execute("INSERT INTO ledger VALUES ('req_1', 100000, 'm', 1, 3, 1, 3)")
    assert connection.execute("SELECT number, part FROM attempts") == [(100_000, 9_999)]
    connection.close()


def test_a_migration_that_broke_off_can_be_done_again(new_url: str) -> None:
    make_the_first_version(new_url)
    connection = connect(new_url)
    connection.execute("CREATE TABLE idempotency (in_the_way TEXT)")
    with pytest.raises(StoreUnavailable, match="already exists"):
        prepare(new_url)
    assert version(new_url) == [("0001",)]
    connection.execute("DROP TABLE idempotency")
    connection.close()
    prepare(new_url)
    assert version(new_url) == [(HEAD,)]


def test_preparing_twice_changes_nothing(new_url: str) -> None:
    prepare(new_url)
    before = shape(new_url)
    prepare(new_url)
    assert shape(new_url) == before


def test_a_database_of_a_newer_version_is_left_alone(new_url: str) -> None:
    prepare(new_url)
    engine = engine_of(new_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ConfigError, match=f"of version 9999, this gateway knows {HEAD}"):
        connector(new_url)()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://somewhere/ledger", "'mysql' is no database that is known here"),
        ("postgresql://nobody@127.0.0.1:1/ledger", "the ledger's database cannot be used"),
        ("sqlite:////dev/null/ledger.db", "the ledger's database cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        prepare_ledger(url)


def test_a_file_that_is_no_database_is_told_in_a_sentence(sqlite_url: str) -> None:
    with open(sqlite_url.removeprefix("sqlite:///"), "w", encoding="utf-8") as file:
        file.write("a shopping list, and a long one at that\n" * 100)
    with pytest.raises(ConfigError, match="file is not a database"):
        prepare_ledger(sqlite_url)


def _prepare_at_once(url: str, start: Any, outcomes: Any) -> None:
    start.wait()
    try:
        connection = connector(url)()
        outcomes.put(str(connection.execute("SELECT budgets FROM generation")))
    except Exception as error:
        outcomes.put(repr(error))


def test_processes_that_start_together_make_one_ledger(new_url: str) -> None:
    context = multiprocessing.get_context("fork")
    start, outcomes = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_prepare_at_once, args=(new_url, start, outcomes))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    assert [outcomes.get(timeout=60) for _ in processes] == ["[(1,)]"] * PROCESSES
    for process in processes:
        process.join()
