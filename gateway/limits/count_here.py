"""Buckets in Redis, and in this process for as long as Redis is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.errors import CallError, Outcome

from .buckets import BucketStore, Denied, Granted, Take


class CountHere:
    """A ``BucketStore`` that lets calls through where Redis cannot be asked, as many as the limits
    let through in each process by itself."""

    def __init__(
        self, shared: BucketStore, here: BucketStore, counted_here: Callable[[], None]
    ) -> None:
        self._shared = shared
        self._here = here
        self._counted_here = counted_here

    async def take(self, takes: Sequence[Take]) -> Granted | Denied:
        try:
            return await self._shared.take(takes)
        except CallError as error:
            if error.outcome is not Outcome.LIMITS_UNAVAILABLE:
                raise
            self._counted_here()
            return await self._here.take(takes)

    def settle(self, granted: Granted, used_tokens: int) -> None:
        # What Redis gave has a receipt.
        store = self._shared if granted.receipt else self._here
        store.settle(granted, used_tokens)
