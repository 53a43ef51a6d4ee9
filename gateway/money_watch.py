"""Keeps an eye on the ledger: audits it, reads how full its budgets are, moves SQLite's log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from .budget import amount
from .stores.auditor import Auditor, Finding
from .stores.checkpoints import Checkpoints
from .stores.connections import Connection
from .stores.fullest import FullestNodes
from .stores.group_commit import GroupCommit
from .stores.ledger_store import LedgerStore
from .telemetry.cells import Series
from .telemetry.ledger_readings import LedgerReadings, budget_series
from .telemetry.metrics import Metrics

AUDITOR_LOCK = "auditor.lock"

log = structlog.get_logger("daobo")


class MoneyWatch:
    """What a process shows of the ledger besides its own calls."""

    def __init__(
        self,
        metrics: Metrics,
        ledger: GroupCommit,
        books: LedgerStore,
        open_connection: Callable[[], Connection],
        checkpoints: Checkpoints,
        state: Path,
    ) -> None:
        self.auditor = Auditor(
            open_connection, state / AUDITOR_LOCK, time.time, _tell, _report_failure
        )
        self._fullest = FullestNodes(open_connection, time.time, time.monotonic)
        self._readings = LedgerReadings(metrics, ledger, books, lambda: self.auditor.last)
        self._checkpoints = checkpoints

    async def look(self) -> None:
        """What has to be done every second or so."""
        self.count_recovered()
        if self._checkpoints.due():
            await asyncio.to_thread(self._checkpoints.make)

    def count_recovered(self) -> None:
        """Show what was charged for calls of processes that died."""
        if calls := self._readings.count_recovered():
            log.warning("calls of a process that died were charged what was held", calls=calls)

    async def shared(self) -> dict[str, Series]:
        """What belongs to all processes, for whoever is scraped."""
        return budget_series(await self._fullest.read())

    async def stop(self) -> None:
        await asyncio.to_thread(self.auditor.stop)


def _tell(finding: Finding) -> None:
    log.error(
        "a balance of the ledger is not the sum of its rows",
        budget=finding.budget.id,
        node=finding.node or "everything",
        currency=finding.budget.currency,
        bucket_s=finding.bucket_s,
        counted=[amount(nano) for nano in finding.counted],
        true=[amount(nano) for nano in finding.true],
    )


def _report_failure(what: str, error: BaseException) -> None:
    log.error(what, exc_info=error)
