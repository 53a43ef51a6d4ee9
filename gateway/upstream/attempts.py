"""Sends a call down its ladder of targets until one answers: the one owner of retries.

Everything before the first byte of the answer may be tried elsewhere, nothing after it. An error
that would be the same everywhere (the request itself is wrong) ends the ladder at once. All
attempts of a call share one deadline, and all calls of the process one budget for second tries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Target

from .accounts import AccountPool
from .deadline import deadline_s, had_little_time, within
from .exchange import Accounting, Exchange
from .further import Further, Patience
from .health import Health
from .hedging import HEDGE, Race, may_be_hedged
from .ladder import Ladder, Step
from .proof import ProvingClient
from .retries import may_go_on


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
        self._further = Further(live, health, patience, clock)
        self._redact = redact
        self._clock = clock

    async def send(self, journey: Journey, client: Client) -> None:
        """Answer the client. Raises CallError; the journey has the attempts either way."""
        plan = journey.plan
        assert plan is not None
        self._budget.calls += 1
        ladder = Ladder(plan, self._live, self._health)
        now_s = self._clock()
        step = ladder.next(now_s) or ladder.last_resort()
        if step is None:
            raise ladder.nothing(plan)
        if plan.hedge_after_s is not None and may_be_hedged(journey.call, plan, step.target):
            if await self._race(journey, ladder, step, client, plan.hedge_after_s):
                return
            step = await self._further.step(journey, ladder, client)
        while step is not None:
            if ladder.left_out:
                journey.left_out = tuple(ladder.left_out.values())
            error = await self._attempt(journey, step, client)
            if error is None:
                return
            ladder.failed(step, error, journey.billable)
            step = await self._further.step(journey, ladder, client)
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
                if step.is_probe or account.is_retired:
                    client = ProvingClient(client, partial(step.proven, sent_s, self._clock))
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
            elif health is False:  # what the gateway itself lacked, a connection or time
                health = None
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
