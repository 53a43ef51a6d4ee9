"""What the line asks of this room: is the call one of those whose answers are kept or shared?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.config_limits import CacheConfig
from gateway.contracts import Client
from gateway.journey import Journey
from gateway.schema import Call

from .cache import Cache, CacheTwins, Keeper, Send
from .idempotency import Claims, Idempotency, IdempotencyTwins
from .keys import is_deterministic
from .outliving import Outliving
from .recording import Recorder, Space
from .twins import Twins

Go = Callable[[Client, Send], Awaitable[None]]
"""The rest of the line up to where it is sent, and what comes after."""


@dataclass(frozen=True)
class Archive:
    """What outlives a configuration: kept answers, and calls under way."""

    keeper: Keeper
    claims: Claims
    cache_twins: CacheTwins = field(default_factory=Twins)
    idempotency_twins: IdempotencyTwins = field(default_factory=Twins)
    outliving: Outliving = field(default_factory=Outliving)
    space: Space = field(default_factory=Space)


class Answers:
    """Implements the pipeline's ``Answers`` for one configuration."""

    def __init__(
        self,
        config: CacheConfig,
        archive: Archive,
        tasks_fix_answers: bool,
        wall_clock: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``tasks_fix_answers``: some task's parameters make its calls deterministic."""
        self._mode = config.mode
        self._always = config.mode == "deterministic"
        self._tasks_fix_answers = tasks_fix_answers
        self._archive = archive
        self._wall_clock = wall_clock
        self._cache = Cache(config, archive.keeper, archive.cache_twins, wall_clock, clock)
        self._idempotency = Idempotency(
            archive.claims, archive.idempotency_twins, wall_clock, clock
        )

    def concern(self, call: Call) -> bool:
        """Whether its answer may be a kept one, or be wanted by others too."""
        return (
            call.idempotency_key is not None
            or (call.cache is True and self._mode != "off")
            or (self._always and (self._tasks_fix_answers or is_deterministic(call.body)))
        )

    async def give(self, client: Client, go: Go, send: Send) -> None:
        """Answer a call that concerns this room; ``go`` takes it down the line, up to where
        ``send`` would hold money and send it. Raises CallError."""
        recorder = Recorder(client, self._archive.space, self._wall_clock)
        await self._archive.outliving.run(
            lambda recorder: self._go(recorder, go, partial(self._once, send)), recorder
        )

    async def _go(self, recorder: Recorder, go: Go, once: Any) -> None:
        try:
            await go(recorder, once)
        finally:
            recorder.forget()

    async def _once(self, send: Send, journey: Journey, recorder: Any) -> None:
        """In place of ``send``: not at all if there is an answer already."""
        if journey.call.idempotency_key is None:
            await self._cached(send, journey, recorder)
        else:
            await self._idempotency.answer(journey, recorder, partial(self._cached, send))

    async def _cached(self, send: Send, journey: Journey, recorder: Recorder) -> None:
        if self._wants_kept(journey):
            await self._cache.answer(journey, recorder, send)
        else:
            await send(journey, recorder)

    def _wants_kept(self, journey: Journey) -> bool:
        asked, plan = journey.call.cache, journey.plan
        assert plan is not None
        if self._mode == "off" or asked is False:
            return False
        return asked is True or (self._always and is_deterministic(plan.body))
