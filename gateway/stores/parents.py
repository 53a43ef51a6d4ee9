"""Admitted quotes that calls draw from: a child's hold comes out of its parent's amount.

What a child did not need goes back to its parent, as long as that stands; then the parent's
amount and what its children spent always add up to what was admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.budget import amount
from gateway.ledger import Charge, HoldRequest, Refused

from .balances import Balances
from .connections import Connection
from .rows import READ_HOLDS, hold_of

SET_AMOUNT = "UPDATE holds SET amount_nano = ? WHERE id = ?"


class Parents:
    """The parents that one transaction needs, locked: those that are drawn from, and those that
    end themselves."""

    def __init__(self, connection: Connection, touched: Iterable[HoldRequest]) -> None:
        self._connection = connection
        self._standing: dict[str, HoldRequest] = {}
        self._changed: set[str] = set()
        ids = {hold.parent if hold.expires_us is None else hold.id for hold in touched}
        for id_ in sorted(id_ for id_ in ids if id_ is not None):
            lock = " FOR UPDATE OF holds" if connection.for_update else ""
            for row in connection.execute(f"{READ_HOLDS} WHERE holds.id = ?{lock}", (id_,)):
                self._standing[id_] = hold_of(row)

    def __iter__(self) -> Iterator[HoldRequest]:
        return iter(self._standing.values())

    def get(self, child: HoldRequest) -> HoldRequest | None:
        return self._standing.get(child.parent) if child.parent else None

    def end(self, id_: str, amount_nano: int) -> int:
        """A hold has ended that had this amount before the transaction: what it has now. If it was
        a parent, nobody can draw from it any more."""
        parent = self._standing.pop(id_, None)
        self._changed.discard(id_)
        return amount_nano if parent is None else parent.amount_nano

    def refusal(self, child: HoldRequest, standing_nano: int) -> Refused | None:
        """Why the child cannot draw from the parent that it names. ``standing_nano`` is what it
        has drawn already, if this is an extension."""
        if child.parent is None:
            return None
        parent = self._standing.get(child.parent)
        if parent is None or parent.expires_us is None or parent.expires_us <= child.started_us:
            return Refused(f"the admitted quote {child.parent} does not exist, or has expired")
        if not _covers(parent, child):
            return Refused(f"the admitted quote {child.parent} is for another key or place")
        if parent.rehearsal != child.rehearsal:
            return Refused(
                f"the admitted quote {child.parent} is for calls that are "
                f"{'rehearsed' if parent.rehearsal else 'paid'}, and this one is not"
            )
        asked = _asked(parent, child, standing_nano)
        if asked > parent.amount_nano:
            return Refused(
                f"the admitted quote {child.parent} has {parent.currency} "
                f"{amount(parent.amount_nano)} left, and this call may cost up to {amount(asked)}"
            )
        return None

    def take(self, child: HoldRequest, standing_nano: int, balances: Balances) -> None:
        parent = self._standing[child.parent or ""]
        asked = _asked(parent, child, standing_nano)
        self._change(parent, parent.amount_nano - asked, balances)

    def give_back(self, child: HoldRequest, charges: Iterable[Charge], balances: Balances) -> None:
        """What the child held and did not spend."""
        parent = self.get(child)
        if parent is None:
            return
        held = parent.rate.convert(child.amount_nano, child.currency, parent.currency)
        spent = sum(
            parent.rate.convert(
                charge.rehearsed_nano if child.rehearsal else charge.cost_nano,
                charge.currency,
                parent.currency,
            )
            for charge in charges
        )
        self._change(parent, parent.amount_nano + max(0, held - spent), balances)

    def write(self) -> None:
        for id_ in sorted(self._changed):
            self._connection.execute(SET_AMOUNT, (self._standing[id_].amount_nano, id_))

    def _change(self, parent: HoldRequest, amount_nano: int, balances: Balances) -> None:
        balances.change(parent, amount_nano)
        self._standing[parent.id] = parent._replace(amount_nano=amount_nano)
        self._changed.add(parent.id)


def _asked(parent: HoldRequest, child: HoldRequest, standing_nano: int) -> int:
    """What the child draws, so that all its draws add up to what it has in the end."""
    total_nano = standing_nano + child.amount_nano
    convert = parent.rate.convert
    return convert(total_nano, child.currency, parent.currency) - convert(
        standing_nano, child.currency, parent.currency
    )


def _covers(parent: HoldRequest, child: HoldRequest) -> bool:
    """The child belongs to whatever its parent names."""
    return all(
        wanted is None or wanted == has
        for wanted, has in zip(parent.place, child.place, strict=True)
    )
