"""The ledger compared with what the upstream billed and with what the clients saw."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.stores.audit import differences
from gateway.stores.budget_rows import read_budgets
from gateway.stores.connections import Connection, connect

from .books import Billed
from .calls import Reply

REQUESTS = "SELECT id, user_id, outcome, recovered FROM requests"
ATTEMPTS = "SELECT request_id, outcome, cost_nano, estimated, clamped FROM attempts"
LINES = "SELECT request_id, SUM(cost_nano) FROM ledger GROUP BY request_id"


@dataclass(frozen=True)
class Charged:
    """What the ledger says of one call."""

    outcome: str
    recovered: bool
    attempts: int
    cost_nano: int
    lines_nano: int
    estimated: bool


@dataclass(frozen=True)
class Report:
    """What was found; every list should be empty."""

    calls: int
    exact: int
    """Calls that are charged what was billed, to the billionth."""
    lost: list[str]
    """Billed, and not in the ledger."""
    doubled: list[str]
    """More than one row."""
    unanswered: list[str]
    """The client has a whole answer of it, and the ledger says otherwise, or nothing."""
    undercharged: list[str]
    """Charged less than billed."""
    inexact: list[str]
    """Charged by the upstream's own figures, and not as much as it billed."""
    unannounced: list[str]
    """Asked of the upstream more often than attempts are on record."""
    unexplained: list[str]
    """The lines do not add up to what is charged."""
    open_holds: int
    differences: list[object]

    def faults(self) -> dict[str, object]:
        """What is not as it has to be, by name."""
        names = (
            "lost", "doubled", "unanswered", "undercharged", "inexact", "unannounced",
            "unexplained", "open_holds", "differences",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value}


def audit(database_url: str, billed: Mapping[str, Billed], replies: Iterable[Reply]) -> Report:
    """Read the whole ledger and compare."""
    connection = connect(database_url)
    try:
        with connection.snapshot():
            ledger = _ledger(connection)
            budgets = read_budgets(connection)
            wrong = differences(connection, budgets, int(time.time()))
            open_holds = connection.execute("SELECT COUNT(*) FROM holds")[0][0]
    finally:
        connection.close()
    single = {user: rows[0] for user, rows in ledger.items()}
    both = {user: (single[user], billed[user]) for user in single.keys() & billed.keys()}
    answered = [reply.wish.user for reply in replies if reply.complete]
    return Report(
        calls=len(ledger),
        exact=sum(row.cost_nano == bill.nano_usd for row, bill in both.values()),
        lost=sorted(billed.keys() - ledger.keys()),
        doubled=sorted(user for user, rows in ledger.items() if len(rows) > 1),
        unanswered=[user for user in answered if not _says_answered(single.get(user))],
        undercharged=[
            f"{user}: {row} {bill}"
            for user, (row, bill) in sorted(both.items())
            if bill.nano_usd > row.cost_nano
        ],
        inexact=[
            f"{user}: {row} {bill}"
            for user, (row, bill) in sorted(both.items())
            if not row.estimated and row.cost_nano != bill.nano_usd
        ],
        unannounced=[
            user
            for user, (row, bill) in sorted(both.items())
            if not row.recovered and bill.times > row.attempts
        ],
        unexplained=[
            user for user, rows in ledger.items() for row in rows if row.lines_nano != row.cost_nano
        ],
        open_holds=int(open_holds),
        differences=list(wrong),
    )


def _says_answered(row: Charged | None) -> bool:
    """An answer may have left in the moment in which its gateway was killed."""
    return row is not None and (row.recovered or row.outcome == "ok")


def _ledger(connection: Connection) -> dict[str, list[Charged]]:
    """What was charged, by the calls' user."""
    attempts = defaultdict(list)
    for request_id, *attempt in connection.execute(ATTEMPTS):
        attempts[request_id].append(attempt)
    lines = {request_id: int(nano) for request_id, nano in connection.execute(LINES)}
    found: defaultdict[str, list[Charged]] = defaultdict(list)
    for request_id, user, outcome, recovered in connection.execute(REQUESTS):
        mine = attempts[request_id]
        cost_nano = sum(cost for _, cost, _, _ in mine)
        estimated = any(estimated for _, _, estimated, _ in mine)
        charged = Charged(
            outcome, bool(recovered), len(mine), cost_nano, lines.get(request_id, 0), estimated
        )
        found[user].append(charged)
    return found


def open_holds(database_url: str) -> int:
    return _count(database_url, "holds")


def owners(database_url: str) -> int:
    """Processes that have not signed off."""
    return _count(database_url, "owners")


def _count(database_url: str, table: str) -> int:
    connection = connect(database_url)
    try:
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}")[0][0])
    finally:
        connection.close()
