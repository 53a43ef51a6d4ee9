"""The ledger's one writing transaction: holds are admitted and closed, many at a time.

Everything is decided while the balances are locked (SQLite has one writer at a time anyway), in
the order in which calls came, and all or nothing: a call is held at every budget that concerns it
or at none. The update that follows repeats the condition, so that a mistake here would break the
transaction and not the cap. Closing is idempotent: only a hold that still stands moves money.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from gateway.budget import Budget, BudgetIndex
from gateway.ledger import (
    MICRO,
    AttemptRow,
    Closing,
    ExchangeRate,
    Granted,
    HoldRequest,
    LedgerRow,
    Note,
    Refused,
    RequestRow,
    Verdict,
)

from . import leases
from .balances import Balances
from .budget_rows import (
    add_shares,
    prune_balances,
    read_budgets,
    read_generation,
    sync_configured,
)
from .connections import Busy, Connection, StoreUnavailable
from .notes import drop_notes, prune_notes, raise_risk, write_notes
from .parents import Parents
from .rows import HOLD_COLUMNS, delete_holds, hold_row, insert_rows
from .withdrawal import withdraw

KNOWN = "SELECT 1 FROM requests WHERE id = ?"
STANDING = "SELECT amount_nano FROM holds WHERE id = ?"
AS_FOUND = "SELECT amount_nano, at_risk_nano FROM holds WHERE id = ?"
EXTEND = "UPDATE holds SET amount_nano = amount_nano + ? WHERE id = ?"
PRUNE_S = 3_600
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
        self._pruned_us = 0
        self._connection: Connection | None = None
        self.owner = owner
        self._generation = 0
        self._budgets = BudgetIndex(())
        self._wanted: Wanted = ({}, {})
        self._synced: Wanted | None = None
        self._known_rates: set[ExchangeRate] = set()
        self.late_closings = 0
        """Holds that were gone when their call ended: somebody had taken this process for dead."""
        self.recovered: deque[Closing] = deque()
        """Calls that were closed here for processes that died, for whoever counts them to take."""
        self._closed: list[Closing] = []
        self._late = 0

    def commit(
        self,
        holds: Sequence[HoldRequest],
        closings: Sequence[Closing],
        notes: Sequence[Note] = (),
    ) -> list[Verdict]:
        """A verdict for each of ``holds``, then one for each of ``notes``. Raises
        StoreUnavailable; nothing was done then, or, if the connection broke in the very moment of
        committing, nobody knows."""
        with self._used() as connection:
            while True:
                self._closed, self._late, verdicts = [], 0, None
                with connection.transaction():
                    if self._knows_budgets(connection):
                        verdicts = self._commit(connection, holds, closings)
                        if notes:
                            verdicts += write_notes(connection, notes)
                if verdicts is not None:
                    self._count_closed()
                    return verdicts
                self._follow_budgets(connection)

    def _commit(
        self, connection: Connection, holds: Sequence[HoldRequest], closings: Sequence[Closing]
    ) -> list[Verdict]:
        replays = [closing.hold for closing in closings if not closing.was_held]
        self._write_rates(connection, [*holds, *replays] if replays else holds)
        touched = [*holds, *(closing.hold for closing in closings if closing.was_held)]
        parents = Parents(connection, touched)
        balances = Balances(connection, self._budgets)
        balances.lock([*touched, *parents])
        self._close(connection, balances, parents, closings)
        verdicts = [_admit(connection, balances, parents, hold) for hold in holds]
        self._insert_holds(connection, holds, verdicts)
        parents.write()
        balances.write()
        return verdicts

    def _count_closed(self) -> None:
        """Only once it is written down: what is tried again must not be counted twice."""
        self.late_closings += self._late
        self.recovered += [c for c in self._closed if c.request and c.request.recovered]

    def do_chores(self) -> list[HoldRequest]:
        """Renew this process's lease; the holds that nobody will close any more. Now and then,
        clear away balances of windows that are over, and notes of nobody's.

        After the database was away, the others get the length of a lease to renew theirs.
        """
        with self._used() as connection:
            now_us = int(self._wall_clock() * MICRO)
            if not self._knows_budgets(connection):
                self._follow_budgets(connection)
            if now_us - self._pruned_us > PRUNE_S * MICRO:
                with connection.transaction():
                    prune_balances(connection, now_us // MICRO)
                    prune_notes(connection)
                self._pruned_us = now_us
            with connection.transaction():
                leases.renew(connection, self.owner, now_us)
                may_sweep = now_us - self._connected_us > leases.LEASE_S * MICRO
                return leases.orphans(connection, now_us) if may_sweep else []

    def sign_off(self) -> None:
        """This process ends; what it still holds is an orphan. Raises StoreUnavailable."""
        may_be_cut = self._connection is not None
        try:
            self._give_up_lease()
        except StoreUnavailable:
            if not may_be_cut or self._connection is not None:
                raise
            self._give_up_lease()
        self.disconnect()

    def _give_up_lease(self) -> None:
        with self._used() as connection:
            leases.give_up(connection, self.owner)

    @contextmanager
    def _used(self) -> Iterator[Connection]:
        """The connection. If it breaks, the next one to use it gets another."""
        try:
            yield self.connection()
        except Exception as error:
            self._known_rates.clear()  # the transaction may have been the one that wrote them
            if isinstance(error, StoreUnavailable) and not isinstance(error, Busy):
                self.disconnect()
            raise

    def connection(self) -> Connection:
        """The connection, opened if there is none. Raises StoreUnavailable."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        connection = self._open_connection()
        self._generation = 0
        self._synced = None
        self._known_rates.clear()
        self._connected_us = int(self._wall_clock() * MICRO)
        try:
            leases.renew(connection, self.owner, self._connected_us)
        except StoreUnavailable:
            connection.close()
            raise
        return connection

    def disconnect(self) -> None:
        """Drop the connection; the next commit opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def want_budgets(self, configured: Mapping[str, Budget], shares: Mapping[str, int]) -> None:
        """The configuration's budgets, and its tasks' shares of projects' in millionths; they
        are written down with the next commit. May be called from any thread."""
        self._wanted = (configured, shares)

    def _knows_budgets(self, connection: Connection) -> bool:
        """Whether the budgets are those that were read last, and the configuration's among them."""
        return read_generation(connection) == self._generation and self._wanted is self._synced

    def _follow_budgets(self, connection: Connection) -> None:
        """In a transaction of its own: whoever changes budgets has to be alone from its start."""
        wanted, now_s = self._wanted, int(self._wall_clock())
        with connection.transaction():
            if wanted is self._synced:
                add_shares(connection, wanted[1], now_s)
            else:
                sync_configured(connection, *wanted, now_s)
            generation, budgets = read_generation(connection), read_budgets(connection)
        self._synced = wanted
        self._budgets = BudgetIndex(budgets)
        self._generation = generation

    def _write_rates(self, connection: Connection, holds: Sequence[HoldRequest]) -> None:
        for rate in sorted({hold.rate for hold in holds} - self._known_rates):
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
        closings = [c for c in closings if not _is_guess(c) or _is_as_found(connection, c.hold)]
        stood = delete_holds(connection, sorted({closing.hold.id for closing in closings}))
        ended = []
        for closing in closings:
            hold = closing.hold
            if hold.id in stood:
                hold = hold._replace(amount_nano=parents.end(hold.id, stood.pop(hold.id)))
                balances.change(hold, 0)
                parents.give_back(hold, closing.charges, balances)
            elif not closing.was_held:
                if connection.execute(KNOWN, (hold.id,)):
                    continue  # by a transaction of which nobody heard that it was committed
            elif not _is_truth(closing) or not withdraw(connection, balances, hold):
                continue
            else:
                self._late += 1
            balances.spend(hold, closing.charges)
            ended.append(closing)
        drop_notes(connection, ended)
        self._closed += ended
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
            hold_row(hold, self.owner)
            for hold, verdict in zip(holds, verdicts, strict=True)
            if isinstance(verdict, Granted) and not hold.extends
        ]
        insert_rows(connection, "holds", HOLD_COLUMNS, granted)


