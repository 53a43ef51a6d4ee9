"""Sheds calls before there are more than the process can answer: as early as possible, fairly.

Too much shows in two ways. There are more calls in flight than ``max_in_flight``; or the event loop
falls behind, however few calls that takes, because each of them has much to say. Then the bound on
calls in flight is lowered below what there is, a tenth at a time, until the loop keeps up, and
raised slowly once it has for a while.
"""

from __future__ import annotations

from gateway.errors import CallError, Outcome

from .in_flight import InFlight

LATE_LOOKS = 3
"""So many times in a row the loop must have been late: one long turn is not too much to do."""
CALM_LOOKS = 25
"""So many times in a row it must have been well in time before the bound is raised."""
CALM_SHARE = 0.5
"""In time is below this share of the lag that counts as late; between the two nothing changes."""
STEP_DOWN, STEP_UP = 0.9, 1.1
ROOM_BESIDE = 1.25
"""What there is room for beside calls that last, as a multiple of these."""
MIN_BOUND = 8
FREE_SHARE = 0.9
"""Up to this share of the bound anybody may come in; the rest is for keys that have less than
their part."""
RETRY_AFTER_S = 1.0


class Overload:
    """Whether another call may begin. ``max_lag_s`` may change at a reload."""

    def __init__(self, in_flight: InFlight, max_lag_s: float) -> None:
        self.max_lag_s = max_lag_s
        self.shed = 0
        """Calls refused so far."""
        self._in_flight = in_flight
        self._bound: int | None = None
        self._late = self._calm = 0

    @property
    def bound(self) -> int:
        """Calls in flight that are allowed now."""
        most = self._in_flight.max_in_flight
        return most if self._bound is None else min(self._bound, most)

    def loop_was_late(self, lag_s: float) -> None:
        """What the loop's lag was at a look at it, some fifty times a second."""
        if lag_s > self.max_lag_s:
            self._calm = 0
            self._late += 1
            if self._late >= LATE_LOOKS:
                self._late = 0
                self._bound = max(
                    MIN_BOUND, int(min(self._in_flight.total, self.bound) * STEP_DOWN)
                )
            return
        self._late = 0
        if self._bound is None:
            return
        self._calm = self._calm + 1 if lag_s < self.max_lag_s * CALM_SHARE else 0
        if self._calm >= CALM_LOOKS:
            self._calm = 0
            raised = int(self._bound * STEP_UP) + 1
            if (total := self._in_flight.total) > self._bound:
                # It keeps up with all of these: streams that last need not be much to do.
                raised = int(total * ROOM_BESIDE) + 1
            self._bound = None if raised >= self._in_flight.max_in_flight else raised

    def refusal(self, key: str) -> CallError | None:
        """Before anything is read of a call: what to tell it, or None if it may begin."""
        total, bound = self._in_flight.total, self.bound
        if total < bound * FREE_SHARE:
            return None
        if total < bound and self._has_less_than_its_part(key, bound):
            return None
        self.shed += 1
        return CallError(
            Outcome.OVERLOADED,
            f"the gateway is answering {total} calls and takes {bound} at the moment; "
            "try again in a second",
            retry_after_s=RETRY_AFTER_S,
        )

    def _has_less_than_its_part(self, key: str, bound: int) -> bool:
        mine = self._in_flight.of(key)
        callers = self._in_flight.callers + (mine == 0)
        return mine * callers < bound * FREE_SHARE
