"""Spreads calls that come at once over several rounds of the event loop.

A thousand calls that begin in one round would make it a round of a third of a second, in which
nobody else is answered: no health check, and none of those who are to be told to come back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MAX_AT_ONCE = 256
"""So many may begin before a round has to pass. Fewer would be dearer for a gateway that is just
busy, because a round has a price of its own. If more than that wait, they are a crowd."""
MAX_IN_A_ROUND = 16
"""So many of a crowd. A call costs some 200 microseconds, most of them before it is sent."""


class Doorstep:
    """Where calls wait for the next round. ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = MAX_AT_ONCE
        self._is_crowd = False
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def longest_wait_s(self) -> float:
        """How long the one has waited that is next."""
        return self._clock() - self._waiting[0][0] if self._waiting else 0.0

    def may_begin(self) -> bool:
        """Whether a call may begin in this round, and counts it if so; else it has to wait."""
        if not self._left:
            return False
        self._begin_round(self._left - 1)
        return True

    async def wait(self) -> None:
        """For one's place in a round, first come first served."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((self._clock(), place))
        await place

    def _next_round(self) -> None:
        self._is_crowd = len(self._waiting) > (0 if self._is_crowd else MAX_AT_ONCE)
        most = MAX_IN_A_ROUND if self._is_crowd else MAX_AT_ONCE
        begun = 0
        while self._waiting and begun < most:
            _, place = self._waiting.popleft()
            if not place.done():  # its client may have left
                place.set_result(None)
                begun += 1
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next_round)
        else:
            self._begin_round(most - begun)

    def _begin_round(self, left: int) -> None:
        self._left = left
        if not left:
            asyncio.get_running_loop().call_soon(self._next_round)
