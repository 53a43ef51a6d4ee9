"""Budgets and shares as the configuration states them."""

from __future__ import annotations

from decimal import Decimal

from gateway.budget import Budget, budget_id, parse_window, scope_of
from gateway.config import BudgetConfig, GatewayConfig
from gateway.ledger import LEVELS, NANO


def configured_budgets(config: GatewayConfig) -> dict[str, Budget]:
    """By id; the last of several for one node and window."""
    time_zone = config.money.time_zone
    budgets = [_budget(written, time_zone) for written in config.money.budgets]
    return {budget.id: budget for budget in budgets}


def task_shares(config: GatewayConfig) -> dict[str, int]:
    """The part of a project's budget that a task may use, in millionths."""
    return {
        name: int(task.budget_share * 1_000_000)
        for name, task in config.tasks.items()
        if task.budget_share is not None
    }


def _budget(written: BudgetConfig, time_zone: str) -> Budget:
    named = {level: value for level in LEVELS if (value := getattr(written, level)) is not None}
    scope, window = scope_of(named), parse_window(written.window, time_zone)
    return Budget(
        id=budget_id(scope, window),
        scope=scope,
        cap_nano=int(Decimal(written.cap) * NANO),
        currency=written.currency,
        window=window,
        hard=written.mode == "hard",
        marks=written.warn_at_percent,
        origin="config",
    )
