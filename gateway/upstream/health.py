"""What is known of each target's health: its breaker, and how it failed last.

It outlives configurations: a reload keeps what it knows of the targets that stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from gateway.config_limits import BreakerConfig
from gateway.errors import Outcome
from gateway.schema import Target

from .breaker import Breaker, State, Status

Labels = tuple[str, ...]


class TargetHealth:
    """One target's breaker and last error."""

    __slots__ = ("_last_error", "breaker")

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self._last_error: tuple[Outcome, str, float] | None = None

    def failed(self, outcome: Outcome, message: str, now_s: float) -> None:
        """``message`` is redacted, and for operators."""
        self._last_error = outcome, message, now_s

    def last_error(self, now_s: float) -> dict[str, Any] | None:
        if self._last_error is None:
            return None
        outcome, message, at_s = self._last_error
        return {"outcome": outcome.label, "message": message, "ago_s": round(now_s - at_s, 1)}


class Health:
    """By target, as many as are configured. ``clock`` is monotonic, ``random`` in [0, 1)."""

    def __init__(
        self, settings: BreakerConfig, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._targets: dict[str, TargetHealth] = {}

    def of(self, target: Target) -> TargetHealth:
        """The same object for every public model that leads to the target."""
        name = target.name
        return self._targets.get(name) or self._meet(name)

    def _meet(self, name: str) -> TargetHealth:
        breaker = Breaker(self._settings, self._random, self._clock())
        return self._targets.setdefault(name, TargetHealth(breaker))

    def configure(self, settings: BreakerConfig, kept: Collection[str]) -> None:
        """A new configuration is in use. Targets that are not ``kept`` are gone, or lead
        somewhere else now: what was known of them counts no more."""
        self._settings = settings
        self._targets = {name: it for name, it in self._targets.items() if name in kept}
        for health in self._targets.values():
            health.breaker.configure(settings)

    def shown(self, name: str) -> dict[str, Any]:
        """A target's state, for clients: when it will be tried again, and why not before."""
        known = self._targets.get(name)
        if known is None:
            return {"state": State.CLOSED.label}
        return _shown(known.breaker.status(self._clock()))

    def details(self, name: str) -> dict[str, Any]:
        """The same for operators, with the counts behind it and the last error."""
        known = self._targets.get(name)
        if known is None:
            known = TargetHealth(Breaker(self._settings, self._random, self._clock()))
        now_s, breaker = self._clock(), known.breaker
        status, window = breaker.status(now_s), breaker.window
        return {
            **_shown(status),
            "window": {
                "seconds": self._settings.window_s,
                "calls": window.calls,
                "failures": window.failures,
                "slow": window.slow,
            },
            "failures_in_row": breaker.failures_in_row,
            "opened_times": breaker.transitions[State.OPEN],
            "last_error": known.last_error(now_s),
        }

    def states(self) -> dict[Labels, float]:
        """0 closed, 1 half-open, 2 open, by provider and model."""
        now_s = self._clock()
        return {
            _labels(name): health.breaker.status(now_s).state.number
            for name, health in self._targets.items()
        }

    def transitions(self) -> dict[Labels, float]:
        """How often each target came into each state."""
        return dict(self._transitions())

    def _transitions(self) -> Iterator[tuple[Labels, float]]:
        for name, health in self._targets.items():
            for state, count in health.breaker.transitions.items():
                yield (*_labels(name), state.label), count


def _labels(name: str) -> Labels:
    provider, _, model = name.partition("/")
    return provider, model


def _shown(status: Status) -> dict[str, Any]:
    if status.state is State.CLOSED:
        return {"state": status.state.label}
    return {
        "state": status.state.label,
        "for_s": round(status.for_s, 1),
        "retry_in_s": round(status.retry_in_s, 1),
        "why": status.why,
    }
