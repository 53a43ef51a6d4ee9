"""What one process's ledger has done and holds, for its metrics."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ledger import HoldRequest


@dataclass(slots=True)
class Tally:
    """Counts since the start, for the metrics."""

    granted: int = 0
    refused: int = 0
    unavailable: int = 0
    closed: int = 0
    commits: int = 0
    commit_s: float = 0.0
    """How long all commits took together."""
    problem: str = ""
    """What is wrong with the database; empty while it works."""


class OpenHolds:
    """The holds of this process that stand, and what they add up to."""

    def __init__(self) -> None:
        self._holds: dict[str, tuple[tuple[str, bool], int]] = {}
        self.sums: dict[tuple[str, bool], int] = {}
        """Nano-units by currency, rehearsals apart."""

    def add(self, request: HoldRequest) -> None:
        """A hold was granted, or more for one. An admitted quote belongs to no process."""
        if request.expires_us is None:
            book, held_nano = self._holds.get(
                request.id, ((request.currency, request.rehearsal), 0)
            )
            self._holds[request.id] = book, held_nano + request.amount_nano
            self.sums[book] = self.sums.get(book, 0) + request.amount_nano

    def remove(self, hold_id: str) -> None:
        """A hold has ended, perhaps one of another process."""
        if hold_id in self._holds:
            book, held_nano = self._holds.pop(hold_id)
            self.sums[book] -= held_nano
