"""Sends a call down its ladder of targets until one answers: the one owner of retries.

Everything before the first byte of the answer may be tried elsewhere, nothing after it. An error
that would be the same everywhere (the request itself is wrong) ends the ladder at once. All
attempts of a call share one deadline, and all calls of the process one budget for second tries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from gateway.config_limits import RetryConfig
from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Target

from .accounts import AccountPool
from .deadline import deadline_s, had_little_time, within
from .exchange import Accounting, Exchange
from .health import Health
from .hedging import HEDGE, Race, may_be_hedged
from .ladder import Ladder, Step
from .retries import RetryBudget, may_go_on, pause_s, soonest


class Patience(NamedTuple):
    """How much is tried for one call. ``random`` is in [0, 1)."""

    settings: RetryConfig
    max_attempts: int
    budget: RetryBudget
    random: Callable[[], float]


class CallerLimits(Protocol):
    """What a caller may have of a model or a target."""

    def keep(self, journey: Journey, target: Target) -> AbstractAsyncContextManager[None]:
        """For the time of an attempt. Entering raises CallError(RATE_LIMITED), at once."""


class Attempts:
    """The ladder. ``redact`` takes out of an upstream's words what looks like a key."""

    def __init__(
        self,
        live: Mapping[str, AccountPool],
        money: Accounting,
        limits: CallerLimits,
        exchange: Exchange,
        health: Health,
        patience: Patience,
        redact: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._money = money
        self._limits = limits
        self._exchange = exchange
        self._health = health
        self._patience = patience
        self._budget = patience.budget
        self._redact = redact
        self._clock = clock

    async def send(self, journey: Journey, client: Client) -> None:
        """Answer the client. Raises CallError; the journey has the attempts either way."""
        plan = journey.plan
        assert plan is not None
        self._budget.calls += 1
        ladder = Ladder(plan, self._live, self._health)
        now_s = self._clock()
        step = ladder.next(now_s) or ladder.last_resort(now_s)
        if step is None:
            raise ladder.nothing(plan)
        if plan.hedge_after_s is not None and may_be_hedged(journey.call, plan, step.target):
            if await self._race(journey, ladder, step, client, plan.hedge_after_s):
                return
            step = await self._another(journey, ladder, client)
        while step is not None:
            if ladder.left_out:
                journey.left_out = tuple(ladder.left_out.values())
            error = await self._attempt(journey, step, client)
            if error is None:
                return
            ladder.failed(step, error, journey.billable)
            step = await self._another(journey, ladder, client)
        raise ladder.summary(plan)

    async def _attempt(self, journey: Journey, step: Step, client: Client) -> CallError | None:
        """One try; the error that it ended with, if it did."""
        target, pool, account, _, _ = step
        journey.begin(target)
        began_s = sent_s = self._clock()
        try:
            await self._money.cover(journey, target)
            until_s = deadline_s(journey, pool.timeouts)
            turn = account.turn(journey, target, until_s - began_s)
            async with self._limits.keep(journey, target), turn:
                sent_s = self._clock()
                timeouts = within(until_s - sent_s, pool.timeouts)
                await self._exchange.run(journey, account, pool.upstream, timeouts, client)
        except CallError as error:
            error.message = self._redact(error.message)
            self._end(journey, step, error.outcome, began_s, sent_s, error)
            account.failed(target, error)
            return error
        except BaseException as error:
            outcome = Outcome.INTERNAL if isinstance(error, Exception) else Outcome.CLIENT_GONE
            if journey.given_up:
                outcome = Outcome.HEDGE_LOST
            self._end(journey, step, outcome, began_s, sent_s, error)
            raise
        self._end(journey, step, Outcome.OK, began_s, sent_s, None)
        return None

    def _end(
        self,
        journey: Journey,
        step: Step,
        outcome: Outcome,
        began_s: float,
        sent_s: float,
        error: BaseException | None,
    ) -> None:
        now_s, health, detail = self._clock(), outcome.health, ""
        self._exchange.close(journey, outcome)
        if isinstance(error, CallError):
            detail = error.message
            if error.from_upstream:
                step.health.failed(outcome, detail, now_s)
            if outcome is Outcome.UPSTREAM_TIMEOUT and had_little_time(
                journey, step.pool.timeouts, sent_s
            ):
                health = None
        elif error is not None:
            detail = type(error).__name__
        journey.end(outcome, now_s - began_s, detail)
        first_s = journey.first_token_s
        slow = (
            first_s is not None
            and journey.call.stream
            and first_s - sent_s > step.health.breaker.slow_call_s
        )
        step.health.breaker.leave(step.ticket, sent_s, now_s, health, slow)

    async def _another(self, journey: Journey, ladder: Ladder, client: Client) -> Step | None:
        """What to try after a failure: the next target or, where none is left, one of those that
        were tried, after a pause. None ends the call."""
        target, error = ladder.failures[-1]
        patience, now_s = self._patience, self._clock()
        if client.committed or not may_go_on(error, patience.settings):
            return None
        if now_s >= deadline_s(journey, self._live[target.provider].timeouts):
            ladder.stopped = "the call's deadline has passed"
        elif ladder.sent >= patience.max_attempts:
            ladder.stopped = f"{ladder.sent} attempts are the most that a call may make"
        else:
            return self._next(ladder, now_s) or await self._again(journey, ladder)
        return None

    def _next(self, ladder: Ladder, now_s: float) -> Step | None:
        outcome = ladder.failures[-1][1].outcome
        while (step := ladder.next(now_s)) is not None:
            # Neither a stand-in nor a call that has not gone out yet costs a provider anything, and
            # a key that is refused is not tried again.
            free = step.target.rehearsal or outcome is Outcome.UPSTREAM_CREDENTIALS
            if free or not ladder.sent or self._may_take(ladder, now_s, outcome.label):
                return step
            step.give_back(now_s)
        return None

    async def _again(self, journey: Journey, ladder: Ladder) -> Step | None:
        """A target that did nothing with the call, a second time."""
        patience = self._patience
        repeats = max(0, len(ladder.failures) - 1)
        if len(ladder.failures) >= patience.max_attempts:
            return None
        for wait_s, target in soonest(ladder.failures, patience.settings):
            now_s = self._clock()
            wait_s = max(wait_s, pause_s(patience.settings, repeats, patience.random))
            if now_s + wait_s >= deadline_s(journey, self._live[target.provider].timeouts):
                ladder.stopped = "the call's deadline leaves no time for another attempt"
            elif self._health.of(target).breaker.is_closed:
                reason = ladder.failures[-1][1].outcome.label
                if not self._may_take(ladder, now_s, reason):
                    return None
                await asyncio.sleep(wait_s)
                if (step := ladder.enter(target, self._clock(), True)) is not None:
                    return step
        return None

    def _may_take(self, ladder: Ladder, now_s: float, reason: str) -> bool:
        if not ladder.stopped and not self._budget.take(now_s, reason):
            ladder.stopped = "the gateway's budget for further attempts is used up"
        return not ladder.stopped

    async def _race(
        self, journey: Journey, ladder: Ladder, first: Step, client: Client, after_s: float
    ) -> bool:
        """A first attempt with a second one beside it if it is silent; whether one of them
        answered."""

        async def second() -> Step | None:
            return await self._beside(journey, ladder, first)

        if ladder.left_out:
            journey.left_out = tuple(ladder.left_out.values())
        race = Race(journey, client, self._attempt)
        await race.run(first, second, after_s, lambda e: may_go_on(e, self._patience.settings))
        if race.unused is not None:
            ladder.untried(race.unused)
        for step, error, reached in race.failures:
            ladder.failed(step, error, reached)
        return race.is_answered

    async def _beside(self, journey: Journey, ladder: Ladder, first: Step) -> Step | None:
        now_s = self._clock()
        step = ladder.next(now_s)
        if step is None:
            return None
        if not step.is_probe and not step.target.rehearsal:
            try:
                await self._money.cover(journey, step.target, beside=first.target)
            except CallError as refused:
                ladder.left_out[step.target.name] = refused.message
            else:
                if self._budget.take(now_s, HEDGE):
                    return step
        step.give_back(now_s)
        ladder.untried(step)
        return None
