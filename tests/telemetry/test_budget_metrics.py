"""How full budgets are: read where all processes keep them, and never added up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from ledger_figures import AUDIT, BUDGET, BUSY, Books
from records import metrics, value

from gateway.budget import Budget, parse_scope
from gateway.budget_words import NodeBalance
from gateway.ledger import NANO, ExchangeRate, HoldRequest, Place
from gateway.stores.connections import Connection
from gateway.stores.fullest import FullestNodes, fullest_nodes
from gateway.stores.opening import connector, ledger_store
from gateway.telemetry.ledger_readings import LedgerReadings, budget_series
from gateway.telemetry.workers import clear, scrape, serve_snapshots

NOW_S = 1_795_348_800


def budget(scope: str, cap: int, **more: Any) -> Budget:
    parts = parse_scope(scope)
    return Budget(f"{scope}@total", parts, cap * NANO, "CNY", **more)


def read_nodes(url: str, *budgets: Budget, holds: Mapping[str, int]) -> list[NodeBalance]:
    """What is shown after these holds of projects were granted."""
    store = ledger_store(url, lambda: NOW_S)
    store.want_budgets({budget.id: budget for budget in budgets}, {})
    rate = ExchangeRate(7 * NANO)
    store.commit(
        [
            HoldRequest(project, Place(project=project), NOW_S * 10**6, units * NANO, "CNY", rate)
            for project, units in holds.items()
        ],
        [],
    )
    nodes = fullest_nodes(store.connection(), NOW_S, limit=3)
    store.disconnect()
    return nodes


def test_the_fullest_nodes_come_first_and_no_more_than_asked_for(ledger_url: str) -> None:
    nodes = read_nodes(
        ledger_url,
        budget("project=*", 100),
        budget("project=unused", 100),
        budget("project=nothing", 0, hard=False),
        holds={"a": 10, "b": 90, "c": 50, "d": 20},
    )
    assert [(node.node, node.held_nano // NANO) for node in nodes] == [
        ("project=nothing", 0),
        ("project=b", 90),
        ("project=c", 50),
    ]


def test_a_budget_that_nobody_has_used_is_shown_as_empty(ledger_url: str) -> None:
    (node,) = read_nodes(ledger_url, budget("project=unused", 100), holds={"another": 1})
    assert (node.node, node.spent_nano, node.held_nano) == ("project=unused", 0, 0)


async def test_budgets_are_read_every_15_seconds_at_most(ledger_url: str) -> None:
    opened, now_s = [], 0.0

    def open_connection() -> Connection:
        opened.append(now_s)
        return connector(ledger_url)()

    fullest = FullestNodes(open_connection, lambda: NOW_S, lambda: now_s)
    for moment_s in (0.0, 5.0, 14.9, 15.0, 20.0):
        now_s = moment_s
        await asyncio.gather(fullest.read(), fullest.read())
    assert opened == [0.0, 15.0]


async def test_no_budget_is_shown_while_the_database_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "ledger.db"
    broken.write_bytes(b"this is no database" * 1000)
    fullest = FullestNodes(connector(f"sqlite:///{broken}"), lambda: NOW_S, lambda: 0.0)
    assert await fullest.read() == ()


async def test_two_workers_show_a_budget_once_and_their_holds_together(tmp_path: Path) -> None:
    folder = tmp_path / "workers"
    clear(folder)
    shared = budget_series([NodeBalance(BUDGET, "", None, spent_nano=4 * NANO, held_nano=NANO)])
    async with AsyncExitStack() as stack:
        for _ in range(2):
            counting = metrics()
            LedgerReadings(counting, BUSY, Books(), lambda: AUDIT)
            await stack.enter_async_context(serve_snapshots(folder, counting.snapshot))
        text = await scrape(folder, shared=shared)
    assert value(text, "daobo_budget_cap", node="everything") == 10
    assert value(text, "daobo_budget_spent") == 4
    assert value(text, "daobo_budget_held") == 1
    assert value(text, "daobo_budget_fill_ratio") == 0.5
    assert value(text, "daobo_held") == 2
    assert value(text, "daobo_ledger_lag_seconds") == 0.25
    assert value(text, "daobo_ledger_usable") == 1
    assert value(text, "daobo_ledger_differences") == 1
    assert value(text, "daobo_ledger_difference_nano", currency="CNY") == 5
