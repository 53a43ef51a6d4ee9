"""The words of limits: buckets, what a call takes of them, and who keeps them.

A bucket of requests or tokens is kept as one number, the moment at which it is full again. What is
taken moves that moment into the future, time passing lets it come, and a bucket that is full needs
no number at all. (Virtual scheduling: ITU-T I.371, annex A, calls it the theoretical arrival time.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Kind = Literal["requests", "tokens", "concurrency"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit of one subject. Full it holds ``capacity``; it fills by ``per_minute``.

    Of a concurrency there is no filling: what was taken comes back when the call ends.
    """

    name: str
    """Names limit and subject, and so the bucket wherever it is kept: ``key=k_1 tokens``."""
    kind: Kind
    capacity: int
    per_minute: int = 0
    """0 for a concurrency, and for nothing else."""
    rule: str = ""
    """Where the limit comes from, for metrics: ``rules[2]``."""
    subject: str = ""
    """Whose it is, for people: ``key k_1 and task draft``."""

    token_s: float = field(init=False, compare=False, default=0.0)
    """How long one request or token takes to flow in."""
    room_s: float = field(init=False, compare=False, default=0.0)
    """How long all of it takes."""

    def __post_init__(self) -> None:
        if self.per_minute:
            object.__setattr__(self, "token_s", 60.0 / self.per_minute)
            object.__setattr__(self, "room_s", self.capacity * 60.0 / self.per_minute)


Take = tuple[Bucket, int]
"""How much a call wants of a bucket. Without names: those of a call are made, and taken apart four
times, in a third of the time."""

Level = tuple[int, float]
"""What is left in a bucket, never below 0, and in how many seconds it is full again."""


class Granted(NamedTuple):
    """All of it was taken. ``takes`` are to be settled once the call is over."""

    takes: Sequence[Take]
    levels: Sequence[Level]
    receipt: str = ""
    """The store's own name for what was taken, if it needs one to give it back."""


class Denied(NamedTuple):
    """Nothing was taken, because of this one bucket (of several, the one that takes longest)."""

    take: Take
    level: Level
    wait_s: float
    """Until there is enough in all of them, if nobody else takes any."""


PLACE_WAIT_S = 1.0
"""What is told to wait for a place: nobody knows when a call ends."""
TOLERANCE_S = 1e-6
"""Bursts are sums of fractions; the last request of one must not fail by their rounding."""


class BucketStore(Protocol):
    """Where buckets are kept: in this process, or in Redis for all processes and machines."""

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        """All or nothing, in one step. More than a bucket's capacity is let through once the
        bucket is full, and leaves it in debt: otherwise it could never be let through.

        Raises CallError(LIMITS_UNAVAILABLE) if the store cannot be reached.
        """

    def settle(self, granted: Granted, used_tokens: int) -> None:
        """The call is over: places come back, and token buckets are charged what was used in
        place of what was reserved. Never blocks and never fails."""
