"""Answers kept for whoever asks the same again, and asked for once where many ask at the same time.

Exact: the same tenant, route and body. Only complete answers that ended as they should are kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.config_limits import CacheConfig
from gateway.contracts import Client
from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.kept import Kept

from .keys import answer_key
from .recording import Recorder
from .replay import replay
from .twins import Twin, Twins

Send = Callable[[Journey, Client], Awaitable[None]]

WHOLE = frozenset({"stop", "tool_calls", "function_call"})
"""Finish reasons of answers that are kept: nothing was cut, refused or given up."""
MAX_WAIT_S = 600.0
"""For a twin's answer, where no task sets a deadline."""
LOOP_BYTES = 256 * 1024
"""The keys of larger bodies are made in a worker thread."""
_REASONS = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')


class Keeper(Protocol):
    """Where answers are kept: in this process, or in Redis. It never fails; it may forget."""

    async def get(self, key: str) -> Kept | None: ...

    async def put(self, key: str, kept: Kept, ttl_s: float) -> None: ...


CacheTwins = Twins[Kept | Outcome]
"""How a leader ends: with an answer; with ``OK`` if that is not to be kept, so that each has to
send its own; or with another outcome, whereupon the next one leads."""


class Cache:
    """One configuration's rules, on a keeper that outlives it."""

    def __init__(
        self,
        config: CacheConfig,
        keeper: Keeper,
        twins: CacheTwins,
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._keeper = keeper
        self._twins = twins
        self._wall_clock = wall_clock
        self._clock = clock

    async def answer(self, journey: Journey, recorder: Recorder, send: Send) -> None:
        """Answer with what is kept, with what a twin is told, or by sending. Raises CallError."""
        key = await _key_of(journey)
        while True:
            twin = self._twins.find(key)
            if twin is None:
                await self._lead(key, journey, recorder, send)
                return
            told = await self._wait(twin, journey)
            if isinstance(told, Kept):
                await replay(told, "twin", journey, recorder, self._wall_clock())
                return
            if told is Outcome.OK:
                journey.missed = True
                await send(journey, recorder)
                return

    async def _lead(self, key: str, journey: Journey, recorder: Recorder, send: Send) -> None:
        twin = self._twins.lead(key)
        end: Kept | Outcome = Outcome.INTERNAL
        try:
            kept = await self._keeper.get(key)
            if kept is not None:
                end = kept
                await replay(kept, "cache", journey, recorder, self._wall_clock())
                return
            end = await self._ask(key, twin, journey, recorder, send)
        finally:
            self._twins.end(key, twin, end)

    async def _ask(
        self, key: str, twin: Twin[Kept | Outcome], journey: Journey, recorder: Recorder, send: Send
    ) -> Kept | Outcome:
        """Send, and keep the answer. As long as others wait for it, its client may leave."""
        journey.missed = True
        recorder.record(self._config.max_answer_bytes)
        before = recorder.goes_on
        recorder.goes_on = lambda: before() or twin.is_wanted
        twin.deserted = recorder.reconsider

        def let_the_others_go() -> None:
            self._twins.end(key, twin, Outcome.OK)
            recorder.reconsider()

        recorder.when_too_large = let_the_others_go
        await send(journey, recorder)
        kept = recorder.kept
        if kept is None or not self._may_be_kept(journey, kept):
            return Outcome.OK
        await self._keeper.put(key, kept, self._config.ttl_s)
        return kept

    def _may_be_kept(self, journey: Journey, kept: Kept) -> bool:
        """Never a stand-in's, never one that was cut short, by whomever, and never one that is
        not in all its parts what was asked for."""
        if journey.flags:
            return False
        if kept.target.rehearsal or len(kept.body) > self._config.max_answer_bytes:
            return False
        if journey.call.endpoint != "chat":
            return True
        choices = journey.call.body.get("n") or 1
        if choices > 1:
            reasons = [reason.decode() for reason in _REASONS.findall(kept.body)]
            return len(reasons) >= choices and WHOLE.issuperset(reasons)
        return kept.finish_reason in WHOLE

    async def _wait(self, twin: Twin[Kept | Outcome], journey: Journey) -> Kept | Outcome:
        wait_s = wait_limit_s(journey, self._clock())
        try:
            return await twin.wait(wait_s)
        except TimeoutError:
            raise CallError(
                Outcome.UPSTREAM_TIMEOUT,
                f"the same request of another call was not answered within {wait_s:.0f} s, which "
                "was all the time that this one had; nothing was sent for it",
                from_upstream=False,
            ) from None


def wait_limit_s(journey: Journey, now_s: float) -> float:
    """How long a call may wait for another one's answer; ``now_s`` on the monotonic clock."""
    assert journey.plan is not None
    if journey.plan.deadline_s is None:
        return MAX_WAIT_S
    return max(0.0, journey.call.received_s + journey.plan.deadline_s - now_s)


async def _key_of(journey: Journey) -> str:
    assert journey.plan is not None
    if journey.call.body_bytes > LOOP_BYTES:
        return await asyncio.to_thread(answer_key, journey.call, journey.plan)
    return answer_key(journey.call, journey.plan)
