"""Audits the books again and again, in a thread and on a connection of its own.

Of the processes that share a state folder, one does it: whoever has the lock there.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.budget import Budget

from .audit import Difference, differences
from .budget_rows import read_budgets
from .connections import Connection, StoreUnavailable

AUDIT_EVERY_S = 600.0
DELAY_S = 3.0
"""Before the first audit, so that the budgets of the configuration are among those it looks at."""
RETRY_S = 30.0
"""When to try again if the database could not be read."""
PAUSE_S = 0.001
"""Between pages, so that calls need not fight for Python's lock."""


class Finding(NamedTuple):
    """A balance that is not what its rows add up to, in nano-units."""

    budget: Budget
    node: str
    bucket_s: int
    counted: tuple[int, ...]
    """Spent, held, rehearsed, held for rehearsals: as the balance says."""
    true: tuple[int, ...]

    @property
    def nano(self) -> int:
        """By how much it is wrong."""
        return sum(abs(a - b) for a, b in zip(self.counted, self.true, strict=True))


class Audit(NamedTuple):
    """What the last audit found."""

    at_s: float
    """When it began, Unix time."""
    currencies: frozenset[str]
    """Of the budgets there are."""
    findings: tuple[Finding, ...] = ()

    def differences_nano(self) -> dict[str, int]:
        """By the currency of budgets; 0 where all is well."""
        sums = dict.fromkeys(self.currencies, 0)
        for finding in self.findings:
            sums[finding.budget.currency] += finding.nano
        return sums


class _Stopped(Exception):
    """The process ends in the middle of an audit."""


class Auditor:
    """``last`` is None until an audit is done, and for ever in a process that leaves it to others.

    ``tell`` hears of each finding, ``report`` of audits that failed; both in the auditor's thread.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        lock_path: Path,
        wall_clock: Callable[[], float],
        tell: Callable[[Finding], None],
        report: Callable[[str, BaseException], None],
        every_s: float = AUDIT_EVERY_S,
        delay_s: float = DELAY_S,
    ) -> None:
        self.last: Audit | None = None
        self._open_connection = open_connection
        self._lock_path = lock_path
        self._wall_clock = wall_clock
        self._tell = tell
        self._report = report
        self._every_s = every_s
        self.delay_s = delay_s
        self._stop = threading.Event()
        self._lock: BinaryIO | None = None
        self._thread = threading.Thread(target=self._run, name="auditor", daemon=True)

    def start(self) -> None:
        """Audit soon, and from then on every ten minutes."""
        self._thread.start()

    def stop(self) -> None:
        """End within a page of what is being read, or when the database has given up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._lock is not None:
            self._lock.close()

    def _run(self) -> None:
        wait_s = self.delay_s
        while not self._stop.wait(wait_s):
            wait_s = self._every_s
            try:
                if self._is_mine():
                    self.last = self.audit()
            except _Stopped:
                return
            except StoreUnavailable:
                wait_s = min(RETRY_S, self._every_s)  # whoever writes says what is wrong
            except Exception as error:
                self._report("the ledger could not be audited", error)

    def _is_mine(self) -> bool:
        """Whether this process has the lock, which the system takes from one that dies."""
        if self._lock is None:
            file = self._lock_path.open("wb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._lock = file
        return True

    def audit(self) -> Audit:
        """Compare every balance with its rows, as they stand together at one moment."""
        at_s = self._wall_clock()
        connection = self._open_connection()
        try:
            with connection.snapshot():
                budgets = {budget.id: budget for budget in read_budgets(connection)}
                found = differences(connection, budgets.values(), int(at_s), self._pause)
        finally:
            connection.close()
        findings = _findings(budgets, found)
        for finding in findings:
            self._tell(finding)
        currencies = frozenset(budget.currency for budget in budgets.values())
        return Audit(at_s, currencies, findings)

    def _pause(self) -> None:
        time.sleep(PAUSE_S)
        if self._stop.is_set():
            raise _Stopped


def _findings(budgets: dict[str, Budget], found: Sequence[Difference]) -> tuple[Finding, ...]:
    return tuple(
        Finding(budgets[budget], node, bucket_s, counted, true)
        for (budget, node, bucket_s), counted, true in found
    )
