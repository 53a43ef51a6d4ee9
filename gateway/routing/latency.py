"""How fast targets have been lately: a moving average of the time to first token."""

from __future__ import annotations

from gateway.schema import CallRecord, Target

SMOOTHING = 0.2
"""Weight of the newest measurement."""
FAILURE_S = 30.0
"""What a failed attempt counts as: otherwise a dead target would seem unmeasured, and be tried."""


class Latency:
    """An observer that remembers; bounded by the number of configured targets."""

    def __init__(self) -> None:
        self._first_token_s: dict[str, float] = {}

    def __call__(self, record: CallRecord) -> None:
        for attempt in record.attempts:
            if attempt.outcome.from_upstream:
                self._measured(attempt.target, FAILURE_S)
        if record.parts is not None:
            return  # its first word is that of a part that was checked as a whole
        in_parts = record.parts is not None  # the first token waits for a whole part
        if record.target and record.time_to_first_token_s is not None and not in_parts:
            self._measured(record.target, record.time_to_first_token_s)

    def _measured(self, target: Target, first_token_s: float) -> None:
        known_s = self._first_token_s.get(target.name, first_token_s)
        self._first_token_s[target.name] = known_s + SMOOTHING * (first_token_s - known_s)

    def first_token_s(self, target: Target) -> float:
        """0.0 while nothing is known."""
        return self._first_token_s.get(target.name, 0.0)
