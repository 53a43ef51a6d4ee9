"""How much may be tried again: a budget for the whole process, pauses, and which errors stop it.

A retry is paid for by whoever is in trouble already. So further attempts are a share of calls, not
of failures: where everything fails, the upstreams see little more than without any retries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.config_limits import RetryConfig
from gateway.errors import CallError, Outcome, Retry
from gateway.schema import Target

ADVANCE = 10.0
"""Further attempts that a process may make before it has had a call; the first calls pay them."""
MAX_BALANCE = 500.0
"""What quiet hours save up: enough for the calls that are under way when a busy target dies."""
IDLE_S = 10.0
"""One further attempt is allowed whatever the balance if there was none for so long, so that a
gateway with a call now and then gets past a dead target."""

Failure = tuple[Target, CallError]


class RetryBudget:
    """Counts calls and what was tried beyond one attempt for each. Kept across reloads."""

    __slots__ = ("_balance", "_last_s", "_paid", "_share", "calls", "denied", "taken")

    def __init__(self, share: float) -> None:
        """``share``: further attempts for each call."""
        self.calls = 0
        """Whoever sends a call counts it here."""
        self.taken: dict[str, int] = {}
        """Further attempts by reason: the outcome that led to one, or ``hedge``."""
        self.denied = 0
        self._balance = ADVANCE
        self._last_s = float("-inf")
        self._share = share
        self._paid = int(ADVANCE / share) if share else 0

    def configure(self, share: float) -> None:
        self._earn()
        self._share = share

    @property
    def balance(self) -> float:
        """Further attempts that may be made now."""
        self._earn()
        return self._balance if self._share else 0.0

    def take(self, now_s: float, reason: str) -> bool:
        """One further attempt, if there is one."""
        if not self._may(now_s):
            self.denied += 1
            return False
        self._balance = max(0.0, self._balance - 1)
        self._last_s = now_s
        self.taken[reason] = self.taken.get(reason, 0) + 1
        return True

    def _may(self, now_s: float) -> bool:
        return bool(self._share) and (self.balance >= 1 or now_s - self._last_s >= IDLE_S)

    def _earn(self) -> None:
        """Calls that have come since the last look; the first ones have paid for the advance."""
        if self.calls > self._paid:
            earned = (self.calls - self._paid) * self._share
            self._balance = min(MAX_BALANCE, self._balance + earned)
            self._paid = self.calls


def pause_s(settings: RetryConfig, repeats: int, random: Callable[[], float]) -> float:
    """How long to wait before the same target is tried again: full jitter, doubled each time.

    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter (2026-11-23)
    """
    ceiling_s = min(settings.max_backoff_s, settings.backoff_s * 2.0 ** min(repeats, 30))
    return random() * ceiling_s


def may_go_on(error: CallError, settings: RetryConfig) -> bool:
    """Whether anything else may be tried after this error."""
    if error.outcome is Outcome.CONTENT_POLICY:
        return settings.content_policy
    return error.outcome.retryable


_OF_THE_REQUEST = (Outcome.CONTEXT_LENGTH_EXCEEDED, Outcome.CONTENT_POLICY, Outcome.UNSUPPORTED)


def why_not(target: Target, failures: Iterable[Failure]) -> str:
    """Why another target would fail in the same way as those that were tried; empty if not.

    A stand-in answers for a provider that failed, never for one that said no.
    """
    for tried, error in failures:
        outcome = error.outcome
        if outcome in _OF_THE_REQUEST and target.rehearsal and not tried.rehearsal:
            return f"{target.name} only stands in for targets that fail"
        if outcome is Outcome.CONTENT_POLICY and target.provider == tried.provider:
            return f"{target.name} is of the provider that refused the content"
        if outcome is Outcome.CONTEXT_LENGTH_EXCEEDED and not _takes_more(target, tried):
            return f"{target.name} takes no longer texts than {tried.name}"
    return ""


def _takes_more(target: Target, tried: Target) -> bool:
    if tried.context_tokens is None:
        return target.public_model != tried.public_model
    return target.context_tokens is None or target.context_tokens > tried.context_tokens


def needed_wait_s(error: CallError) -> float | None:
    """What the same target has to be given before it is tried again; None if nobody knows."""
    if error.outcome is Outcome.UPSTREAM_RATE_LIMITED:
        return error.retry_after_s
    return error.retry_after_s or 0.0


def soonest(failures: Sequence[Failure], settings: RetryConfig) -> Iterable[tuple[float, Target]]:
    """Targets that may be tried a second time, by how long they have to be left alone before: the
    last word of each counts."""
    last = {target.name: (target, error) for target, error in failures}
    ready = [
        (wait_s, place, target)
        for place, (target, error) in enumerate(last.values())
        if error.outcome.retry is Retry.AGAIN
        and (wait_s := needed_wait_s(error)) is not None
        and wait_s <= settings.max_backoff_s
    ]
    return [(wait_s, target) for wait_s, _, target in sorted(ready, key=lambda r: r[:2])]
