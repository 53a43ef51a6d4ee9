"""Bounds the calls that are being answered at once, in all and for each key.

Admission answers at once: a call that is one too many is refused with the time to come back.
"""

from __future__ import annotations

from gateway.errors import CallError, Outcome

RETRY_AFTER_S = 1.0


class InFlight:
    """Counts calls in flight; entries exist only for keys that have some."""

    def __init__(self, max_in_flight: int, max_per_key: int) -> None:
        self.max_in_flight = max_in_flight
        self.max_per_key = max_per_key
        self.total = 0
        self._per_key: dict[str, int] = {}

    @property
    def callers(self) -> int:
        """Keys that have calls in flight."""
        return len(self._per_key)

    def of(self, key: str) -> int:
        """The key's calls in flight."""
        return self._per_key.get(key, 0)

    def enter(self, key: str) -> None:
        """A place among the calls in flight. Raises CallError: OVERLOADED for the gateway's
        bound, RATE_LIMITED for the key's."""
        mine = self._per_key.get(key, 0)
        if self.total >= self.max_in_flight or mine >= self.max_per_key:
            raise self._refusal(mine)
        self.total += 1
        self._per_key[key] = mine + 1

    def leave(self, key: str) -> None:
        self.total -= 1
        self._per_key[key] -= 1
        if not self._per_key[key]:
            del self._per_key[key]

    def _refusal(self, mine: int) -> CallError:
        if self.total >= self.max_in_flight:
            return CallError(
                Outcome.OVERLOADED,
                f"the gateway is answering {self.total} calls, its bound; try again in a second",
                retry_after_s=RETRY_AFTER_S,
            )
        return CallError(
            Outcome.RATE_LIMITED,
            f"this key has {mine} calls in flight, its bound; wait for one of them to end",
            retry_after_s=RETRY_AFTER_S,
        )
