"""Budgets as people write them and as they read them: words to a ``Budget``, balances to words.

Amounts are decimal strings on both sides; a float never stands for money.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from .budget import EACH, Budget, amount, budget_id, parse_window
from .config_report import did_you_mean
from .ledger import CURRENCIES, NANO, fault_of_name

MODES = ("hard", "soft")
MARKS = (80, 100)
MAX_CAP = 1_000_000_000
"""Units of a currency; in nano-units still well within 64 bits."""
MAX_MARK_PERCENT = 1000
MAX_WINDOW_HOURS = 9999 * 24

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)


class NodeBalance(NamedTuple):
    """One node of a budget with what counts in the window of this moment, in nano-units."""

    budget: Budget
    node: str
    resets_at_s: int | None
    spent_nano: int = 0
    held_nano: int = 0
    rehearsed_nano: int = 0
    """The second book: what rehearsed calls would have cost, against the same cap."""
    rehearsal_held_nano: int = 0

    @property
    def left_nano(self) -> int:
        """Below zero once a soft budget has been passed, or a cap was lowered."""
        return self.budget.cap_nano - self.spent_nano - self.held_nano

    @property
    def used_percent(self) -> int:
        """Spent and held, rounded down; of a cap of nothing, 100."""
        cap_nano = self.budget.cap_nano
        return (self.spent_nano + self.held_nano) * 100 // cap_nano if cap_nano else 100

    @property
    def resets_at(self) -> str | None:
        """ISO 8601 with the offset of the budget's time zone."""
        if self.resets_at_s is None:
            return None
        zone = ZoneInfo(self.budget.window.time_zone)
        return datetime.fromtimestamp(self.resets_at_s, zone).isoformat()

    def fields(self) -> dict[str, Any]:
        """For JSON and CSV."""
        budget = self.budget
        return {
            "node": self.node or "everything",
            "window": str(budget.window),
            "currency": budget.currency,
            "cap": amount(budget.cap_nano),
            "spent": amount(self.spent_nano),
            "held": amount(self.held_nano),
            "left": amount(self.left_nano),
            "used_percent": self.used_percent,
            "rehearsed": amount(self.rehearsed_nano),
            "rehearsal_held": amount(self.rehearsal_held_nano),
            "resets_at": self.resets_at,
            "mode": "hard" if budget.hard else "soft",
            "warn_at_percent": list(budget.marks),
            "origin": budget.origin,
            "scope": budget.name,
        }


def written_budget(
    scope: tuple[tuple[str, str], ...],
    cap: str,
    currency: str = "CNY",
    window: str = "total",
    mode: str = "hard",
    marks: Iterable[int] = MARKS,
    time_zone: str = "UTC",
) -> Budget:
    """A budget that somebody sets while gateways run. ValueError says what is wrong."""
    if currency not in CURRENCIES:
        raise ValueError(f"{currency!r} is no currency here; there are {', '.join(CURRENCIES)}")
    if mode not in MODES:
        raise ValueError(f"{mode!r} is no mode; a budget is {' or '.join(MODES)}")
    parsed = parse_window(window, time_zone)
    if parsed.hours > MAX_WINDOW_HOURS:
        raise ValueError(f"the window {window} is longer than {MAX_WINDOW_HOURS // 24}d")
    return Budget(
        id=budget_id(scope, parsed),
        scope=scope,
        cap_nano=parse_cap(cap),
        currency=currency,
        window=parsed,
        hard=mode == "hard",
        marks=_checked_marks(marks),
    )


def parse_cap(text: str) -> int:
    """Nano-units of a decimal number such as ``1000`` or ``0.5``. ValueError."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(
            f"the cap {text!r} is no amount; write a decimal number with at most nine decimals, "
            "such as 1000 or 0.50"
        )
    units, _, decimals = text.partition(".")
    nano = int(units) * NANO + int(f"{decimals:0<9}")
    if nano > MAX_CAP * NANO:
        raise ValueError(f"the cap {text} is larger than {MAX_CAP}")
    return nano


def _checked_marks(marks: Iterable[int]) -> tuple[int, ...]:
    checked = tuple(sorted(set(marks)))
    for mark in checked:
        if not 0 < mark <= MAX_MARK_PERCENT:
            raise ValueError(f"a warning at {mark} % is not between 1 and {MAX_MARK_PERCENT} %")
    return checked


def check_names(
    scope: tuple[tuple[str, str], ...], tasks: Collection[str], keys: Collection[str] | None
) -> None:
    """ValueError for a scope that no call can ever be of; ``keys`` are ids, None if unknown."""
    for level, value in scope:
        if fault := fault_of_name(value):
            raise ValueError(f"the {level} {fault}, so no call can be of it")
        if value == EACH:
            continue
        if level == "task" and value not in tasks:
            raise ValueError(f"no task is called {value!r}{did_you_mean(value, tasks)}")
        if level == "key" and keys is not None and value not in keys:
            raise ValueError(f"no key has the id {value!r}; 'daobo keys list' shows them")
