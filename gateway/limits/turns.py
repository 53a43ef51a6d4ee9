"""What one account at a provider can do at once: slots, requests and tokens a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiolimiter import AsyncLimiter

from gateway.config_limits import QueueConfig
from gateway.contracts import ProviderSettings
from gateway.journey import Journey
from gateway.schema import Target

from .buckets import Bucket, BucketStore, Denied, Take
from .lanes import NOTHING, Blockage, Lane, Taken

MINUTE_S = 60.0
FREE_GRAIN = 0.002


class Pace(NamedTuple):
    """What a configuration says of pacing besides the accounts' own limits."""

    queue: QueueConfig
    buckets_of: Callable[[Target], Sequence[Bucket]]
    """The limits of a target, whoever calls."""
    estimate_tokens: Callable[[Journey], int]
    """What a call may use, input and output."""
    store: BucketStore
    is_shared: bool = False
    """The store counts for other processes too."""


class Limits(NamedTuple):
    """What the store counts of the calls for a target."""

    buckets: tuple[Bucket, ...]
    counts_tokens: bool

    def takes(self, tokens: int) -> tuple[Take, ...]:
        return tuple((bucket, tokens if bucket.kind == "tokens" else 1) for bucket in self.buckets)


class Turns:
    """Begins and ends turns. A shared store counts requests and places as well as tokens;
    otherwise requests are aiolimiter's, and places a number here."""

    def __init__(
        self, name: str, settings: ProviderSettings, pace: Pace, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.under_way = 0
        self.blockage = Blockage()
        self._settings = settings
        self._clock = clock
        self._limiter: AsyncLimiter | None = None
        self._in_hand = False
        """The limiter let a call through that has gone away since."""
        self.follow(pace)

    def follow(self, pace: Pace) -> None:
        """Another configuration, with the same settings of this account."""
        self.pace = pace
        per_minute = self._settings.requests_per_minute
        if pace.is_shared or per_minute is None:
            self._limiter = None
        elif self._limiter is None:
            self._limiter = AsyncLimiter(per_minute, MINUTE_S)
        self.blockage.clear()
        self._limits: dict[tuple[str, str], Limits] = {}
        self._buckets = tuple(_buckets(self.name, self._settings, pace.is_shared))

    def limits_of(self, target: Target) -> Limits:
        """The buckets of a target, under the public name that it is called by."""
        key = target.public_model, target.model
        limits = self._limits.get(key)
        if limits is None:
            buckets = (*self._buckets, *self.pace.buckets_of(target))
            counts_tokens = any(bucket.kind == "tokens" for bucket in buckets)
            limits = self._limits[key] = Limits(buckets, counts_tokens)
        return limits

    @property
    def is_full(self) -> bool:
        most = self._settings.max_concurrency
        return most is not None and self.under_way >= most

    @property
    def lacks_rate(self) -> bool:
        """The next turn has to wait for the limiter."""
        limiter = self._limiter
        return limiter is not None and not self._in_hand and not limiter.has_capacity()

    def has_room(self, now_s: float) -> bool:
        return not self.is_full and now_s >= self.blockage.until_s and not self.lacks_rate

    async def wait_for_rate(self) -> None:
        """The limiter's next turn; it is kept until somebody takes it."""
        assert self._limiter is not None
        await self._limiter.acquire()
        self._in_hand = True

    def known_wait_s(self, ahead: int, ahead_tokens: int, now_s: float) -> float:
        """How long at least for a call behind so many others, as far as the account decides."""
        wait_s = self.blockage.wait_s(ahead, ahead_tokens, now_s)
        if (limiter := self._limiter) is None:
            return wait_s
        free = _free(limiter) if self.lacks_rate else limiter.max_rate
        return max(wait_s, (ahead + 1 - free) * MINUTE_S / limiter.max_rate)

    async def take(self, lane: Lane, target: Target, tokens: int) -> Taken | Denied:
        """Begin a turn, for which there is room: all that it needs, or nothing.

        Does not suspend unless the store does. Raises CallError(LIMITS_UNAVAILABLE).
        """
        self.under_way += 1
        lane.under_way += 1
        lane.reserved_tokens += tokens
        taken = NOTHING._replace(tokens=tokens) if tokens else NOTHING
        try:
            limits = self.limits_of(target)
            if limits.buckets:
                store = self.pace.store
                verdict = await store.take(limits.takes(tokens))
                if isinstance(verdict, Denied):
                    self._leave(lane, tokens)
                    self._stopped_by(lane, verdict)
                    return verdict
                taken = Taken(tokens, verdict, store)
            if self._limiter is not None and not self._in_hand:
                await self._limiter.acquire()
            self._in_hand = False
        except BaseException:
            self.give_back(lane, taken, 0)
            raise
        return taken

    def give_back(self, lane: Lane, taken: Taken, used_tokens: int) -> None:
        """End a turn."""
        self._leave(lane, taken.tokens)
        if taken.store is not None:
            taken.store.settle(taken.granted, used_tokens)
            self.blockage.clear()
            lane.blockage.clear()

    def _leave(self, lane: Lane, tokens: int) -> None:
        self.under_way -= 1
        lane.under_way -= 1
        lane.reserved_tokens -= tokens

    def _stopped_by(self, lane: Lane, denied: Denied) -> None:
        mine = denied.take[0] in self._buckets
        (self.blockage if mine else lane.blockage).note(denied, self._clock())


def _free(limiter: AsyncLimiter) -> float:
    """How much of one turn a limiter has, that has no whole one; rather too much than too little.
    It only ever tells whether an amount fits."""
    least, most = 0.0, 1.0
    while most - least > FREE_GRAIN:
        middle = (least + most) / 2
        least, most = (middle, most) if limiter.has_capacity(middle) else (least, middle)
    return most


def _buckets(name: str, settings: ProviderSettings, is_shared: bool) -> Iterator[Bucket]:
    """An account's own limits that the store counts."""
    tokens, requests = settings.tokens_per_minute, settings.requests_per_minute
    if tokens:
        yield Bucket(f"account={name} tokens", "tokens", tokens, tokens)
    if requests and is_shared:
        yield Bucket(f"account={name} requests", "requests", requests, requests)
    if settings.max_concurrency and is_shared:
        yield Bucket(f"account={name} concurrency", "concurrency", settings.max_concurrency)
