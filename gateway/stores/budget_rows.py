"""Budgets as rows. Every change moves ``generation`` on, so that each process sees it in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.budget import Budget, Window, parse_scope, scope_text

from .audit import true_balances
from .balances import COLUMNS as BALANCE_COLUMNS
from .connections import Connection
from .rows import insert_rows

COLUMNS = (
    "id", "scope", "cap_nano", "currency", "window_kind", "window_hours", "time_zone", "hard",
    "marks", "origin",
)  # fmt: skip
PRUNE = (
    "DELETE FROM balances WHERE budget = ? AND bucket_s < ? "
    "AND held_nano = 0 AND rehearsal_held_nano = 0 RETURNING bucket_s"
)
READ = f"SELECT {', '.join(COLUMNS)} FROM budgets ORDER BY id"
BUDGETS_LOCK = 0x6275646765
"""Shared by whoever moves money, taken alone by whoever changes budgets: what a new budget counts
is counted while nothing moves."""


def read_generation(connection: Connection) -> int:
    """The number of the budgets as they are now; they stay so until the transaction ends."""
    connection.lock(BUDGETS_LOCK, shared=True)
    return int(connection.execute("SELECT budgets FROM generation WHERE id = 1")[0][0])


def read_budgets(connection: Connection) -> tuple[Budget, ...]:
    return tuple(_budget(row) for row in connection.execute(READ))


def _budget(row: tuple[Any, ...]) -> Budget:
    id_, scope, cap_nano, currency, kind, hours, time_zone, hard, marks, origin = row
    return Budget(
        id=id_,
        scope=parse_scope(scope),
        cap_nano=cap_nano,
        currency=currency,
        window=Window(kind, hours, time_zone),
        hard=bool(hard),
        marks=tuple(int(mark) for mark in marks.split(",") if mark),
        origin=origin,
    )


def _row(budget: Budget) -> tuple[Any, ...]:
    window = budget.window
    return (
        budget.id,
        scope_text(budget.scope),
        budget.cap_nano,
        budget.currency,
        window.kind,
        window.hours,
        window.time_zone,
        budget.hard,
        ",".join(map(str, budget.marks)),
        budget.origin,
    )


def put_budgets(connection: Connection, wanted: Iterable[Budget], now_s: int) -> None:
    """Create or replace these budgets, in a transaction of the caller's.

    One whose scope, currency or window is new begins with what was spent and is held already.
    """
    connection.lock(BUDGETS_LOCK)
    known = {budget.id: budget for budget in read_budgets(connection)}
    changed = [budget for budget in wanted if known.get(budget.id) != budget]
    for budget in changed:
        _delete(connection, "budgets", [budget.id], "id")
        insert_rows(connection, "budgets", COLUMNS, [_row(budget)])
        before = known.get(budget.id)
        if before is None or _counts(before) != _counts(budget):
            _open(connection, budget, now_s)
    if changed:
        _move_on(connection)


def prune_balances(connection: Connection, now_s: int) -> int:
    """Remove balances of windows that are over and hold nothing any more; how many there were.

    What was spent then is in the rows of the calls.
    """
    return sum(
        len(connection.execute(PRUNE, (budget.id, budget.window.since(now_s))))
        for budget in read_budgets(connection)
    )


def drop_budgets(connection: Connection, ids: Iterable[str]) -> int:
    """Remove budgets and their balances; how many there were."""
    connection.lock(BUDGETS_LOCK)
    ids = list(ids)
    dropped = _delete(connection, "budgets", ids, "id")
    _delete(connection, "balances", ids, "budget")
    if dropped:
        _move_on(connection)
    return dropped


def sync_budgets(
    connection: Connection, origin: str, wanted: Mapping[str, Budget], now_s: int
) -> None:
    """Make the budgets of this origin exactly these, in a transaction of the caller's."""
    connection.lock(BUDGETS_LOCK)
    stale = [
        budget.id
        for budget in read_budgets(connection)
        if budget.origin == origin and budget.id not in wanted
    ]
    drop_budgets(connection, stale)
    put_budgets(connection, wanted.values(), now_s)


def add_shares(connection: Connection, shares: Mapping[str, int], now_s: int) -> None:
    """Give every project's budget its tasks' shares where it has none yet.

    Nothing is changed or removed here, so that gateways with different configurations on one
    database do not undo each other's work for ever.
    """
    connection.lock(BUDGETS_LOCK)
    budgets = read_budgets(connection)
    known = {budget.id for budget in budgets}
    wanted = [share for share in _shares(budgets, shares) if share.id not in known]
    put_budgets(connection, wanted, now_s)


def sync_configured(
    connection: Connection, configured: Mapping[str, Budget], shares: Mapping[str, int], now_s: int
) -> None:
    """Make the budgets of the configuration, and the shares, exactly these."""
    sync_budgets(connection, "config", configured, now_s)
    budgets = read_budgets(connection)
    set_apart = {budget.id for budget in budgets if budget.origin != "share"}
    wanted = {share.id: share for share in _shares(budgets, shares) if share.id not in set_apart}
    sync_budgets(connection, "share", wanted, now_s)


def _shares(budgets: Iterable[Budget], shares: Mapping[str, int]) -> list[Budget]:
    return [
        share
        for budget in budgets
        if budget.origin != "share"
        for task, parts_per_million in shares.items()
        if (share := budget.share(task, parts_per_million)) is not None
    ]


def _counts(budget: Budget) -> tuple[Any, ...]:
    """What decides which calls count, and how."""
    return budget.scope, budget.currency, budget.window


def _open(connection: Connection, budget: Budget, now_s: int) -> None:
    _delete(connection, "balances", [budget.id], "budget")
    rows = [(*key, *amounts) for key, amounts in true_balances(connection, [budget], now_s).items()]
    insert_rows(connection, "balances", BALANCE_COLUMNS, rows)


def _delete(connection: Connection, table: str, ids: list[str], column: str) -> int:
    return sum(
        len(
            connection.execute(f"DELETE FROM {table} WHERE {column} = ? RETURNING {column}", (id_,))
        )
        for id_ in ids
    )


def _move_on(connection: Connection) -> None:
    connection.execute("UPDATE generation SET budgets = budgets + 1 WHERE id = 1")