def _is_truth(closing: Closing) -> bool:
    """Told by the process that served the call, not guessed by one that found its hold."""
    return closing.request is not None and not closing.request.recovered


def _is_guess(closing: Closing) -> bool:
    return closing.request is not None and closing.request.recovered


def _is_as_found(connection: Connection, hold: HoldRequest) -> bool:
    """Its process has not done anything since. If it has, more may be at risk than was found;
    the chores find it again if it is dead."""
    standing = connection.execute(AS_FOUND + connection.for_update, (hold.id,))
    return standing == [(hold.amount_nano, hold.at_risk_nano)]


def _admit(
    connection: Connection, balances: Balances, parents: Parents, hold: HoldRequest
) -> Verdict:
    """All or nothing: the parent, if there is one, and every budget have to have room."""
    standing_nano = 0
    if hold.extends:
        standing = connection.execute(STANDING + connection.for_update, (hold.id,))
        if not standing:
            return Refused(f"the hold of {hold.id} has ended, so there is none to extend")
        standing_nano = standing[0][0]
        if hold.is_only_at_risk:
            raise_risk(connection, hold)
            return Granted()
    parent = parents.get(hold)
    refusal = parents.refusal(hold, standing_nano) or balances.refusal(hold, parent, standing_nano)
    if refusal is not None:
        return refusal
    if parent is not None:
        parents.take(hold, standing_nano, balances)
    balances.hold(hold, parent, standing_nano)
    if hold.extends:
        if hold.at_risk_nano is not None:
            raise_risk(connection, hold)  # before: what is at risk may be all of the amount
        connection.execute(EXTEND, (hold.amount_nano, hold.id))
    return Granted(balances.warnings(hold))
