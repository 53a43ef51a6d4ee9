"""Figures of a ledger for the tests of this room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.budget import Budget
from gateway.ledger import Closing

BUDGET = Budget("everything@total", (), 10_000_000_000, "CNY")


@dataclass
class Tally:
    granted: int = 7
    refused: int = 2
    unavailable: int = 1
    closed: int = 6
    commits: int = 3
    commit_s: float = 0.5


@dataclass
class OpenHolds:
    sums: dict[tuple[str, bool], int] = field(default_factory=lambda: {("USD", False): 10**9})


@dataclass
class Ledger:
    tally: Tally = field(default_factory=Tally)
    open_holds: OpenHolds = field(default_factory=OpenHolds)
    backlog: int = 1
    lag_s: float = 0.25
    usable: bool = True


@dataclass
class Books:
    late_closings: int = 0
    recovered: deque[Closing] = field(default_factory=deque)


@dataclass
class Audit:
    at_s: float = 1_795_300_000.0
    findings: tuple[str, ...] = ("a balance",)
    wrong_nano: dict[str, int] = field(default_factory=lambda: {"CNY": 5})

    def differences_nano(self) -> dict[str, int]:
        return self.wrong_nano


BUSY = Ledger()
AUDIT = Audit()
