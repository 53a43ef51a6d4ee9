"""What a call tries after a failure, and why it tries nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.config_limits import RetryConfig
from gateway.contracts import Client
from gateway.errors import Outcome
from gateway.journey import Journey
from gateway.schema import Target

from .accounts import AccountPool
from .deadline import deadline_s
from .health import Health
from .ladder import Ladder, Step
from .retries import RetryBudget, may_go_on, pause_s, soonest


class Patience(NamedTuple):
    """How much is tried for one call. ``random`` is in [0, 1)."""

    settings: RetryConfig
    max_attempts: int
    budget: RetryBudget
    random: Callable[[], float]


class Further:
    """Gives out further attempts: within the call's deadline, its share of attempts, and what all
    calls together may try again."""

    def __init__(
        self,
        live: Mapping[str, AccountPool],
        health: Health,
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._health = health
        self._patience = patience
        self._budget = patience.budget
        self._clock = clock

    async def step(self, journey: Journey, ladder: Ladder, client: Client) -> Step | None:
        """After a failure: the next target or, where none is left, one of those that were tried,
        after a pause; at last one that was left out. None ends the call."""
        if client.committed or not may_go_on(ladder.failures[-1][1], self._patience.settings):
            return None
        return (
            self._next(journey, ladder)
            or await self._again(journey, ladder)
            or self._last_resort(journey, ladder)
        )

    def _next(self, journey: Journey, ladder: Ladder) -> Step | None:
        now_s = self._clock()
        while (step := ladder.next(now_s)) is not None:
            if self._is_late(journey, step.target, now_s):
                name = step.target.name
                ladder.left_out[name] = f"{name}: the call's deadline has passed"
            # A stand-in costs no provider anything.
            elif step.target.rehearsal or self._may_take(ladder, now_s):
                return step
            step.give_back(now_s)
        return None

    async def _again(self, journey: Journey, ladder: Ladder) -> Step | None:
        """A target that did nothing with the call, a second time."""
        patience = self._patience
        repeats = max(0, len(ladder.failures) - 1)
        why_not = ""
        for wait_s, target in soonest(ladder.failures, patience.settings):
            now_s = self._clock()
            wait_s = max(wait_s, pause_s(patience.settings, repeats, patience.random))
            if self._is_late(journey, target, now_s + wait_s):
                why_not = "the call's deadline leaves no time for another attempt"
            elif len(ladder.failures) >= patience.max_attempts:
                why_not = _enough(patience.max_attempts)
            elif self._health.of(target).breaker.is_closed:
                if not self._may_take(ladder, now_s):
                    return None
                await asyncio.sleep(wait_s)
                if (step := ladder.enter(target, self._clock(), True)) is not None:
                    return step
        ladder.stopped = ladder.stopped or why_not
        return None

    def _last_resort(self, journey: Journey, ladder: Ladder) -> Step | None:
        """A target that was left out, where all others have failed the call."""
        now_s = self._clock()
        step = ladder.last_resort(self._patience.settings.max_backoff_s)
        if step is None or self._is_late(journey, step.target, now_s):
            return None
        return step if self._may_take(ladder, now_s) else None

    def _is_late(self, journey: Journey, target: Target, at_s: float) -> bool:
        return at_s >= deadline_s(journey, self._live[target.provider].timeouts)

    def _may_take(self, ladder: Ladder, now_s: float) -> bool:
        """Another attempt. What has not gone out yet has cost no provider anything, and a key that
        is refused is not tried again: neither is paid for."""
        outcome = ladder.failures[-1][1].outcome
        free = not ladder.sent or outcome is Outcome.UPSTREAM_CREDENTIALS
        if ladder.stopped:
            return False
        if ladder.sent >= self._patience.max_attempts:
            ladder.stopped = _enough(ladder.sent)
        elif not free and not self._budget.take(now_s, outcome.label):
            ladder.stopped = "the gateway's budget for further attempts is used up"
        return not ladder.stopped


def _enough(attempts: int) -> str:
    return f"{attempts} attempts are the most that a call may make"
