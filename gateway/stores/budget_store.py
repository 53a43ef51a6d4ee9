"""Budgets for people: listed with their balances, set and removed while gateways run.

Every change first takes the lock that whoever moves money shares, so that no hold is decided on
half of it, and moves the budgets' generation on, so that each gateway takes the change with its
next commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gateway.budget import EACH, Budget
from gateway.budget_words import NodeBalance
from gateway.errors import CallError, ConfigError, Outcome
from gateway.ledger import MICRO, HoldRequest

from .audit import READ_BALANCES
from .budget_rows import BUDGETS_LOCK, drop_budgets, put_budgets, read_budgets
from .connections import Connection, SqliteConnection, StoreUnavailable
from .opening import connector
from .rows import READ_HOLDS, hold_of

BUSY_WAIT_MS = 5_000
"""A person's command may wait longer for SQLite's one writer than a call may."""
READ_OLDEST_HOLDS = f"{READ_HOLDS} ORDER BY holds.started_us, holds.id LIMIT ?"
READ_LIVING = "SELECT id FROM owners WHERE lease_until_us >= ?"


class BudgetStore:
    """The budgets of one database. Each method opens and closes a connection of its own.

    All of them raise CallError: LEDGER_UNAVAILABLE, or INVALID_REQUEST for what cannot be done.
    """

    def __init__(self, url: str, wall_clock: Callable[[], float]) -> None:
        self._open_connection = connector(url)
        self._wall_clock = wall_clock

    def balances(self) -> list[NodeBalance]:
        """Every budget's nodes; one without calls so far has the node that it is named after."""
        with self._connected() as connection, connection.snapshot():
            return node_balances(connection, read_budgets(connection), self._now_s)

    def put(self, budget: Budget) -> list[NodeBalance]:
        """Create or change a budget; its nodes as they are then."""
        with self._connected() as connection, connection.transaction():
            put_budget(connection, budget, self._now_s)
            return node_balances(connection, [budget], self._now_s)

    def remove(self, budget_id: str) -> Budget:
        """The budget as it was."""
        with self._connected() as connection, connection.transaction():
            return remove_budget(connection, budget_id)

    def holds(self, limit: int) -> list[tuple[HoldRequest, bool]]:
        """The oldest holds that stand, each with whether the process that owns it lives."""
        now_us = int(self._wall_clock() * MICRO)
        with self._connected() as connection, connection.snapshot():
            rows = connection.execute(READ_OLDEST_HOLDS, (limit,))
            living = {row[0] for row in connection.execute(READ_LIVING, (now_us,))}
        return [(hold_of(row), row[1] in living) for row in rows]

    @property
    def _now_s(self) -> int:
        return int(self._wall_clock())

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._open_connection()
        except ConfigError as error:
            raise CallError(Outcome.LEDGER_UNAVAILABLE, str(error)) from None
        except StoreUnavailable as error:
            raise _unavailable(error) from None
        try:
            if isinstance(connection, SqliteConnection):
                connection.execute(f"PRAGMA busy_timeout = {BUSY_WAIT_MS}")
            yield connection
        except StoreUnavailable as error:
            raise _unavailable(error) from None
        finally:
            connection.close()


def _unavailable(error: StoreUnavailable) -> CallError:
    return CallError(Outcome.LEDGER_UNAVAILABLE, f"the ledger's database cannot be used: {error}")


def put_budget(connection: Connection, budget: Budget, now_s: int) -> None:
    """Create or change a budget, in a transaction of the caller's. Raises CallError."""
    known = _locked(connection)
    before = known.get(budget.id)
    if before is not None:
        _refuse_configured(before)
    if before == budget:
        return
    put_budgets(connection, [budget], now_s)
    # Every gateway makes them anew of its configuration, before it decides on the next hold.
    drop_budgets(connection, _shares_of(budget, known.values()))


def remove_budget(connection: Connection, budget_id: str) -> Budget:
    """Remove a budget with its balances and shares, in a transaction of the caller's."""
    known = _locked(connection)
    if budget_id not in known:
        there = ", ".join(map(_shown, sorted(known))) or "none"
        raise CallError(
            Outcome.INVALID_REQUEST, f"there is no budget {_shown(budget_id)}; there are: {there}"
        )
    budget = known[budget_id]
    _refuse_configured(budget)
    if budget.origin == "share":
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the budget {budget.name} is a task's share of a project's budget; change the "
            "task's budget_share in the configuration, or set this budget to another cap",
        )
    drop_budgets(connection, [budget_id, *_shares_of(budget, known.values())])
    return budget


def node_balances(
    connection: Connection, budgets: Iterable[Budget], now_s: int
) -> list[NodeBalance]:
    """What each node has spent and holds over the window of this moment."""
    budgets = list(budgets)
    since = {budget.id: budget.window.since(now_s) for budget in budgets}
    nodes: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)
    for budget_id, node, bucket_s, *amounts in connection.execute(READ_BALANCES):
        if budget_id in since and bucket_s >= since[budget_id]:
            sums = nodes[budget_id].setdefault(node, [0] * len(amounts))
            nodes[budget_id][node] = [a + b for a, b in zip(sums, amounts, strict=True)]
    return [
        NodeBalance(budget, node, budget.window.resets_at(now_s), *amounts)
        for budget in budgets
        for node, amounts in sorted(_with_own(budget, nodes[budget.id]).items())
    ]


def _with_own(budget: Budget, nodes: dict[str, list[int]]) -> dict[str, list[int]]:
    has_many = any(value == EACH for _, value in budget.scope)
    if nodes and has_many:
        return nodes
    own = "" if not budget.scope else budget.name
    return {own: [0] * 4, **nodes}


def _locked(connection: Connection) -> dict[str, Budget]:
    """The budgets by id; from now on no hold is decided until the transaction ends."""
    connection.lock(BUDGETS_LOCK)
    return {budget.id: budget for budget in read_budgets(connection)}


def _shown(budget_id: str) -> str:
    scope, _, window = budget_id.rpartition("@")
    return f"{scope} ({window})"


def _refuse_configured(budget: Budget) -> None:
    if budget.origin == "config":
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the budget {_shown(budget.id)} stands in the configuration, under "
            "money.budgets, and can only be changed there",
        )


def _shares_of(budget: Budget, budgets: Iterable[Budget]) -> list[str]:
    return [
        other.id
        for other in budgets
        if other.origin == "share"
        and other.window == budget.window
        and other.scope[:-1] == budget.scope
    ]
