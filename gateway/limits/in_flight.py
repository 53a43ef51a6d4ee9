"""Bounds the calls that are being answered at once, in all and for each key.

Admission answers at once: a call that is one too many is refused with the time to come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import CallError, Outcome
from gateway.schema import Call

RETRY_AFTER_S = 1.0


class InFlight:
    """Counts calls in flight; entries exist only for keys that have some."""

    def __init__(self, max_in_flight: int, max_per_key: int) -> None:
        self.max_in_flight = max_in_flight
        self.max_per_key = max_per_key
        self.total = 0
        self._per_key: Counter[str] = Counter()

    @contextmanager
    def admit(self, call: Call) -> Iterator[None]:
        """Raises CallError: OVERLOADED for the gateway's bound, RATE_LIMITED for the key's."""
        key = call.caller.key_id
        self._check(key)
        self.total += 1
        self._per_key[key] += 1
        try:
            yield
        finally:
            self.total -= 1
            self._per_key[key] -= 1
            if not self._per_key[key]:
                del self._per_key[key]

    def _check(self, key: str) -> None:
        if self.total >= self.max_in_flight:
            raise CallError(
                Outcome.OVERLOADED,
                f"the gateway is answering {self.total} calls, its bound; try again in a second",
                retry_after_s=RETRY_AFTER_S,
            )
        if self._per_key[key] >= self.max_per_key:
            raise CallError(
                Outcome.RATE_LIMITED,
                f"this key has {self._per_key[key]} calls in flight, its bound; "
                "wait for one of them to end",
                retry_after_s=RETRY_AFTER_S,
            )
