"""The ledger on a bench: a database, hands on it, and what its rows say. Amounts are small."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.budget import Budget, Window, budget_id, parse_scope, parse_window
from gateway.ledger import (
    AttemptRow,
    Charge,
    Closing,
    ExchangeRate,
    Granted,
    HoldRequest,
    LedgerRow,
    Place,
    Refused,
    RequestRow,
    Verdict,
)
from gateway.stores.audit import Difference, differences
from gateway.stores.budget_rows import drop_budgets, put_budgets, read_budgets
from gateway.stores.connections import Connection, connect
from gateway.stores.ledger_store import LedgerStore
from gateway.stores.opening import ledger_store

NOON_S = 1_795_348_800
"""2026-11-22, 12:00 UTC."""
DAY_S = 86_400
MICRO = 1_000_000
RATE = ExchangeRate(7_100_000_000, "2026-11-20", "a bank")
MARKET = Place(tenant="studio", project="market", key="k1", user="lin", task="draft")

_numbers = itertools.count(1)


@dataclass
class Clock:
    now_s: float = NOON_S

    def __call__(self) -> float:
        return self.now_s


def budget(
    scope: str, cap: int, currency: str = "USD", window: str = "total", time_zone: str = "UTC",
    hard: bool = True, marks: tuple[int, ...] = (80, 100), origin: str = "admin",
) -> Budget:  # fmt: skip
    over: Window = parse_window(window, time_zone)
    parts = parse_scope(scope)
    return Budget(budget_id(parts, over), parts, cap, currency, over, hard, marks, origin)


def hold(amount: int, place: Place = MARKET, at_s: float = NOON_S, **more: Any) -> HoldRequest:
    facts = {"id": f"call-{next(_numbers)}", "currency": "USD", "rate": RATE, **more}
    return HoldRequest(place=place, started_us=int(at_s * MICRO), amount_nano=amount, **facts)


def closing(
    of: HoldRequest, *costs: int, currency: str | None = None, recovered: bool = False,
    stand_in: bool | None = None,
) -> Closing:  # fmt: skip
    """The end of a call that had an attempt for each of the costs."""
    rehearsal = of.rehearsal if stand_in is None else stand_in
    currency = currency or of.currency
    request = RequestRow(
        of.id, of.started_us, 1, "chat", *of.place, "auto", "", False, "ok", "acme", "m1", "m1",
        rehearsal, recovered, of.amount_nano, of.currency, of.rate.id, None, None, None,
    )  # fmt: skip
    numbered = list(enumerate(costs, start=1))
    paid = [0 if rehearsal else cost for cost in costs]
    attempts = [
        AttemptRow(of.id, number, "acme", "m1", "ok", 1, rehearsal, currency, paid[number - 1],
                   cost, False, False, "a list")
        for number, cost in numbered
    ]  # fmt: skip
    charges = [
        Charge(currency, due, cost if rehearsal else 0)
        for due, cost in zip(paid, costs, strict=True)
    ]
    lines = [LedgerRow(of.id, number, "output", cost, 1, 1, cost) for number, cost in numbered]
    return Closing(of, tuple(charges), request, tuple(attempts), tuple(lines))


def granted(verdicts: list[Verdict]) -> list[bool]:
    return [isinstance(verdict, Granted) for verdict in verdicts]


def refusal(verdict: Verdict) -> str:
    assert isinstance(verdict, Refused), verdict
    return verdict.message


@dataclass
class Bench:
    """One database, looked at from outside."""

    url: str
    clock: Clock = field(default_factory=Clock)
    stores: list[LedgerStore] = field(default_factory=list)
    _look: Connection | None = None

    def store(self, *budgets: Budget, shares: Mapping[str, int] | None = None) -> LedgerStore:
        """Another process's hand on the ledger, whose configuration has these budgets."""
        store = ledger_store(self.url, self.clock)
        configured = {b.id: b for b in budgets}
        store.want_budgets(configured, shares or {})
        self.stores.append(store)
        store.connection()
        return store

    def close(self) -> None:
        for store in self.stores:
            store.disconnect()
        if self._look is not None:
            self._look.close()

    @property
    def look(self) -> Connection:
        if self._look is None:
            self._look = connect(self.url)
        return self._look

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        return sorted(self.look.execute(f"SELECT {columns} FROM {table}"), key=repr)

    def put(self, *budgets: Budget) -> None:
        """By an administrator, in a process of their own."""
        with self.look.transaction():
            put_budgets(self.look, budgets, int(self.clock()))

    def drop(self, *budgets: Budget) -> int:
        with self.look.transaction():
            return drop_budgets(self.look, [b.id for b in budgets])

    def balance(self, of: Budget, node: str | None = None) -> tuple[int, int]:
        """Spent and held, over all buckets."""
        return self._sums(of, node, "spent_nano", "held_nano")

    def rehearsed(self, of: Budget) -> tuple[int, int]:
        return self._sums(of, None, "rehearsed_nano", "rehearsal_held_nano")

    def _sums(self, of: Budget, node: str | None, *columns: str) -> tuple[int, int]:
        found = self.look.execute(
            f"SELECT node, {', '.join(columns)} FROM balances WHERE budget = ?", (of.id,)
        )
        chosen = [row for row in found if node is None or row[0] == node]
        return sum(row[1] for row in chosen), sum(row[2] for row in chosen)

    def differences(self) -> list[Difference]:
        with self.look.snapshot():
            return differences(self.look, read_budgets(self.look), int(self.clock()))
