"""Buckets in this process: exact, and gone with it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from .buckets import PLACE_WAIT_S, TOLERANCE_S, Bucket, Denied, Granted, Level, Take

MAX_BUCKETS = 50_000
UNSWEPT = 128
"""So few take no room, and a bucket that is full between two calls is new each time."""
SWEPT_AT_ONCE = 2
"""Old buckets that are looked at for each new one: more go than come, as far as they are full."""


class MemoryBuckets:
    """A ``BucketStore``. ``clock`` is monotonic, in seconds.

    Beyond ``max_buckets`` that are not full, new subjects of a rule share one bucket: a client that
    makes up names gets no further that way, and no room in memory.
    """

    def __init__(self, clock: Callable[[], float], max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._unswept = min(UNSWEPT, max_buckets // 2)
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        """Buckets that are, or were a moment ago, not full."""
        return len(self._full_at_s) + len(self._places)

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        now_s = self._clock()
        if len(self._full_at_s) + len(self._places) + len(takes) > self._max_buckets:
            takes = [self._shared(take, now_s) for take in takes]
        after: list[float] = []
        levels: list[Level] = []
        for take in takes:
            bucket, amount = take
            if bucket.per_minute:
                full_s = self._full_at_s.get(bucket.name, now_s)
                value = (full_s if full_s > now_s else now_s) + amount * bucket.token_s
                full_in_s = value - now_s
                if full_in_s > bucket.room_s and self._wait_s(take, now_s) > TOLERANCE_S:
                    return self._denied(takes, now_s)
                levels.append((_remaining(bucket, full_in_s), full_in_s))
            else:
                value = self._places.get(bucket.name, 0) + amount
                if value > bucket.capacity:
                    return self._denied(takes, now_s)
                levels.append((bucket.capacity - value, 0.0))
            after.append(value)
        self._write(takes, after, now_s)
        return Granted(takes, levels)

    def _wait_s(self, take: Take, now_s: float) -> float:
        """Until there is enough."""
        bucket, amount = take
        if not bucket.per_minute:
            taken = self._places.get(bucket.name, 0)
            return PLACE_WAIT_S if taken + amount > bucket.capacity else 0.0
        taken_s = amount * bucket.token_s
        full_in_s = max(0.0, self._full_at_s.get(bucket.name, now_s) - now_s)
        # What is more than the bucket holds has to find it full.
        return full_in_s + taken_s - max(bucket.room_s, taken_s)

    def _denied(self, takes: Sequence[Take], now_s: float) -> Denied:
        wait_s, take = max(
            ((self._wait_s(take, now_s), take) for take in takes), key=lambda found: found[0]
        )
        return Denied(take, self._level(take[0], now_s), wait_s)

    def settle(self, granted: Granted, used_tokens: int) -> None:
        now_s = self._clock()
        for bucket, amount in granted.takes:
            if bucket.kind == "concurrency":
                self._leave(bucket.name, amount)
            elif bucket.kind == "tokens" and used_tokens != amount:
                self._charge(bucket, used_tokens - amount, now_s)

    def _write(self, takes: Sequence[Take], after: Sequence[float], now_s: float) -> None:
        """When each bucket is full, or how many of its places are taken."""
        full_at_s = self._full_at_s
        for (bucket, _), value in zip(takes, after, strict=True):
            if not bucket.per_minute:
                self._places[bucket.name] = int(value)
                continue
            if bucket.name not in full_at_s and len(full_at_s) > self._unswept:
                self._sweep(now_s)
            full_at_s[bucket.name] = value

    def _level(self, bucket: Bucket, now_s: float) -> Level:
        if not bucket.per_minute:
            return max(0, bucket.capacity - self._places.get(bucket.name, 0)), 0.0
        full_in_s = max(0.0, self._full_at_s.get(bucket.name, now_s) - now_s)
        return _remaining(bucket, full_in_s), full_in_s

    def _charge(self, bucket: Bucket, tokens: int, now_s: float) -> None:
        """``tokens`` below 0 come back."""
        full_s = max(self._full_at_s.get(bucket.name, now_s), now_s) + tokens * bucket.token_s
        if full_s > now_s:
            self._full_at_s[bucket.name] = full_s
        else:
            self._full_at_s.pop(bucket.name, None)

    def _leave(self, name: str, amount: int) -> None:
        left = self._places.get(name, 0) - amount
        if left > 0:
            self._places[name] = left
        else:
            self._places.pop(name, None)

    def _sweep(self, now_s: float) -> None:
        """Forget the oldest buckets that are full; the others become the newest."""
        for _ in range(min(SWEPT_AT_ONCE, len(self._full_at_s))):
            name, full_s = self._full_at_s.popitem(last=False)
            if full_s > now_s:
                self._full_at_s[name] = full_s

    def _shared(self, take: Take, now_s: float) -> Take:
        bucket, amount = take
        if bucket.name in self._full_at_s or bucket.name in self._places:
            return take
        self._sweep(now_s)
        shared = replace(bucket, name=f"{bucket.rule} {bucket.kind} of all others")
        return shared, amount


def _remaining(bucket: Bucket, full_in_s: float) -> int:
    """What is left if the bucket is full in so many seconds."""
    left = bucket.capacity - (full_in_s - TOLERANCE_S) * bucket.per_minute / 60.0
    return int(left) if left > 0.0 else 0
