"""Sends a call down its ladder of targets until one answers.

Everything before the first byte of the answer may be tried elsewhere, nothing after it. An error
that would be the same everywhere (the request itself is wrong) ends the ladder at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from gateway.contracts import Client, Upstream
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import (
    Target,
    Timeouts,
)

from .exchange import Accounting, Exchange

MAX_TURN_WAIT_S = 30.0


class Gate(Protocol):
    """A provider's own limits: wait for a turn, keep it while calling."""

    def turn(self, max_wait_s: float) -> AbstractAsyncContextManager[None]: ...


class LiveProvider(Protocol):
    """A live provider as a call sees it: who translates, over what, within which bounds."""

    @property
    def provider(self) -> Any: ...

    @property
    def upstream(self) -> Upstream: ...

    @property
    def timeouts(self) -> Timeouts: ...

    @property
    def gate(self) -> Gate | None: ...


class Attempts:
    """The ladder. ``redact`` takes out of an upstream's words what looks like a key."""

    def __init__(
        self,
        live: Mapping[str, LiveProvider],
        accounts: Accounting,
        exchange: Exchange,
        redact: Callable[[str], str],
        clock: Callable[[], float],
        max_attempts: int,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._exchange = exchange
        self._redact = redact
        self._clock = clock
        self._max_attempts = max_attempts

    async def send(self, journey: Journey, client: Client) -> None:
        """Answer the client. Raises CallError; the journey has the attempts either way."""
        assert journey.plan is not None
        failures: list[CallError] = []
        for target in journey.plan.targets[: self._max_attempts]:
            journey.begin(target)
            began_s = self._clock()
            try:
                await self._accounts.cover(journey, target)
                await self._try(journey, target, client)
            except CallError as error:
                error.message = self._redact(error.message)
                self._end(journey, error.outcome, began_s, error.message)
                failures.append(error)
                if client.committed or not error.outcome.retryable:
                    break
            except BaseException as error:
                outcome = Outcome.INTERNAL if isinstance(error, Exception) else Outcome.CLIENT_GONE
                self._end(journey, outcome, began_s, type(error).__name__)
                raise
            else:
                self._end(journey, Outcome.OK, began_s, "")
                return
        raise _summary(journey, failures)

    def _end(self, journey: Journey, outcome: Outcome, began_s: float, detail: str) -> None:
        self._exchange.close(journey, outcome)
        journey.end(outcome, self._clock() - began_s, detail)

    async def _try(self, journey: Journey, target: Target, client: Client) -> None:
        live = self._live[target.provider]
        timeouts = self._within_deadline(journey, live.timeouts)
        turn = live.gate.turn(min(MAX_TURN_WAIT_S, timeouts.total_s)) if live.gate else _NO_GATE
        async with turn:
            await self._exchange.run(journey, live.provider, live.upstream, timeouts, client)

    def _within_deadline(self, journey: Journey, timeouts: Timeouts) -> Timeouts:
        assert journey.plan is not None
        if journey.plan.deadline_s is None:
            return timeouts
        left_s = journey.call.received_s + journey.plan.deadline_s - self._clock()
        if left_s <= 0:
            raise CallError(
                Outcome.UPSTREAM_TIMEOUT,
                f"the task's deadline of {journey.plan.deadline_s:g} s has passed",
            )
        return timeouts._replace(total_s=min(timeouts.total_s, left_s))


_NO_GATE: AbstractAsyncContextManager[None] = nullcontext()


def _summary(journey: Journey, failures: list[CallError]) -> CallError:
    """The last failure, with what every other candidate said."""
    assert journey.plan is not None
    last = failures[-1]
    tried = [
        f"{attempt.target.name}: {error.message.rstrip('.')} ({error.outcome.label})"
        for attempt, error in zip(journey.attempts, failures, strict=True)
    ]
    waits_s = [e.retry_after_s for e in failures if e.retry_after_s is not None]
    left_out = f" Left out: {'; '.join(journey.plan.skipped)}." if journey.plan.skipped else ""
    return CallError(
        last.outcome,
        f"{'; '.join(tried)}.{left_out}",
        code=last.code,
        param=last.param,
        retry_after_s=min(waits_s) if waits_s else None,
        from_upstream=last.from_upstream,
    )
