"""A deadline that moves all the time, for the price of a timer that hardly ever does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

_GRAIN_S = 0.002
"""Loops round timers to a millisecond and may fire that much early."""


class Alarm:
    """Calls ``ring`` once the deadline has passed.

    A deadline that moves later is only noted, and the timer looks at the note when it fires: a
    busy connection sets no timer per request.
    """

    __slots__ = ("_loop", "_ring", "_timer", "_timer_at_s", "deadline_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.deadline_s = inf
        """In the loop's time; infinite while nothing is due."""
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = inf

    def set(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        if deadline_s < self._timer_at_s:
            self.cancel()
            self._start()

    def clear(self) -> None:
        """Nothing is due; a timer that runs may run on."""
        self.deadline_s = inf

    def cancel(self) -> None:
        """Stop the timer for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer_at_s = self.deadline_s
        self._timer = self._loop.call_at(self.deadline_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._timer_at_s = inf
        if self.deadline_s - self._loop.time() <= _GRAIN_S:
            self._ring()
        elif self.deadline_s < inf:
            self._start()
