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
    """What is left until a moment of the monotonic clock."""

    remaining: int
    until_s: float


_NO_WINDOW = Window(0, 0.0)


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
        asked_s = retry_after_s or self.closed_s(now_s)
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
        for window in (self._requests, self._tokens):
            if window.remaining <= 0 and window.until_s > until_s:
                until_s = window.until_s
        return max(0.0, until_s - now_s)

    def full_until_s(self, under_way: int, reserved_tokens: int, now_s: float) -> float:
        """When the last window resets whose rest the calls under way may use up; 0.0 if more may
        be sent. Each of them that ends says anew what is left."""
        full_until_s = 0.0
        for window, used in ((self._requests, under_way), (self._tokens, reserved_tokens)):
            if now_s < window.until_s and used >= window.remaining:
                full_until_s = max(full_until_s, window.until_s)
        return full_until_s


def _window(allowance: Allowance, now_s: float) -> Window:
    return Window(allowance.remaining, now_s + min(allowance.reset_s, MAX_PARK_S))
