"""A lane: the calls for one target at one account, those that wait and those under way."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gateway.schema import Target

from .buckets import Bucket, BucketStore, Denied, Granted
from .fair_queue import FairQueue
from .learned import Learned

LEAST_WAIT_S = 0.005
"""A bucket that says no is not asked again at once."""
PLACE_POLL_S = 0.05
"""Nobody tells when another process gives a place back."""


class Wish(NamedTuple):
    """Where a call goes, what it may use, and whose it is."""

    target: Target
    tokens: int
    """What it may use, by estimate; 0 where nobody counts tokens."""
    priority: str
    project: str


class Taken(NamedTuple):
    """What a turn took: tokens, by estimate, and of which buckets."""

    tokens: int
    granted: Granted
    store: BucketStore | None


NOTHING = Taken(0, Granted((), ()), None)


class Waiter:
    """A call that waits. ``granted`` becomes what its turn took, or None: too late."""

    __slots__ = ("granted", "lane", "wish")

    def __init__(self, lane: Lane, wish: Wish, granted: asyncio.Future[Taken | None]) -> None:
        self.lane = lane
        self.wish = wish
        self.granted = granted


class Blockage:
    """A bucket that had not enough for whoever came first, and when it will have."""

    __slots__ = ("_bucket", "until_s")

    def __init__(self) -> None:
        self.until_s = 0.0
        self._bucket: Bucket | None = None

    def note(self, denied: Denied, now_s: float) -> None:
        self._bucket = denied.take[0]
        of_places = self._bucket.kind == "concurrency"
        self.until_s = now_s + (PLACE_POLL_S if of_places else max(denied.wait_s, LEAST_WAIT_S))

    def clear(self) -> None:
        """Something came back: worth another look."""
        self.until_s = 0.0

    def wait_s(self, ahead: int, ahead_tokens: int, now_s: float) -> float:
        """How long at least for a call behind others that the same bucket stops."""
        if self._bucket is None or now_s >= self.until_s:
            return 0.0
        amount = ahead_tokens if self._bucket.kind == "tokens" else ahead
        per_minute = self._bucket.per_minute
        return self.until_s - now_s + (amount * 60.0 / per_minute if per_minute else 0.0)


class Lane:
    """Only the loop's thread touches it. Public models that lead to the same target share it."""

    __slots__ = (
        "blockage", "learned", "name", "queue", "reserved_tokens", "under_way", "waiting_tokens",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.learned = Learned()
        self.queue = FairQueue[Waiter]()
        self.blockage = Blockage()
        self.under_way = 0
        self.reserved_tokens = self.waiting_tokens = 0

    def push(self, waiter: Waiter) -> None:
        self.queue.push(waiter, waiter.wish.priority, waiter.wish.project)
        self.waiting_tokens += waiter.wish.tokens

    def serve(self, waiter: Waiter) -> None:
        """It goes; its project's next turn comes after the others'."""
        self.queue.serve(waiter, waiter.wish.priority, waiter.wish.project)
        self.waiting_tokens -= waiter.wish.tokens

    def leave(self, waiter: Waiter) -> bool:
        """It gives up. False if it does not wait any more."""
        left = self.queue.leave(waiter, waiter.wish.priority, waiter.wish.project)
        if left:
            self.waiting_tokens -= waiter.wish.tokens
        return left

    def opens_at_s(self, now_s: float) -> float:
        """When whoever is first may begin, as far as this target decides; 0.0 for now."""
        learned = self.learned
        until_s = self.blockage.until_s
        if learned.slows:
            until_s = max(
                until_s,
                now_s + learned.closed_s(now_s),
                learned.full_until_s(self.under_way, self.reserved_tokens, now_s),
            )
        return until_s if until_s > now_s else 0.0

    def is_idle(self, now_s: float) -> bool:
        """Nothing of it would be missed."""
        return not (self.under_way or self.queue or self.learned.says_anything(now_s))

    def tokens_of(self, ahead: int) -> int:
        """What so many of those that wait want, on average."""
        return self.waiting_tokens * ahead // len(self.queue) if ahead else 0
