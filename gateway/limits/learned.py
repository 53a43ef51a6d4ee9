"""What a provider has said of its limits for one target: in its answers' heads, and by 429."""

from __future__ import annotations

from typing import NamedTuple

from gateway.schema import Allowance, Allowances

MAX_PARK_S = 300.0
"""However long a provider asks for: then one call asks again."""
FIRST_PARK_S = 1.0
"""After a 429 that names no time; doubled with each one that follows."""
MAX_STRIKES = 9


class Window(NamedTuple):
    """What was left of a limit at a moment of the monotonic clock, and when it is whole again.

    In between it fills evenly, as the buckets of those who send such headers do. One who lets go
    of everything at once, at the reset, answers 429 meanwhile, and that parks the target.
    """

    limit: int
    remaining: int
    at_s: float
    until_s: float

    def room_at_s(self, used: int, wanted: int) -> float:
        """When there is room for what is wanted beside what is used."""
        missing = used + wanted - self.remaining
        if missing <= 0:
            return self.at_s
        fills = self.limit - self.remaining
        span_s = self.until_s - self.at_s
        return self.at_s + span_s * missing / fills if missing < fills else self.until_s


_NO_WINDOW = Window(0, 0, 0.0, 0.0)
_TENTH = 10
"""Of the limit: the tokens that are waited for once none is left. A call wants more than one."""


class Learned:
    """What is known of one target at one account. It only ever slows calls down."""

    __slots__ = ("_requests", "_strikes", "_tokens", "parked_until_s", "slows")

    def __init__(self) -> None:
        self.parked_until_s = 0.0
        self.slows = False
        """Anything was ever said."""
        self._strikes = 0
        self._requests = self._tokens = _NO_WINDOW

    @property
    def counts_tokens(self) -> bool:
        """The provider has told how many tokens are left."""
        return self._tokens.until_s > 0

    def told(self, allowances: Allowances, now_s: float) -> None:
        """The head of an answer that came just now."""
        self.slows = True
        if allowances.requests is not None:
            self._requests = _window(allowances.requests, now_s)
        if allowances.tokens is not None:
            self._tokens = _window(allowances.tokens, now_s)

    def park(self, retry_after_s: float | None, now_s: float, chance: float) -> float:
        """A 429: leave the target alone for as long as it says, or as the windows say, or for a
        time that grows with each 429 in a row. ``chance`` is in [0, 1). Returns the seconds."""
        asked_s = retry_after_s or self._reset_s(now_s)
        if not asked_s:
            asked_s = FIRST_PARK_S * 2**self._strikes * (0.5 + chance / 2)
            self._strikes = min(self._strikes + 1, MAX_STRIKES)
        park_s = min(asked_s, MAX_PARK_S)
        self.slows = True
        self.parked_until_s = max(self.parked_until_s, now_s + park_s)
        return park_s

    def says_anything(self, now_s: float) -> bool:
        """Any of it is still in force."""
        latest_s = max(self.parked_until_s, self._requests.until_s, self._tokens.until_s)
        return now_s < latest_s

    def went_well(self) -> None:
        """A call was answered."""
        self._strikes = 0

    def closed_s(self, now_s: float) -> float:
        """How long nothing goes for certain; 0 if something may."""
        until_s = self.parked_until_s
        for window, wanted in self._windows:
            if window.remaining <= 0:
                until_s = max(until_s, window.room_at_s(0, wanted))
        return max(0.0, until_s - now_s)

    @property
    def _windows(self) -> tuple[tuple[Window, int], tuple[Window, int]]:
        """With what the next call wants of them."""
        return (self._requests, 1), (self._tokens, self._tokens.limit // _TENTH + 1)

    def _reset_s(self, now_s: float) -> float:
        """How long until each limit of which nothing was left is whole again, or a park ends."""
        windows = (self._requests, self._tokens)
        resets_s = [window.until_s for window in windows if window.remaining <= 0]
        return max(0.0, max([self.parked_until_s, *resets_s]) - now_s)

    def full_until_s(self, under_way: int, reserved_tokens: int, now_s: float) -> float:
        """When there is room beside what the calls under way may use; 0.0 if there is now. Each
        of them that ends says anew what is left."""
        full_until_s = 0.0
        used = under_way, reserved_tokens
        for (window, wanted), now_used in zip(self._windows, used, strict=True):
            if now_s < window.until_s and now_used >= window.remaining:
                full_until_s = max(full_until_s, window.room_at_s(now_used, wanted))
        return full_until_s if full_until_s > now_s else 0.0


def _window(allowance: Allowance, now_s: float) -> Window:
    until_s = now_s + min(allowance.reset_s, MAX_PARK_S)
    return Window(allowance.limit, allowance.remaining, now_s, until_s)
