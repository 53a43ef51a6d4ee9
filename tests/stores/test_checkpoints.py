"""SQLite's log is moved into the database before a commit would have to do it."""

from __future__ import annotations

from pathlib import Path

from gateway.stores.checkpoints import DUE_BYTES, Checkpoints
from gateway.stores.connections import SqliteConnection


def written(path: Path, count: int) -> SqliteConnection:
    connection = SqliteConnection(path)
    connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
    with connection.transaction():
        for _ in range(count):
            connection.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))
    return connection


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    written(tmp_path / "l.db", 1)
    assert not Checkpoints(f"sqlite:///{tmp_path}/l.db").due()


def test_a_long_log_ends_up_in_the_database(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    writer = written(path, 60)
    before_bytes = path.stat().st_size
    checkpoints = Checkpoints(f"sqlite:///{path}")
    assert checkpoints.due()
    checkpoints.make()
    assert path.stat().st_size > before_bytes + DUE_BYTES
    assert writer.execute("SELECT count(*) FROM notes") == [(60,)]


def test_it_is_due_again_only_after_more_was_written(tmp_path: Path) -> None:
    writer = written(tmp_path / "l.db", 60)
    checkpoints = Checkpoints(f"sqlite:///{tmp_path}/l.db")
    assert checkpoints.due()
    assert not checkpoints.due()
    writer.execute("INSERT INTO notes VALUES ('one more')")
    assert checkpoints.due()


def test_other_databases_do_it_themselves() -> None:
    assert not Checkpoints("postgresql://localhost/ledger").due()


def test_a_database_that_is_gone_is_nobodys_fault_here(tmp_path: Path) -> None:
    Checkpoints(f"sqlite:///{tmp_path}/none/at/all.db").make()
