"""The whole ledger worked out again, row by row, and set against what is written in it.

Everything is read in one snapshot, page by page, so that it takes no more memory for more rows and
no running gateway waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.ledger import MICRO, Line

from .audit import Difference, differences
from .budget_rows import read_budgets
from .connections import Connection

PAGE_ROWS = 5000
MAX_NAMED = 100
ROUNDING_NANO = 100_000
"""By which a call's bills can pass its hold: each is rounded up where it is converted."""
UNLIMITED = "SET LOCAL statement_timeout = 0"

ATTEMPTS = (
    "SELECT attempts.request_id, attempts.number, attempts.rehearsal, attempts.currency, "
    "attempts.cost_nano, attempts.list_cost_nano, attempts.estimated, attempts.clamped, "
    "requests.id FROM attempts "
    "LEFT JOIN requests ON requests.id = attempts.request_id "
    "WHERE attempts.request_id > ? AND attempts.request_id <= ? "
    "ORDER BY attempts.request_id, attempts.number"
)
LINES = (
    "SELECT request_id, attempt, meter, quantity, rate_nano, per, cost_nano FROM ledger "
    "WHERE request_id > ? AND request_id <= ?"
)
PAGE_END = (
    "SELECT MAX(request_id) FROM (SELECT request_id FROM attempts WHERE request_id > ? "
    f"ORDER BY request_id LIMIT {PAGE_ROWS}) AS page"
)
NEVER_TRIED = (
    "SELECT id FROM requests WHERE provider IS NOT NULL AND replayed = '' "
    "AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.request_id = requests.id)"
)
SENT_ALL_THE_SAME = (
    "SELECT id FROM requests WHERE replayed <> '' "
    "AND EXISTS (SELECT 1 FROM attempts WHERE attempts.request_id = requests.id)"
)
WITHOUT_ATTEMPT = (
    "SELECT request_id, attempt, meter FROM ledger WHERE NOT EXISTS (SELECT 1 FROM attempts "
    "WHERE attempts.request_id = ledger.request_id AND attempts.number = ledger.attempt)"
)
WITHOUT_RATE = (
    "SELECT id, exchange_rate FROM {table} WHERE NOT EXISTS (SELECT 1 FROM exchange_rates "
    "WHERE exchange_rates.id = {table}.exchange_rate)"
)
WITHOUT_HOLD = (
    "SELECT request_id, number FROM notes WHERE NOT EXISTS (SELECT 1 FROM holds "
    "WHERE holds.id = notes.request_id)"
)
OUT_OF_RISK = (
    "SELECT id, amount_nano, at_risk_nano FROM holds "
    f"WHERE at_risk_nano < 0 OR at_risk_nano > amount_nano + {ROUNDING_NANO}"
)
HOLDS = (
    "SELECT holds.id, holds.amount_nano, holds.currency, holds.expires_us, owners.lease_until_us "
    "FROM holds LEFT JOIN owners ON owners.id = holds.owner ORDER BY holds.id"
)


