"""What the nodes of budgets have spent and hold, for the length of one transaction.

``lock`` reads and locks every balance that the transaction can touch, always in the same order,
so that two processes never wait for each other in a circle; the rest is arithmetic; ``write``
adds the differences under a condition that repeats the cap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.budget import Budget, BudgetIndex, no_room
from gateway.ledger import MICRO, Charge, HoldRequest, Place, Refused

from .connections import Connection

NO_LIMIT = (1 << 62) - 1
COLUMNS = (
    "budget", "node", "bucket_s", "spent_nano", "held_nano", "rehearsed_nano",
    "rehearsal_held_nano",
)  # fmt: skip
ENSURE = (
    f"INSERT INTO balances ({', '.join(COLUMNS)}) VALUES (?, ?, ?, 0, 0, 0, 0) "
    "ON CONFLICT DO NOTHING"
)
READ = (
    f"SELECT {', '.join(COLUMNS[2:])} FROM balances "
    "WHERE budget = ? AND node = ? AND bucket_s >= ? ORDER BY bucket_s"
)
ADD = (
    "UPDATE balances SET spent_nano = spent_nano + ?, held_nano = held_nano + ?, "
    "rehearsed_nano = rehearsed_nano + ?, rehearsal_held_nano = rehearsal_held_nano + ? "
    "WHERE budget = ? AND node = ? AND bucket_s = ? "
    "AND spent_nano + held_nano + ? <= ? AND rehearsed_nano + rehearsal_held_nano + ? <= ? "
    "RETURNING bucket_s"
)


TURNSTILE = -1
"""The bucket of a row that has no amounts. Two transactions at one rolling window may each have a
new bucket that the other cannot see; one row that both must lock lets them pass one by one."""
PASS = f"SELECT 1 FROM balances WHERE budget = ? AND node = ? AND bucket_s = {TURNSTILE}"


class LedgerFault(Exception):
    """The arithmetic of the ledger contradicts the database's: a bug, and nothing was written."""


@dataclass(slots=True)
class _Book:
    """Where the amounts of a book stand: money that is spent, or what is only rehearsed."""

    number: int
    spent: int
    held: int


PAID, REHEARSED = _Book(0, 0, 1), _Book(1, 2, 3)


@dataclass(slots=True)
class _Bucket:
    """One row: the amounts as they were read, and what this transaction adds to them."""

    amounts: list[int]
    added: list[int]
    limits: list[int]
    """For each book, how far the row may go: what the cap left it when a hold was granted here."""

    def used(self, book: _Book) -> int:
        """Spent and held."""
        return sum(self.amounts[i] + self.added[i] for i in (book.spent, book.held))


class _Node:
    """One node of one budget, with its buckets."""

    def __init__(self, budget: Budget, name: str) -> None:
        self.budget = budget
        self.name = name
        self.buckets: dict[int, _Bucket] = {}

    def bucket(self, at_s: int) -> _Bucket:
        return self.at(self.budget.window.bucket(at_s))

    def at(self, bucket_s: int) -> _Bucket:
        bucket = self.buckets.get(bucket_s)
        if bucket is None:
            bucket = self.buckets[bucket_s] = _Bucket([0] * 4, [0] * 4, [NO_LIMIT] * 2)
        return bucket

    def used(self, book: _Book, at_s: int) -> tuple[int, int]:
        """Spent and held over the window of that moment; a rolling one reaches to the present."""
        window = self.budget.window
        since = window.since(at_s)
        spent = held = 0
        for bucket_s, bucket in self.buckets.items():
            if bucket_s == since or (window.kind == "rolling" and bucket_s > since):
                spent += bucket.amounts[book.spent] + bucket.added[book.spent]
                held += bucket.amounts[book.held] + bucket.added[book.held]
        return spent, held


