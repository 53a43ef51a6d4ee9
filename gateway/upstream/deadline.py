"""The one deadline that all attempts of a call share."""

from __future__ import annotations

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Timeouts

_NEGLIGIBLE_S = 0.1
"""What a call may have taken before its first attempt without the attempt's time being cut."""


def deadline_s(journey: Journey, timeouts: Timeouts) -> float:
    """When the call has to be over, on the monotonic clock: its task's deadline or, without one,
    the provider's total timeout, both from the call's arrival."""
    assert journey.plan is not None
    span_s = journey.plan.deadline_s
    return journey.call.received_s + (timeouts.total_s if span_s is None else span_s)


def within(left_s: float, timeouts: Timeouts) -> Timeouts:
    """An attempt's timeouts, cut to what is left. Raises CallError(UPSTREAM_TIMEOUT) if nothing
    is."""
    if left_s >= timeouts.total_s - _NEGLIGIBLE_S:
        return timeouts
    if left_s <= 0:
        raise CallError(
            Outcome.UPSTREAM_TIMEOUT,
            "the call's deadline passed before it could be sent",
            from_upstream=False,
        )
    return timeouts._replace(total_s=left_s)


def had_little_time(journey: Journey, timeouts: Timeouts, sent_s: float) -> bool:
    """Less than half of the call's time was left for an attempt: others had used it up, and its
    target is not to blame for running out of it."""
    until_s = deadline_s(journey, timeouts)
    return until_s - sent_s < (until_s - journey.call.received_s) / 2
