"""How late the event loop is: what a callback that is due now would have to wait."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

INTERVAL_S = 0.02
"""A stall is seen as long as it is, less this at most."""
KEPT = 3_000
"""A minute of looks."""


class LoopLag:
    """One timer, which measures how late it rings. ``clock`` must not stand still within a turn
    of the loop, as the loop's own does. ``told`` gets each lag in seconds."""

    def __init__(self, clock: Callable[[], float], told: Callable[[float], None]) -> None:
        self._clock = clock
        self._told = told
        self._lags = array("d", bytes(8 * KEPT))
        self._next = self._count = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """On the running loop."""
        self._due_s = self._clock() + INTERVAL_S
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._ring)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        lag_s = max(0.0, self._clock() - self._due_s)
        self._lags[self._next] = lag_s
        self._next = (self._next + 1) % KEPT
        self._count = min(self._count + 1, KEPT)
        self._told(lag_s)
        self.start()

    def quantiles(self) -> dict[tuple[str, ...], float]:
        """Of the last minute, by the label ``quantile``; 1 is the longest."""
        lags = sorted(self._lags[: self._count])
        if not lags:
            return {}
        last = len(lags) - 1
        return {
            (name,): lags[min(last, int(share * len(lags)))]
            for name, share in (("0.5", 0.5), ("0.999", 0.999), ("1", 1.0))
        }
