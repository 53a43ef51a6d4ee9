"""What goes into one commit of the ledger, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.ledger import Closing, HoldRequest, Note, Verdict

MakeClosing = Callable[[], Closing]


@dataclass(slots=True)
class Ticket:
    """A hold that somebody waits for."""

    request: HoldRequest
    verdict: asyncio.Future[Verdict]
    asked: int
    """In which round of those who give up late ones."""


@dataclass(slots=True)
class Noting:
    """A note, and who is told once it is written."""

    note: Note
    written: Callable[[], None]


class Batch(NamedTuple):
    """What goes into one commit."""

    tickets: list[Ticket]
    closings: list[Closing]
    notings: list[Noting]

    @property
    def size(self) -> int:
        return len(self.tickets) + len(self.closings) + len(self.notings)

    def apart(self) -> list[Batch]:
        """Each kind for itself; if there is only one kind, in halves."""
        tickets, closings, notings = self
        kinds = [Batch([], closings, []), Batch(tickets, [], []), Batch([], [], notings)]
        some = [kind for kind in kinds if kind.size]
        if len(some) > 1:
            return some
        at = self.size // 2
        return [
            Batch(tickets[:at], closings[:at], notings[:at]),
            Batch(tickets[at:], closings[at:], notings[at:]),
        ]
