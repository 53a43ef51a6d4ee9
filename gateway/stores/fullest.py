"""The fullest nodes of all budgets, for whoever watches: read now and then, never on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.budget import EACH, Budget
from gateway.budget_words import NodeBalance

from .budget_rows import read_budgets
from .connections import Connection, StoreUnavailable

MAX_NODES = 200
READ_EVERY_S = 15.0

READ = (
    "SELECT balances.budget, balances.node, SUM(spent_nano), SUM(held_nano), SUM(rehearsed_nano), "
    "SUM(rehearsal_held_nano) FROM balances JOIN budgets ON budgets.id = balances.budget "
    "WHERE window_kind = ? AND window_hours = ? AND time_zone = ? AND bucket_s >= ? "
    "GROUP BY balances.budget, balances.node, cap_nano "
    "ORDER BY CASE WHEN cap_nano = 0 THEN 1 ELSE SUM(spent_nano + held_nano) * 1.0 / cap_nano END "
    "DESC, balances.budget, balances.node LIMIT ?"
)
"""One statement for all budgets of a kind of window, however many there are."""


class FullestNodes:
    """The nodes as they were at most 15 seconds ago; none while the database cannot be used."""

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._open_connection = open_connection
        self._wall_clock = wall_clock
        self._clock = clock
        self._reading = asyncio.Lock()
        self._nodes: Sequence[NodeBalance] = ()
        self._read_again_s: float | None = None

    async def read(self) -> Sequence[NodeBalance]:
        async with self._reading:
            if self._read_again_s is None or self._clock() >= self._read_again_s:
                self._nodes = await asyncio.to_thread(self._read)
                self._read_again_s = self._clock() + READ_EVERY_S
            return self._nodes

    def _read(self) -> Sequence[NodeBalance]:
        try:
            connection = self._open_connection()
            try:
                with connection.snapshot():
                    return fullest_nodes(connection, int(self._wall_clock()), MAX_NODES)
            finally:
                connection.close()
        except StoreUnavailable:
            return ()  # a metric of its own says so; old figures would look like new ones


def fullest_nodes(connection: Connection, now_s: int, limit: int) -> list[NodeBalance]:
    """At most so many, the fullest first; a node that nobody has used yet is empty."""
    budgets = {budget.id: budget for budget in read_budgets(connection)}
    found = []
    for window in {budget.window for budget in budgets.values()}:
        kind = (window.kind, window.hours, window.time_zone, window.since(now_s))
        for budget_id, node, *amounts in connection.execute(READ, (*kind, limit)):
            budget = budgets[budget_id]
            # PostgreSQL's sums are decimal numbers.
            found.append(NodeBalance(budget, node, window.resets_at(now_s), *map(int, amounts)))
    used = {node.budget.id for node in found}
    unused = [_own(budget, now_s) for budget in budgets.values() if budget.id not in used]
    nodes = [*found, *(node for node in unused if node is not None)]
    return sorted(nodes, key=lambda node: (-_fill(node), node.budget.id, node.node))[:limit]


def _own(budget: Budget, now_s: int) -> NodeBalance | None:
    """The only node of a budget that names one; None if each of several has it for itself."""
    if any(value == EACH for _, value in budget.scope):
        return None
    name = budget.name if budget.scope else ""
    return NodeBalance(budget, name, budget.window.resets_at(now_s))


def _fill(node: NodeBalance) -> float:
    cap_nano = node.budget.cap_nano
    return (node.spent_nano + node.held_nano) / cap_nano if cap_nano else 1.0
