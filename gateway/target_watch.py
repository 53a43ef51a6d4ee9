"""What is known of targets across configurations: their breakers, the budget for second tries, and
how both are shown."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .assembly import Rooms
from .config import GatewayConfig
from .connecting import Connected
from .schema import Target
from .telemetry.metrics import Metrics
from .upstream.health import Health
from .upstream.retries import RetryBudget

_TARGET = ("provider", "model")


class TargetWatch:
    """One for each process. ``model`` in metrics is the upstream's id, as in a target's name."""

    def __init__(self, metrics: Metrics, config: GatewayConfig) -> None:
        self.health = Health(config.breaker, time.monotonic, random.random)
        self.retry_budget = RetryBudget(config.retries.budget)
        self._connected: Mapping[str, Connected] = {}
        self._watch(metrics)

    def enter(self, rooms: Rooms) -> None:
        """Calls go through ``rooms`` from now on. A provider whose settings have changed may have
        been mended: what is known of its targets is forgotten."""
        before, self._connected = self._connected, rooms.connected
        config = rooms.loaded.config
        kept = {
            target.name
            for target in rooms.catalog.all_targets()
            if before.get(target.provider) is rooms.connected.get(target.provider)
        }
        self.health.configure(config.breaker, kept)
        self.retry_budget.configure(config.retries.budget)

    def rows(self, rooms: Rooms) -> list[dict[str, Any]]:
        """Every configured target, for operators."""
        public: dict[str, list[Target]] = {}
        for target in rooms.catalog.all_targets():
            public.setdefault(target.name, []).append(target)
        return [self._row(name, targets, rooms) for name, targets in sorted(public.items())]

    def _row(self, name: str, targets: list[Target], rooms: Rooms) -> dict[str, Any]:
        connected = rooms.connected.get(targets[0].provider)
        return {
            "target": name,
            "models": sorted({target.public_model for target in targets}),
            "live": connected is not None,
            "rehearsal": targets[0].rehearsal,
            **self.health.details(name),
            "accounts": list(_accounts(connected, targets[0])) if connected else [],
        }

    def budget(self) -> dict[str, Any]:
        """Of further attempts, for operators."""
        budget = self.retry_budget
        return {
            "balance": round(budget.balance, 1),
            "taken": dict(budget.taken),
            "denied": budget.denied,
        }

    def _watch(self, metrics: Metrics) -> None:
        health, budget = self.health, self.retry_budget
        metrics.watch(
            "daobo_target_state",
            "Breakers: 0 closed, 1 half open, 2 open; of several workers, the worst.",
            health.states,
            merge="max",
            labels=_TARGET,
        )
        metrics.watch(
            "daobo_breaker_transitions",
            "How often breakers came into each state.",
            health.transitions,
            kind="counter",
            labels=(*_TARGET, "state"),
        )
        metrics.watch(
            "daobo_retries",
            "Attempts beyond a call's first, by what became of the one before, or hedge.",
            lambda: {(reason,): count for reason, count in budget.taken.items()},
            kind="counter",
            labels=("reason",),
        )
        metrics.watch(
            "daobo_retries_denied",
            "Attempts that were not made because the budget for them was used up.",
            lambda: budget.denied,
            kind="counter",
        )
        metrics.watch(
            "daobo_retry_budget_balance",
            "Further attempts that may be made now, of the worker with the fewest.",
            lambda: budget.balance,
            merge="min",
        )


def _accounts(connected: Connected, target: Target) -> Iterator[dict[str, Any]]:
    for account in connected.pool.accounts:
        closed = account.closed(target)
        yield {
            "account": account.name,
            "usable": closed is None,
            "why": closed.reason if closed else "",
            "retry_in_s": round(closed.wait_s, 1) if closed and closed.wait_s else None,
        }
