"""What a call that is cut can have spent at any moment, and how much of that the ledger knows.

A process may die at any time, and whoever closes its hold charges what the ledger has as at risk.
So a part is sent once that figure covers it. It is raised together with the notes of parts that
have ended, and goes ahead by what comes next: as many parts as are under way at once.
"""

from __future__ import annotations

from collections.abc import Sequence


class Risk:
    """Of one hold. Amounts are nano-units of its currency. Nothing here waits."""

    __slots__ = ("_at_once", "_begun", "_bounds", "_promised_nano", "_to_come_nano",
                 "_widest_nano", "sent_nano", "written_nano")  # fmt: skip

    def __init__(self, written_nano: int, sent_nano: int = 0) -> None:
        self.written_nano = self._promised_nano = written_nano
        """The ledger has at least so much; promised is with notes that are on their way to it."""
        self.sent_nano = sent_nano
        """What was charged, and the shares of parts that may be sent: no more than is written."""
        self._bounds: Sequence[int] = ()
        self._at_once = 1
        self._begun = self._to_come_nano = self._widest_nano = 0

    @classmethod
    def of_parts(cls, bounds: Sequence[int], at_once: int) -> Risk:
        """Before the first of the parts, whose bounds these are, in order: as many may begin as
        are under way ``at_once``."""
        first_nano = at_once * max(bounds[:at_once])
        risk = cls(min(sum(bounds), first_nano))
        risk._bounds, risk._at_once, risk._to_come_nano = bounds, at_once, sum(bounds)
        return risk

    def begin(self, number: int, bound_nano: int) -> None:
        """The part with this number, from 1, is about to be sent, for the first time or again."""
        self._widest_nano = max(self._widest_nano, bound_nano)
        passed = self._bounds[self._begun : number]
        self._begun += len(passed)
        self._to_come_nano -= sum(passed)

    def cover(self, nano: int) -> int:
        """How much of this the ledger has already; that may be sent from now on."""
        covered_nano = max(0, min(nano, self.written_nano - self.sent_nano))
        self.sent_nano += covered_nano
        return covered_nano

    def put_back(self, nano: int) -> None:
        """It was not sent after all, or did not cost so much."""
        self.sent_nano -= nano

    def grow(self, nano: int) -> None:
        """The ledger has so much more, for something that may be sent now."""
        self.written_nano += nano
        self._promised_nano += nano
        self.sent_nano += nano

    def change(self, charged_nano: int, held_nano: int) -> int:
        """By how much what is at risk becomes more or less with a note that is written now. Less
        counts from this moment, more once it is ``written``."""
        nano = self._goal_nano(charged_nano, held_nano) - self._promised_nano
        if nano < 0:
            nano = min(0, max(nano, self.sent_nano - self.written_nano))
            self.written_nano += nano
        self._promised_nano += nano
        return nano

    def written(self, nano: int) -> None:
        """The ledger has a note with this change."""
        self.written_nano += max(0, nano)

    def _goal_nano(self, charged_nano: int, held_nano: int) -> int:
        next_nano = max(self._bounds[self._begun : self._begun + self._at_once], default=0)
        open_nano = self.sent_nano - charged_nano
        wide_nano = self._at_once * max(self._widest_nano, next_nano)
        ahead_nano = max(open_nano, min(wide_nano, open_nano + self._to_come_nano))
        return max(self.sent_nano, min(charged_nano + ahead_nano, held_nano))
