"""The ledger as a few dictionaries: what every balance and every verdict ought to be.

It knows nothing of rows and transactions, keeps every hold and every charge for ever, and adds
them up anew for each question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from books import MICRO

from gateway.budget import Budget
from gateway.ledger import Charge, HoldRequest

Book = dict[tuple[str, str, int], list[int]]
"""Budget, node, bucket: spent, held, rehearsed, held for rehearsals."""


@dataclass
class Model:
    budgets: dict[str, Budget] = field(default_factory=dict)
    holds: dict[str, HoldRequest] = field(default_factory=dict)
    """Those that stand, with their amounts as they are."""
    ended: dict[str, tuple[HoldRequest, tuple[Charge, ...]]] = field(default_factory=dict)
    """Calls with a row, and what they were charged."""
    guessed: set[str] = field(default_factory=set)
    """Those of them that were closed for a process that was taken for dead."""

    def balances(self) -> Book:
        found: Book = {}
        for hold, amounts, currency in self._entries():
            for budget in self.budgets.values():
                node = budget.node(hold.place)
                if node is not None:
                    bucket = budget.window.bucket(hold.started_us // MICRO)
                    sums = found.setdefault((budget.id, node, bucket), [0] * 4)
                    for position, nano in enumerate(amounts):
                        sums[position] += hold.rate.convert(nano, currency, budget.currency)
        return found

    def _entries(self) -> Iterator[tuple[HoldRequest, list[int], str]]:
        for hold in self.holds.values():
            held = [0, 0, 0, hold.amount_nano] if hold.rehearsal else [0, hold.amount_nano, 0, 0]
            yield hold, held, hold.currency
        for hold, charges in self.ended.values():
            for charge in charges:
                yield hold, [charge.cost_nano, 0, charge.rehearsed_nano, 0], charge.currency

    def used(self, book: Book, budget: Budget, node: str, at_s: int) -> tuple[int, int]:
        """Money and rehearsed money, spent and held, over the window of a moment."""
        window = budget.window
        since = window.since(at_s)
        sums = [0, 0]
        for (id_, name, bucket), amounts in book.items():
            counts = bucket >= since if window.kind == "rolling" else bucket == since
            if (id_, name) == (budget.id, node) and counts:
                sums[0] += amounts[0] + amounts[1]
                sums[1] += amounts[2] + amounts[3]
        return sums[0], sums[1]

    def admits(self, hold: HoldRequest) -> bool:
        standing = self.holds.get(hold.id)
        if hold.extends and standing is None:
            return False
        before = standing.amount_nano if standing is not None else 0
        parent = self.holds.get(hold.parent or "")
        if hold.parent is not None and not self._may_draw(hold, parent, before):
            return False
        book = self.balances()
        return all(
            self._has_room(book, budget, hold, parent, before)
            for budget in self.budgets.values()
            if budget.hard and budget.node(hold.place) is not None
        )

    def _may_draw(self, hold: HoldRequest, parent: HoldRequest | None, before: int) -> bool:
        return (
            parent is not None
            and parent.expires_us is not None
            and parent.expires_us > hold.started_us
            and parent.rehearsal == hold.rehearsal
            and all(w in (None, h) for w, h in zip(parent.place, hold.place, strict=True))
            and self._draw(hold, parent, before) <= parent.amount_nano
        )

    def _draw(self, hold: HoldRequest, parent: HoldRequest, before: int) -> int:
        def drawn(nano: int) -> int:
            return parent.rate.convert(nano, hold.currency, parent.currency)

        return drawn(before + hold.amount_nano) - drawn(before)

    def _has_room(
        self, book: Book, budget: Budget, hold: HoldRequest, parent: HoldRequest | None, before: int
    ) -> bool:
        node, at_s = budget.node(hold.place), hold.started_us // MICRO
        assert node is not None
        total = hold.rate.convert(before + hold.amount_nano, hold.currency, budget.currency)
        asked = total - hold.rate.convert(before, hold.currency, budget.currency)
        if parent is not None and budget.node(parent.place) == node:
            began = budget.window.bucket(parent.started_us // MICRO)
            if began >= budget.window.since(at_s):
                return True
        used = self.used(book, budget, node, at_s)[hold.rehearsal]
        return not asked or used + asked <= budget.cap_nano

    def grant(self, hold: HoldRequest) -> None:
        standing = self.holds.get(hold.id)
        before = standing.amount_nano if standing is not None else 0
        parent = self.holds.get(hold.parent or "")
        if parent is not None:
            left = parent.amount_nano - self._draw(hold, parent, before)
            self.holds[parent.id] = parent._replace(amount_nano=left)
        amount_nano = before + hold.amount_nano
        self.holds[hold.id] = hold._replace(amount_nano=amount_nano, extends=False)

    def end(self, id_: str, charges: tuple[Charge, ...] | None, guess: bool = False) -> None:
        """``charges`` is None for a plain release."""
        hold = self.holds.pop(id_, None)
        if hold is not None:
            self._give_back(hold, charges or ())
        elif charges is None or guess or id_ not in self.guessed:
            return
        else:
            hold = self.ended[id_][0]
        if charges is not None:
            self.ended[id_] = hold, charges
            (self.guessed.add if guess else self.guessed.discard)(id_)

    def _give_back(self, hold: HoldRequest, charges: tuple[Charge, ...]) -> None:
        parent = self.holds.get(hold.parent or "")
        if parent is None:
            return
        convert, to = parent.rate.convert, parent.currency
        spent = sum(
            convert(each.rehearsed_nano if hold.rehearsal else each.cost_nano, each.currency, to)
            for each in charges
        )
        rest = max(0, convert(hold.amount_nano, hold.currency, to) - spent)
        self.holds[parent.id] = parent._replace(amount_nano=parent.amount_nano + rest)
