"""Brings SQLite's log of writes into the database file, on a connection of its own.

SQLite would do it in the middle of a commit, which then waits for the disk, and so would every
call that waits for that commit.
"""

from __future__ import annotations

from pathlib import Path

from .connections import SqliteConnection, StoreUnavailable

DUE_BYTES = 4 * 1024 * 1024


class Checkpoints:
    """For the ledger at ``url``; does nothing for one that is not SQLite."""

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition(":///")
        self._database = Path(path) if scheme == "sqlite" else None
        self._seen: tuple[int, int] | None = None

    def due(self) -> bool:
        """The log is long enough, and was written to since it was last looked at. (It does not
        shrink: SQLite begins again at its start.)"""
        if self._database is None:
            return False
        try:
            stat = self._database.with_name(f"{self._database.name}-wal").stat()
        except OSError:
            return False
        before, self._seen = self._seen, (stat.st_size, stat.st_mtime_ns)
        return stat.st_size >= DUE_BYTES and self._seen != before

    def make(self) -> None:
        """Move what can be moved without making anybody wait; the rest comes next time.

        A database that cannot be used just now is reported by the calls that need it.
        """
        assert self._database is not None
        try:
            connection = SqliteConnection(self._database)
        except StoreUnavailable:
            return
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except StoreUnavailable:
            return
        finally:
            connection.close()