@dataclass(slots=True)
class Findings:
    """What was counted, and what is not as other rows say."""

    rows: Counter[str] = field(default_factory=Counter)
    """By table."""
    spent: Counter[str] = field(default_factory=Counter)
    """By currency, in nano-units."""
    estimated: Counter[str] = field(default_factory=Counter)
    rehearsed: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    named: list[str] = field(default_factory=list)
    """Sentences on the first of the faults."""

    def report(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            self.faults += 1
            if self.faults <= MAX_NAMED:
                self.named.append(sentence)


def verify(connection: Connection, now_s: int) -> Findings:
    """Read everything once. Raises StoreUnavailable."""
    found = Findings()
    with connection.snapshot():
        if connection.for_update:  # PostgreSQL's limit is for calls; this may take longer
            connection.execute(UNLIMITED)
        found.rows["requests"] = connection.execute("SELECT COUNT(*) FROM requests")[0][0]
        for attempts, lines in _pages(connection):
            _check_attempts(found, attempts, lines)
        _check_references(found, connection)
        _check_holds(found, connection.execute(HOLDS), now_s * MICRO)
        budgets = read_budgets(connection)
        found.rows["budgets"] = len(budgets)
        found.report(map(_sentence, differences(connection, budgets, now_s)))
    return found


def _sentence(difference: Difference) -> str:
    budget, node, bucket_s = difference.key
    return (
        f"balance of budget {budget}, node {node or 'everything'}, bucket {bucket_s}: "
        f"{difference.counted} is written, {difference.true} is what its rows add up to "
        "(spent, held, rehearsed, held for rehearsals)"
    )


Rows = list[tuple[Any, ...]]
Lines = dict[tuple[str, int], Rows]


def _pages(connection: Connection) -> Iterator[tuple[Rows, Lines]]:
    """Attempts and their ledger rows, whole requests at a time."""
    after = ""
    while (until := connection.execute(PAGE_END, (after,))[0][0]) is not None:
        lines: Lines = {}
        for request_id, number, *line in connection.execute(LINES, (after, until)):
            lines.setdefault((request_id, number), []).append(tuple(line))
        yield connection.execute(ATTEMPTS, (after, until)), lines
        after = until


def _check_attempts(found: Findings, attempts: Rows, lines: Lines) -> None:
    for row in attempts:
        request_id, number, rehearsal, currency, cost, list_cost, estimated, *_ = row
        own = lines.get((request_id, number), [])
        found.rows["attempts"] += 1
        found.rows["ledger rows"] += len(own)
        if currency is not None:
            found.spent[currency] += cost
            found.rehearsed[currency] += list_cost if rehearsal else 0
            found.estimated[currency] += cost if estimated else 0
        found.report(
            f"attempt {number} of request {request_id}: {fault}" for fault in _faults(row, own)
        )


def _faults(row: Sequence[Any], lines: Rows) -> Iterator[str]:
    _, _, rehearsal, currency, cost, list_cost, _, clamped, request = row
    for meter, quantity, rate_nano, per, line_cost in lines:
        due = Line(meter, quantity, rate_nano, per).cost_nano
        if line_cost != due:
            yield f"{meter} costs {line_cost}, {quantity} x {rate_nano} / {per} is {due}"
    if (total := sum(line[-1] for line in lines)) != list_cost:
        yield f"the list cost is {list_cost}, its ledger rows add up to {total}"
    if request is None:
        yield "there is no such request"
    if currency is None and (cost or list_cost):
        yield f"{cost or list_cost} in no currency"
    if rehearsal and cost:
        yield f"{cost} was charged for a rehearsal"
    if not (rehearsal or clamped) and cost != list_cost:
        yield f"{cost} was charged instead of {list_cost}, and it is not marked as clamped"


def _check_references(found: Findings, connection: Connection) -> None:
    found.report(
        f"request {id_} was sent somewhere, and no attempt is written"
        for (id_,) in connection.execute(NEVER_TRIED)
    )
    found.report(
        f"request {id_} was given a kept answer, and an attempt is written"
        for (id_,) in connection.execute(SENT_ALL_THE_SAME)
    )
    found.report(
        f"ledger row {meter} of request {id_} belongs to attempt {number}, which is not there"
        for id_, number, meter in connection.execute(WITHOUT_ATTEMPT)
    )
    found.report(
        f"note {number} on request {id_} belongs to a hold that is not there"
        for id_, number in connection.execute(WITHOUT_HOLD)
    )
    found.report(
        f"of hold {id_}, which is {amount}, {at_risk} is at risk"
        for id_, amount, at_risk in connection.execute(OUT_OF_RISK)
    )
    for table in ("requests", "holds"):
        found.report(
            f"{table.removesuffix('s')} {id_} has the exchange rate {rate}, which is not there"
            for id_, rate in connection.execute(WITHOUT_RATE.format(table=table))
        )


def _check_holds(found: Findings, rows: Rows, now_us: int) -> None:
    for id_, amount_nano, currency, expires_us, lease_until_us in rows:
        found.rows["holds"] += 1
        found.held[currency] += amount_nano
        if expires_us is not None:
            if expires_us < now_us:
                found.report([f"hold {id_} of an admitted quote has expired and stands"])
        elif lease_until_us is None or lease_until_us < now_us:
            found.report(
                [f"hold {id_} has no owner: its process is dead, a running gateway settles it"]
            )