class Balances:
    """The balances that one transaction needs."""

    def __init__(self, connection: Connection, budgets: BudgetIndex) -> None:
        self._connection = connection
        self._budgets = budgets
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._at: dict[Place, list[_Node]] = {}

    def lock(self, holds: Iterable[HoldRequest]) -> None:
        """Read what these holds concern, so that nobody else changes it before the end."""
        wanted: dict[tuple[str, str, int], int] = {}
        for hold in holds:
            at_s = hold.started_us // MICRO
            for node in self._find(hold.place):
                budget = node.budget
                bucket_s = budget.window.bucket(at_s)
                wanted[budget.id, node.name, bucket_s] = budget.window.since(at_s)
                if budget.window.kind == "rolling" and self._connection.for_update:
                    wanted[budget.id, node.name, TURNSTILE] = budget.window.since(at_s)
        if not wanted:
            return
        for key in sorted(wanted):
            self._connection.execute(ENSURE, key)
        oldest: dict[tuple[str, str], int] = {}
        for (budget_id, name, _), since in wanted.items():
            oldest[budget_id, name] = min(since, oldest.get((budget_id, name), since))
        for (budget_id, name), since in sorted(oldest.items()):
            if (budget_id, name, TURNSTILE) in wanted:
                self._connection.execute(PASS + self._connection.for_update, (budget_id, name))
            self._read(budget_id, name, since)

    def _read(self, budget_id: str, name: str, since: int) -> None:
        rows = self._connection.execute(
            READ + self._connection.for_update, (budget_id, name, since)
        )
        node = self._nodes[budget_id, name]
        for bucket_s, *amounts in rows:
            node.at(bucket_s).amounts = amounts

    def refusal(
        self, hold: HoldRequest, parent: HoldRequest | None, standing_nano: int
    ) -> Refused | None:
        """The first hard budget without room. A parent has room for its children already."""
        at_s, book = hold.started_us // MICRO, _book(hold)
        for node in self._find(hold.place):
            budget = node.budget
            asked = _asked(hold, standing_nano, budget.currency)
            if not asked or not _guards(node, hold, parent):
                continue
            spent, held = node.used(book, at_s)
            if spent + held + asked > budget.cap_nano:
                what = "call" if hold.expires_us is None else "quote"
                return no_room(budget, node.name, spent, held, asked, at_s, hold.rehearsal, what)
        return None

    def hold(self, hold: HoldRequest, parent: HoldRequest | None, standing_nano: int) -> None:
        """Hold what ``refusal`` had nothing against."""
        at_s, book = hold.started_us // MICRO, _book(hold)
        for node in self._find(hold.place):
            bucket = node.bucket(at_s)
            asked = _asked(hold, standing_nano, node.budget.currency)
            bucket.added[book.held] += asked
            guarded = asked and _guards(node, hold, parent)
            if guarded or bucket.limits[book.number] != NO_LIMIT:
                own = bucket.used(book)
                others = sum(node.used(book, at_s)) - own
                room = node.budget.cap_nano - others
                # A child's room is its parent's, but for a nano-unit that is rounded up.
                bucket.limits[book.number] = room if guarded else max(room, own)

    def change(self, hold: HoldRequest, amount_nano: int) -> None:
        """The hold, which stands, is of another amount from now on; 0 releases it."""
        book = _book(hold)
        for node in self._find(hold.place):
            bucket = node.bucket(hold.started_us // MICRO)
            for sign, nano in ((1, amount_nano), (-1, hold.amount_nano)):
                in_budget = hold.rate.convert(nano, hold.currency, node.budget.currency)
                bucket.added[book.held] += sign * in_budget

    def spend(self, hold: HoldRequest, charges: Iterable[Charge], sign: int = 1) -> None:
        """Charge the call of this hold; with ``sign`` -1, take back what was charged."""
        for node in self._find(hold.place):
            bucket = node.bucket(hold.started_us // MICRO)
            for charge in charges:
                convert, to = hold.rate.convert, node.budget.currency
                for book, nano in ((PAID, charge.cost_nano), (REHEARSED, charge.rehearsed_nano)):
                    bucket.added[book.spent] += sign * convert(nano, charge.currency, to)

    def warnings(self, hold: HoldRequest) -> tuple[str, ...]:
        """A sentence for each budget that has passed one of its marks."""
        at_s, book = hold.started_us // MICRO, _book(hold)
        found = []
        for node in self._find(hold.place):
            cap = node.budget.cap_nano
            percent = sum(node.used(book, at_s)) * 100 // cap if cap else 100
            if node.budget.marks and percent >= min(node.budget.marks):
                found.append(
                    f"budget {node.name or 'everything'} is at {percent} % of {node.budget.cap}"
                )
        return tuple(found)

    def write(self) -> None:
        """Add what has changed. Raises LedgerFault if a cap would be passed after all."""
        for (budget_id, name), node in sorted(self._nodes.items()):
            for bucket_s, bucket in sorted(node.buckets.items()):
                if any(bucket.added):
                    self._add(budget_id, name, bucket_s, bucket)

    def _add(self, budget_id: str, name: str, bucket_s: int, bucket: _Bucket) -> None:
        conditions: list[int] = []
        for book in (PAID, REHEARSED):
            added = bucket.added[book.spent] + bucket.added[book.held]
            conditions += [added, bucket.limits[book.number]]
        values = (*bucket.added, budget_id, name, bucket_s, *conditions)
        if not self._connection.execute(ADD, values):
            raise LedgerFault(f"budget {name}: the cap would be passed, or its balance is gone")

    def _find(self, place: Place) -> list[_Node]:
        """The nodes that a place counts under; most calls of a batch are of few places."""
        nodes = self._at.get(place)
        if nodes is None:
            nodes = self._at[place] = [
                self._nodes.setdefault((budget.id, name), _Node(budget, name))
                for budget, name in self._budgets.concerning(place)
            ]
        return nodes


def _asked(hold: HoldRequest, standing_nano: int, currency: str) -> int:
    """What the hold needs beyond what stands, so that the sum is rounded once."""
    convert = hold.rate.convert
    total = convert(standing_nano + hold.amount_nano, hold.currency, currency)
    return total - convert(standing_nano, hold.currency, currency) if standing_nano else total


def _guards(node: _Node, hold: HoldRequest, parent: HoldRequest | None) -> bool:
    """A soft budget stops nothing, and a parent has taken its children's room already, unless
    that was on another day."""
    budget = node.budget
    if parent is None or budget.node(parent.place) != node.name:
        return budget.hard
    window = budget.window
    in_time = window.bucket(parent.started_us // MICRO) >= window.since(hold.started_us // MICRO)
    return budget.hard and not in_time


def _book(hold: HoldRequest) -> _Book:
    return REHEARSED if hold.rehearsal else PAID
