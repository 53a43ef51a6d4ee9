"""How fast targets have been lately: a moving average of the time to first token."""

from __future__ import annotations

from gateway.schema import CallRecord, Target

SMOOTHING = 0.2
"""Weight of the newest measurement."""


class Latency:
    """An observer that remembers; bounded by the number of configured targets."""

    def __init__(self) -> None:
        self._first_token_s: dict[str, float] = {}

    def __call__(self, record: CallRecord) -> None:
        target, measured_s = record.target, record.time_to_first_token_s
        if target is None or measured_s is None:
            return
        known_s = self._first_token_s.get(target.name, measured_s)
        self._first_token_s[target.name] = known_s + SMOOTHING * (measured_s - known_s)

    def first_token_s(self, target: Target) -> float:
        """0.0 while nothing is known."""
        return self._first_token_s.get(target.name, 0.0)
