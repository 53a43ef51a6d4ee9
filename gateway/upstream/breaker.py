"""Leaves a target alone for a while after it has failed, and asks now and then whether it is back.

closed ──too many failures, or too slow──▶ open ──its time is over, one call──▶ half-open
   ▲                                        ▲                                     │
   └──────────────── it answers ────────────┼─────────────────────────────────────┤
                                            └── it fails, and is left alone longer ┘

Times are the monotonic clock's and come as arguments; nothing here waits or keeps a list of calls.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from gateway.config_limits import BreakerConfig

BUCKETS = 10
"""A window is so many counts of a part of it each; the oldest falls out as a whole."""
ORDINARY = 0
"""The ticket of a call that is no probe."""
JITTER = 0.25
"""By how much an open time may be shorter, so that several processes do not come back at once."""


class State(Enum):
    """``label``, and the number that metrics show."""

    label: str
    number: int

    CLOSED = ("closed", 0)
    HALF_OPEN = ("half_open", 1)
    OPEN = ("open", 2)

    def __init__(self, label: str, number: int) -> None:
        self.label = label
        self.number = number


class Window:
    """Counts of the last ``window_s`` seconds, by buckets: calls, failures, slow ones."""

    __slots__ = ("_buckets", "_per_second", "_slot", "calls", "failures", "slow")

    def __init__(self, window_s: float) -> None:
        self._per_second = BUCKETS / window_s
        self._slot = -1
        self.clear()

    def clear(self) -> None:
        self.calls = self.failures = self.slow = 0
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]

    def add(self, now_s: float, failed: bool, slow: bool) -> None:
        slot = int(now_s * self._per_second)
        if slot != self._slot:
            self._forget(slot)
        bucket = self._buckets[slot % BUCKETS]
        bucket[0] += 1
        self.calls += 1
        if failed:
            bucket[1] += 1
            self.failures += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def look(self, now_s: float) -> None:
        """Drop what is older than the window."""
        slot = int(now_s * self._per_second)
        if slot != self._slot:
            self._forget(slot)

    def _forget(self, slot: int) -> None:
        passed = slot - self._slot
        self._slot = slot
        for step in range(min(passed, BUCKETS)):
            bucket = self._buckets[(slot - step) % BUCKETS]
            self.calls -= bucket[0]
            self.failures -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)


class Status(NamedTuple):
    """What a breaker shows of itself. Times are seconds from now, back or ahead."""

    state: State
    for_s: float
    """How long it has been in this state."""
    retry_in_s: float
    """When the next call may go there; 0 for at once."""
    why: str
    """Empty while it is closed."""


class Breaker:
    """One target's. ``random`` is in [0, 1)."""

    __slots__ = (
        "_opened_s", "_openings", "_probe", "_random", "_retry_at_s", "_settings",
        "_since_s", "_state", "failures_in_row", "transitions", "why", "window",
    )  # fmt: skip

    def __init__(
        self, settings: BreakerConfig, random: Callable[[], float], now_s: float = 0.0
    ) -> None:
        self._settings = settings
        self._random = random
        self._state = State.CLOSED
        self._since_s = now_s
        self._opened_s = 0.0
        self._retry_at_s = 0.0
        self._openings = 0
        self._probe = ORDINARY
        self.failures_in_row = 0
        self.why = ""
        self.window = Window(settings.window_s)
        self.transitions = dict.fromkeys(State, 0)
        """How often it has come into each state."""

    @property
    def is_closed(self) -> bool:
        return self._state is State.CLOSED

    @property
    def slow_call_s(self) -> float:
        return self._settings.slow_call_s

    def configure(self, settings: BreakerConfig) -> None:
        """What it goes by from now on. Its state stays; counts of another window do not."""
        if settings.window_s != self._settings.window_s:
            self.window = Window(settings.window_s)
        self._settings = settings

    def enter(self, now_s: float) -> int | None:
        """A ticket for a call that is about to be sent; None while the target is left alone.

        A probe that is silent for ``max_open_s`` does not keep others out any longer: an upstream
        that swallows requests would otherwise stay out for as long as its timeout.
        """
        if self._state is State.CLOSED:
            return ORDINARY
        if now_s < self._retry_at_s:
            return None
        self._probe += 1
        self._retry_at_s = now_s + self._settings.max_open_s
        if self._state is State.OPEN:
            self._become(State.HALF_OPEN, now_s)
        return self._probe

    def leave(
        self, ticket: int, began_s: float, now_s: float, healthy: bool | None, slow: bool = False
    ) -> None:
        """The call is over. ``healthy``: what it says of the target, None for nothing."""
        if self._state is not State.CLOSED:
            self._learn(ticket, began_s, now_s, healthy)
        elif healthy:
            self.failures_in_row = 0
            self.window.add(now_s, False, slow)
            if slow and (why := self._too_slow()):
                self._open(now_s, why)
        elif healthy is not None:
            self.failures_in_row += 1
            self.window.add(now_s, True, slow)
            if why := self._too_many():
                self._open(now_s, why)

    def status(self, now_s: float) -> Status:
        self.window.look(now_s)
        if self._state is State.CLOSED:
            return Status(State.CLOSED, now_s - self._since_s, 0.0, "")
        retry_in_s = max(0.0, self._retry_at_s - now_s)
        return Status(self._state, now_s - self._since_s, retry_in_s, self.why)

    def _learn(self, ticket: int, began_s: float, now_s: float, healthy: bool | None) -> None:
        """While it is not closed: from the probe, and from calls sent all the same, if they went
        well. What was sent before it opened is old news."""
        if healthy:
            if began_s >= self._opened_s:
                self._close(now_s)
        elif ticket != ORDINARY and ticket == self._probe and self._state is State.HALF_OPEN:
            if healthy is None:
                self._retry_at_s = now_s
            else:
                self._open(now_s, self.why)

    def _too_many(self) -> str:
        settings, window = self._settings, self.window
        if self.failures_in_row >= settings.consecutive_failures:
            return f"{self.failures_in_row} failures in a row"
        if (
            window.calls >= settings.min_calls
            and window.failures >= settings.error_share * window.calls
        ):
            return f"{window.failures} of {window.calls} calls failed in {settings.window_s:g} s"
        return self._too_slow()

    def _too_slow(self) -> str:
        settings, window = self._settings, self.window
        if window.calls >= settings.min_calls and window.slow >= settings.slow_share * window.calls:
            return (
                f"{window.slow} of {window.calls} calls took over {settings.slow_call_s:g} s to "
                "begin"
            )
        return ""

    def _open(self, now_s: float, why: str) -> None:
        settings = self._settings
        open_s = min(settings.open_s * 2.0**self._openings, settings.max_open_s)
        self._openings = min(self._openings + 1, 30)
        self._retry_at_s = now_s + open_s * (1 - JITTER * self._random())
        self._opened_s = now_s
        self.why = why
        self._become(State.OPEN, now_s)

    def _close(self, now_s: float) -> None:
        self._openings = self.failures_in_row = 0
        self.why = ""
        self.window.clear()
        self._become(State.CLOSED, now_s)

    def _become(self, state: State, now_s: float) -> None:
        self._state = state
        self._since_s = now_s
        self.transitions[state] += 1
