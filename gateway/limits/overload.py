"""Sheds calls before there are more than the process can answer: as early as possible, fairly.

Too much shows in three ways. There are more calls in flight than ``max_in_flight``; calls wait at
the door for their round of the event loop; or the loop itself falls behind, however few calls that
takes, because each of them has much to say. Then the bound on calls in flight is lowered to what
there is, and below it, a tenth at a time, while the loop is late; it is raised slowly once all of
that is over.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import CallError, Outcome

from .in_flight import InFlight

LATE_LOOKS = 3
"""So many times in a row the loop must have been late: one long turn is not too much to do."""
CALM_LOOKS = 10
"""So many times in a row it must have been well in time before the bound is raised."""
TIGHT_LOOKS = 50
"""For so long after a call was shed, connections ask before they read another."""
ARRIVAL_LOOKS = 50
"""After this many to twice as many, a call that has not come in is no longer counted: it may be a
body that never ends."""
MAX_WAITING = 1024
"""Calls at the door that wait for their round: a quarter of a second's work."""
CALM_SHARE = 0.5
"""In time is below this share of the lag that counts as late; between the two nothing changes."""
STEP_DOWN, STEP_UP = 0.9, 1.1
ROOM_BESIDE = 1.25
"""What there is room for beside calls that last, as a multiple of these."""
MIN_BOUND = 16
"""With fewer, the loop would wait for upstreams and the ledger between two calls."""
FREE_SHARE = 0.9
"""Up to this share of the bound anybody may come in; the rest is for keys that have less than
their part."""
RETRY_AFTER_S = 1.0


class Arrivals:
    """Calls that were let in at their connections, and are not in flight yet."""

    def __init__(self) -> None:
        self.total = 0
        self._per_key: dict[str, int] = {}

    def of(self, key: str) -> int:
        """The key's."""
        return self._per_key.get(key, 0)

    def enter(self, key: str) -> None:
        self.total += 1
        self._per_key[key] = self._per_key.get(key, 0) + 1

    def leave(self, key: str) -> None:
        self.total -= 1
        self._per_key[key] -= 1
        if not self._per_key[key]:
            del self._per_key[key]


class Overload:
    """Whether another call may begin. ``max_lag_s`` may change at a reload; ``waiting`` tells how
    many calls wait at the door for their round."""

    def __init__(
        self, in_flight: InFlight, max_lag_s: float, waiting: Callable[[], int] = lambda: 0
    ) -> None:
        self.max_lag_s = max_lag_s
        self.is_tight = False
        """Calls were shed within the last second, or the bound is still lowered."""
        self.arrivals = Arrivals()
        """Where those are counted that are let in now."""
        self.shed = 0
        """Calls refused so far."""
        self._in_flight = in_flight
        self._bound: int | None = None
        self._late = self._calm = 0
        self._waiting = waiting
        self._earlier = Arrivals()
        self._looks = self._looks_since_shed = 0

    @property
    def bound(self) -> int:
        """Calls in flight that are allowed now."""
        most = self._in_flight.max_in_flight
        return most if self._bound is None else min(self._bound, most)

    def loop_was_late(self, lag_s: float, wait_s: float = 0.0) -> None:
        """What the loop's lag was at a look at it, some fifty times a second, and for how long the
        one has waited who is next at the door."""
        self._pass_time()
        if max(lag_s, wait_s) > self.max_lag_s:
            self._calm = 0
            self._late += 1
            if self._late >= LATE_LOOKS:
                self._late = 0
                # Who waits at the door was let in before; in flight there may be few enough.
                step = STEP_DOWN if lag_s > self.max_lag_s else 1.0
                self._bound = max(MIN_BOUND, int(min(self._in_flight.total, self.bound) * step))
            return
        self._late = 0
        if self._bound is not None:
            self._raise_bound(max(lag_s, wait_s))

    def _pass_time(self) -> None:
        self._looks = (self._looks + 1) % ARRIVAL_LOOKS
        if self._looks == 0 and self.is_tight:
            self._earlier, self.arrivals = self.arrivals, Arrivals()
        self._looks_since_shed += 1
        if self._looks_since_shed > TIGHT_LOOKS and self._bound is None:
            self.is_tight = False

    def _raise_bound(self, late_s: float) -> None:
        assert self._bound is not None
        self._calm = self._calm + 1 if late_s < self.max_lag_s * CALM_SHARE else 0
        if self._calm >= CALM_LOOKS:
            self._calm = 0
            raised = int(self._bound * STEP_UP) + 1
            if (total := self._in_flight.total) > self._bound:
                # It keeps up with all of these: streams that last need not be much to do.
                raised = int(total * ROOM_BESIDE) + 1
            self._bound = None if raised >= self._in_flight.max_in_flight else raised

    def refusal(self, key: str) -> CallError | None:
        """Before anything is read of a call: what to tell it, or None if it may begin."""
        if not self.sheds(key):
            return None
        total, bound = self._in_flight.total, self.bound
        return CallError(
            Outcome.OVERLOADED,
            f"the gateway is answering {total} calls and takes {bound} at the moment; "
            "try again in a second",
            retry_after_s=RETRY_AFTER_S,
        )

    def sheds(self, key: str) -> bool:
        """Whether another call of the key is refused; counted if it is."""
        total = self._in_flight.total + self.arrivals.total + self._earlier.total
        bound = self.bound
        if self._waiting() < MAX_WAITING and (
            total < bound * FREE_SHARE
            or (total < bound and self._has_less_than_its_part(key, bound))
        ):
            return False
        self.shed += 1
        self.is_tight = True
        self._looks_since_shed = 0
        return True

    def _has_less_than_its_part(self, key: str, bound: int) -> bool:
        in_flight = self._in_flight.of(key)
        mine = in_flight + self.arrivals.of(key) + self._earlier.of(key)
        callers = self._in_flight.callers + (in_flight == 0)
        return mine * callers < bound * FREE_SHARE
