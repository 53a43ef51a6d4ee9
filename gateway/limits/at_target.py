"""Limits on a caller at a model or a target: whoever is above them is sent to the next target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from gateway.journey import Journey
from gateway.schema import Target

from .buckets import BucketStore, Denied, Take
from .refusals import refusal
from .rules import Rules


class TargetLimits:
    """Asked before each attempt. ``refused`` is told of rule and kind."""

    def __init__(
        self, rules: Rules, buckets: BucketStore, refused: Callable[[str, str], None]
    ) -> None:
        self._rules = rules
        self._buckets = buckets
        self._refused = refused

    def keep(self, journey: Journey, target: Target) -> AbstractAsyncContextManager[None]:
        """Take what an attempt needs, and settle it at its end. Entering raises CallError
        (RATE_LIMITED, LIMITS_UNAVAILABLE), at once."""
        assert journey.plan is not None
        takes = self._rules.at_target(journey.call, journey.plan, target)
        return self._kept(journey, takes, journey.plan.part) if takes else _NOTHING

    @asynccontextmanager
    async def _kept(
        self, journey: Journey, takes: Sequence[Take], part: int | None
    ) -> AsyncIterator[None]:
        found = await self._buckets.take(takes)
        if isinstance(found, Denied):
            self._refused(found.take[0].rule, found.take[0].kind)
            raise refusal(found, part)
        try:
            yield
        finally:
            usage = journey.usage
            used = usage.total_input_tokens + usage.total_output_tokens if usage else 0
            self._buckets.settle(found, used)


_NOTHING: AbstractAsyncContextManager[None] = nullcontext()
