"""Asks for one part: in its turn, within the whole call's deadline, and again where a limit says
when to come back.

The ladder below has retried and failed over by itself, so no other error is tried again here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.contracts import Client
from gateway.errors import CallError, Fate, Outcome
from gateway.journey import Journey
from gateway.schema import Part

from .places import Places

MAX_WAITS = {Outcome.UPSTREAM_RATE_LIMITED: 2, Outcome.LEDGER_UNAVAILABLE: 10}
"""How often one request waits for those who say when to come back. For limits of the gateway's own
it waits as long as there is time."""
UNNAMED_PAUSE_S = 1.0
"""Where nobody says when limits can be asked again."""
MIN_PAUSE_S = 0.05
_OURS = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.LIMITS_UNAVAILABLE})

Send = Callable[[Journey, Client], Awaitable[None]]


class WholeCallFails(Exception):
    """There is no use in any further part; ``error`` is for the client."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error.message)
        self.error = error


class Asking:
    """One call's requests for its parts. Whatever becomes of one, the call's journey has it."""

    def __init__(
        self,
        journey: Journey,
        send: Send,
        places: Places,
        deadline_s: float,
        clock: Callable[[], float],
    ) -> None:
        """``deadline_s`` is of the whole, from its arrival. ``clock`` is monotonic."""
        self._journey = journey
        self._send = send
        self._places = places
        self._span_s = deadline_s
        self._until_s = journey.call.received_s + deadline_s
        self._clock = clock
        self._under_way = 0

    @property
    def now_s(self) -> float:
        return self._clock()

    async def ask(
        self, part: Part, client: Client, ended: Callable[[Journey], None] | None = None
    ) -> Journey:
        """Send it, and wait for the end of its answer; ``ended`` is told of each try's journey.

        Raises CallError; WholeCallFails where a limit refuses the very first request of the call.
        """
        waits = 0
        while True:
            try:
                return await self._once(part, client, ended)
            except CallError as error:
                if client.committed:
                    raise
                if error.outcome in _OURS:
                    self._check_begun(error)
                elif error.retry_after_s is None or waits >= MAX_WAITS.get(error.outcome, 0):
                    raise
                else:
                    waits += 1
                await self._wait(error)

    async def _once(
        self, part: Part, client: Client, ended: Callable[[Journey], None] | None
    ) -> Journey:
        left_s = self._until_s - self._clock()
        async with self._places.one_of(self._journey.call.id, left_s):
            journey = self._begun(part)
            self._under_way += 1
            try:
                await self._send(journey, client)
            finally:
                self._under_way -= 1
                self._journey.take_part(journey)
                if ended is not None and journey.attempts:
                    ended(journey)
        return journey

    def _begun(self, part: Part) -> Journey:
        """Its own deadline counts from now, and ends no later than the whole's."""
        now_s = self._clock()
        left_s = self._until_s - now_s
        if left_s <= 0:
            raise self._late()
        own_s = part.plan.deadline_s
        plan = part.plan._replace(deadline_s=left_s if own_s is None else min(own_s, left_s))
        return Journey(part.call._replace(received_s=now_s), plan, hold=self._journey.hold)

    def _check_begun(self, error: CallError) -> None:
        """A call that a limit refuses before anything was sent for it is refused as any other."""
        sent = any(a.outcome.fate is not Fate.NEVER_SENT for a in self._journey.attempts)
        if not sent and not self._under_way:
            raise WholeCallFails(error)

    async def _wait(self, error: CallError) -> None:
        pause_s = error.retry_after_s
        if pause_s is None:
            pause_s = UNNAMED_PAUSE_S
        if self._clock() + pause_s >= self._until_s:
            raise error
        await asyncio.sleep(max(pause_s, MIN_PAUSE_S))

    def _late(self) -> CallError:
        return CallError(
            Outcome.UPSTREAM_TIMEOUT,
            f"the {self._span_s:g} s that all parts together may take had passed before this one "
            "was sent",
            from_upstream=False,
        )
