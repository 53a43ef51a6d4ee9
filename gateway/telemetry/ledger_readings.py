"""What the ledger has to show: its own figures, what it holds, and how full the budgets are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Protocol

from gateway.budget_words import NodeBalance
from gateway.ledger import NANO, Closing

from .cells import Series
from .metrics import Metrics
from .readings import Reading
from .redaction import redact_word

NODE = ("budget", "node", "currency")


class Tally(Protocol):
    """Counts of this process since its start."""

    granted: int
    refused: int
    unavailable: int
    closed: int
    commits: int
    commit_s: float


class OpenHolds(Protocol):
    """``sums``: nano-units by currency, rehearsals apart."""

    sums: dict[tuple[str, bool], int]


class Ledger(Protocol):
    """The ledger as calls use it."""

    @property
    def tally(self) -> Tally: ...

    @property
    def open_holds(self) -> OpenHolds: ...

    @property
    def backlog(self) -> int: ...

    @property
    def lag_s(self) -> float: ...

    @property
    def usable(self) -> bool: ...


class Books(Protocol):
    """The ledger's database, as the one thread uses it; ``recovered`` is filled there."""

    late_closings: int
    recovered: deque[Closing]


class Audit(Protocol):
    """What an audit found."""

    @property
    def at_s(self) -> float: ...

    @property
    def findings(self) -> Sized: ...

    def differences_nano(self) -> Mapping[str, int]: ...


class LedgerReadings:
    """Shows the ledger of this process among its metrics."""

    def __init__(
        self,
        metrics: Metrics,
        ledger: Ledger,
        books: Books,
        last_audit: Callable[[], Audit | None],
    ) -> None:
        self._metrics = metrics
        self._ledger = ledger
        self._books = books
        self._last_audit = last_audit
        self._recovered = 0
        self._watch_holds()
        self._watch_writing()
        self._watch_audit()

    def count_recovered(self) -> int:
        """Count what was charged for calls of processes that died, before each scrape; how many
        calls were new."""
        before = self._recovered
        while self._books.recovered:
            self._metrics.charge_recovered(self._books.recovered.popleft())
            self._recovered += 1
        return self._recovered - before

    def _watch_holds(self) -> None:
        watch, tally = self._metrics.watch, self._ledger.tally
        watch(
            "daobo_ledger_holds",
            "Holds that calls asked for, by what they were told.",
            lambda: {
                ("granted",): tally.granted,
                ("refused",): tally.refused,
                ("unavailable",): tally.unavailable,
            },
            kind="counter",
            labels=("verdict",),
        )
        watch(
            "daobo_held",
            "What holds of calls under way add up to, in units of the currency.",
            lambda: {
                (currency, "true" if rehearsal else "false"): nano / NANO
                for (currency, rehearsal), nano in self._ledger.open_holds.sums.copy().items()
            },
            labels=("currency", "rehearsal"),
        )
        watch(
            "daobo_ledger_recovered_holds",
            "Holds whose process died; their calls were charged all that was at risk.",
            lambda: self._recovered,
            kind="counter",
        )
        watch(
            "daobo_ledger_late_closings",
            "Calls that ended after their process had been taken for dead.",
            lambda: self._books.late_closings,
            kind="counter",
        )

    def _watch_writing(self) -> None:
        watch, ledger, tally = self._metrics.watch, self._ledger, self._ledger.tally
        watch(
            "daobo_ledger_closings",
            "Holds that were closed, those of other processes included.",
            lambda: tally.closed,
            kind="counter",
        )
        watch(
            "daobo_ledger_commits",
            "Transactions; calls share them.",
            lambda: tally.commits,
            kind="counter",
        )
        watch(
            "daobo_ledger_commit_seconds",
            "How long these transactions took together.",
            lambda: tally.commit_s,
            kind="counter",
        )
        watch(
            "daobo_ledger_backlog",
            "Calls that have ended and are not written down.",
            lambda: ledger.backlog,
        )
        watch(
            "daobo_ledger_lag_seconds",
            "How long ago the oldest of them ended.",
            lambda: ledger.lag_s,
            merge="max",
        )
        watch(
            "daobo_ledger_usable",
            "0 while a process cannot use the ledger's database, and refuses calls.",
            lambda: int(ledger.usable),
            merge="min",
        )

    def _watch_audit(self) -> None:
        def of_audit(read: Callable[[Audit], Reading]) -> Callable[[], Reading]:
            return lambda: {} if (audit := self._last_audit()) is None else read(audit)

        watch = self._metrics.watch
        watch(
            "daobo_ledger_differences",
            "Balances that are not the sum of their rows, by the last audit.",
            of_audit(lambda audit: len(audit.findings)),
            merge="max",
        )
        watch(
            "daobo_ledger_difference_nano",
            "By how much they are wrong, in billionths of the currency.",
            of_audit(
                lambda audit: {
                    (currency,): nano for currency, nano in audit.differences_nano().items()
                }
            ),
            merge="max",
            labels=("currency",),
        )
        watch(
            "daobo_ledger_audited_timestamp_seconds",
            "When the last audit began.",
            of_audit(lambda audit: audit.at_s),
            merge="max",
        )


def budget_series(nodes: Iterable[NodeBalance]) -> dict[str, Series]:
    """How full budgets are. They belong to all processes, so whoever is scraped reads them."""
    cap, spent, held, fill = (
        Series(documentation, "gauge", "max", NODE)
        for documentation in (
            "What may be spent within the budget's window, in units of the currency.",
            "What calls of this window were charged.",
            "What is held for calls under way and admitted quotes.",
            "Spent and held, as a part of the cap.",
        )
    )
    for node in nodes:
        budget = node.budget
        labels = (_name(budget.id), _name(node.node or "everything"), budget.currency)
        used_nano = node.spent_nano + node.held_nano
        cap.values[labels] = budget.cap_nano / NANO
        spent.values[labels] = node.spent_nano / NANO
        held.values[labels] = node.held_nano / NANO
        fill.values[labels] = used_nano / budget.cap_nano if budget.cap_nano else 1.0
    return {
        "daobo_budget_cap": cap,
        "daobo_budget_spent": spent,
        "daobo_budget_held": held,
        "daobo_budget_fill_ratio": fill,
    }


def _name(text: str) -> str:
    return redact_word(text) or ""
