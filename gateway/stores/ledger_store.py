"""The ledger's one writing transaction: holds are admitted and closed, many at a time.

Everything is decided while the balances are locked (SQLite has one writer at a time anyway), in
the order in which calls came, and all or nothing: a call is held at every budget that concerns it
or at none. The update that follows repeats the condition, so that a mistake here would break the
transaction and not the cap. Closing is idempotent: only a hold that still stands moves money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.budget import Budget, BudgetIndex
from gateway.ledger import (
    AttemptRow,
    Closing,
    ExchangeRate,
    Granted,
    HoldRequest,
    LedgerRow,
    RequestRow,
    Verdict,
)

from . import leases
from .balances import Balances
from .budget_rows import add_shares, read_budgets, read_generation, sync_configured
from .connections import Connection, StoreUnavailable
from .parents import Parents
from .rows import HOLD_COLUMNS, delete_holds, hold_row, insert_rows
from .withdrawal import withdraw

EXTEND = "UPDATE holds SET amount_nano = amount_nano + ? WHERE id = ?"
MICRO = 1_000_000
Wanted = tuple[Mapping[str, Budget], Mapping[str, int]]
PUT_RATE = (
    "INSERT INTO exchange_rates (id, cny_per_usd_nano, checked, source) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)


class LedgerStore:
    """One process's hand on the ledger. Used from one thread.

    ``open_connection`` is called again after the database was lost.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        owner: str,
        wall_clock: Callable[[], float],
    ) -> None:
        self._open_connection = open_connection
        self._wall_clock = wall_clock
        self._connected_us = 0
        self._connection: Connection | None = None
        self._owner = owner
        self._generation = 0
        self._budgets = BudgetIndex(())
        self._wanted: Wanted = ({}, {})
        self._synced: Wanted | None = None
        self._known_rates: set[ExchangeRate] = set()
        self.late_closings = 0
        """Holds that were gone when their call ended: somebody had taken this process for dead."""

    def commit(self, holds: Sequence[HoldRequest], closings: Sequence[Closing]) -> list[Verdict]:
        """A verdict for each of ``holds``. Raises StoreUnavailable; nothing was done then, or,
        if the connection broke in the very moment of committing, nobody knows."""
        connection = self.connection()
        try:
            with connection.transaction():
                return self._commit(connection, holds, closings)
        except StoreUnavailable:
            self.disconnect()
            raise

    def _commit(
        self, connection: Connection, holds: Sequence[HoldRequest], closings: Sequence[Closing]
    ) -> list[Verdict]:
        self._follow_budgets(connection)
        self._write_rates(connection, holds)
        touched = [*holds, *(closing.hold for closing in closings)]
        parents = Parents(connection, touched)
        balances = Balances(connection, self._budgets)
        balances.lock([*touched, *parents])
        self._close(connection, balances, parents, closings)
        verdicts = [_admit(connection, balances, parents, hold) for hold in holds]
        self._insert_holds(connection, holds, verdicts)
        parents.write()
        balances.write()
        return verdicts

    def do_chores(self) -> list[HoldRequest]:
        """Renew this process's lease; the holds that nobody will close any more.

        After the database was away, the others get the length of a lease to renew theirs.
        """
        connection = self.connection()
        now_us = int(self._wall_clock() * MICRO)
        try:
            with connection.transaction():
                self._follow_budgets(connection)
                leases.renew(connection, self._owner, now_us)
                may_sweep = now_us - self._connected_us > leases.LEASE_S * MICRO
                return leases.orphans(connection, now_us) if may_sweep else []
        except StoreUnavailable:
            self.disconnect()
            raise

    def sign_off(self) -> None:
        """This process ends; what it still holds is an orphan."""
        leases.give_up(self.connection(), self._owner)
        self.disconnect()

    def connection(self) -> Connection:
        """The connection, opened if there is none. Raises StoreUnavailable."""
        if self._connection is None:
            self._connection = self._open_connection()
            self._generation = 0
            self._synced = None
            self._known_rates.clear()
            self._connected_us = int(self._wall_clock() * MICRO)
            leases.renew(self._connection, self._owner, self._connected_us)
        return self._connection

    def disconnect(self) -> None:
        """Drop the connection; the next commit opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def want_budgets(self, configured: Mapping[str, Budget], shares: Mapping[str, int]) -> None:
        """The configuration's budgets, and its tasks' shares of projects' in millionths; they
        are written down with the next commit. May be called from any thread."""
        self._wanted = (configured, shares)

    def _follow_budgets(self, connection: Connection) -> None:
        generation, wanted = read_generation(connection), self._wanted
        if generation == self._generation and wanted is self._synced:
            return
        now_s = int(self._wall_clock())
        if wanted is self._synced:
            add_shares(connection, wanted[1], now_s)
        else:
            sync_configured(connection, *wanted, now_s)
        self._synced = wanted
        self._budgets = BudgetIndex(read_budgets(connection))
        self._generation = read_generation(connection)

    def _write_rates(self, connection: Connection, holds: Sequence[HoldRequest]) -> None:
        for rate in {hold.rate for hold in holds} - self._known_rates:
            connection.execute(PUT_RATE, (rate.id, *rate))
            self._known_rates.add(rate)

    def _close(
        self,
        connection: Connection,
        balances: Balances,
        parents: Parents,
        closings: Sequence[Closing],
    ) -> None:
        if not closings:
            return
        stood = delete_holds(connection, [closing.hold.id for closing in closings])
        ended = []
        for closing in closings:
            hold = closing.hold
            if hold.id in stood:
                hold = hold._replace(amount_nano=stood[hold.id])
                balances.change(hold, 0)
                parents.give_back(hold, closing.charges, balances)
            elif closing.request is None or not withdraw(connection, balances, hold):
                continue
            else:
                self.late_closings += 1
            balances.spend(hold, closing.charges)
            ended.append(closing)
        requests = [closing.request for closing in ended if closing.request is not None]
        insert_rows(connection, "requests", RequestRow._fields, requests)
        attempts = [row for closing in ended for row in closing.attempts]
        insert_rows(connection, "attempts", AttemptRow._fields, attempts)
        lines = [row for closing in ended for row in closing.lines]
        insert_rows(connection, "ledger", LedgerRow._fields, lines)

    def _insert_holds(
        self, connection: Connection, holds: Sequence[HoldRequest], verdicts: Sequence[Verdict]
    ) -> None:
        granted = [
            hold_row(hold, self._owner)
            for hold, verdict in zip(holds, verdicts, strict=True)
            if isinstance(verdict, Granted) and not hold.extends
        ]
        insert_rows(connection, "holds", HOLD_COLUMNS, granted)


def _admit(
    connection: Connection, balances: Balances, parents: Parents, hold: HoldRequest
) -> Verdict:
    """All or nothing: the parent, if there is one, and every budget have to have room."""
    parent = parents.get(hold)
    refusal = parents.refusal(hold) or balances.refusal(hold, parent)
    if refusal is not None:
        return refusal
    if parent is not None:
        parents.take(hold, balances)
    balances.hold(hold, parent)
    if hold.extends:
        connection.execute(EXTEND, (hold.amount_nano, hold.id))
    return Granted(balances.warnings(hold))
