"""May this call begin now? Answered at once, with the time to come back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf

from gateway.errors import CallError
from gateway.schema import NO_ALLOWANCES, Allowance, Allowances, Call, CallRecord, Plan

from .buckets import Bucket, BucketStore, Denied, Granted, Level
from .in_flight import InFlight
from .refusals import refusal
from .reserve import used_by_part, used_tokens
from .rules import Rules

Refused = Callable[[str, str], None]
"""Told of the rule and the kind of limit that a call was refused by."""


class Admission:
    """Implements the pipeline's ``Limits``."""

    def __init__(
        self, in_flight: InFlight, rules: Rules, buckets: BucketStore, refused: Refused
    ) -> None:
        self._in_flight = in_flight
        self._rules = rules
        self._buckets = buckets
        self._refused = refused

    async def admit(self, call: Call, plan: Plan) -> Admitted | AdmittedPart:
        """Raises CallError: OVERLOADED, RATE_LIMITED, LIMITS_UNAVAILABLE."""
        if plan.part is not None:
            return await self._admit_part(call, plan)
        key = call.caller.key_id
        self._in_flight.enter(key)
        takes = self._rules.at_admission(call, plan)
        if not takes:
            return Admitted(self._in_flight, key)
        try:
            found = await self._buckets.take(takes)
            if isinstance(found, Denied):
                raise self._refusal(found, plan)
        except BaseException:
            self._in_flight.leave(key)
            raise
        return Limited(self._in_flight, key, self._buckets, found)

    async def _admit_part(self, call: Call, plan: Plan) -> AdmittedPart:
        """A part of a call that has its place."""
        takes = self._rules.at_admission(call, plan)
        found = await self._buckets.take(takes) if takes else NOTHING_TAKEN
        if isinstance(found, Denied):
            raise self._refusal(found, plan)
        return AdmittedPart(self._buckets, found)

    def _refusal(self, found: Denied, plan: Plan) -> CallError:
        self._refused(found.take[0].rule, found.take[0].kind)
        return refusal(found, plan.part)


class Admitted:
    """A call's place, until it leaves."""

    __slots__ = ("_in_flight", "_key", "allowances")

    def __init__(
        self, in_flight: InFlight, key: str, allowances: Allowances = NO_ALLOWANCES
    ) -> None:
        self._in_flight = in_flight
        self._key = key
        self.allowances = allowances

    def leave(self, record: CallRecord) -> None:
        self._in_flight.leave(self._key)


class Limited(Admitted):
    """The same with what was taken of the limits that concern the call."""

    __slots__ = ("_buckets", "_granted")

    def __init__(
        self, in_flight: InFlight, key: str, buckets: BucketStore, granted: Granted
    ) -> None:
        self._in_flight = in_flight
        self._key = key
        self.allowances = tightest(granted)
        self._buckets = buckets
        self._granted = granted

    def leave(self, record: CallRecord) -> None:
        self._in_flight.leave(self._key)
        self._buckets.settle(self._granted, used_tokens(record))


class AdmittedPart:
    """What was taken for a part of a call."""

    __slots__ = ("_buckets", "_granted", "allowances")

    def __init__(self, buckets: BucketStore, granted: Granted) -> None:
        self._buckets = buckets
        self._granted = granted
        self.allowances = tightest(granted) if granted.takes else NO_ALLOWANCES

    def leave(self, record: CallRecord) -> None:
        """``record`` is the part's own."""
        if self._granted.takes:
            self._buckets.settle(self._granted, used_by_part(record))


NOTHING_TAKEN = Granted((), ())
NOT_TIGHT: Level = sys.maxsize, inf


def tightest(granted: Granted) -> Allowances:
    """Of each kind, the limit that leaves the least."""
    requests: Bucket | None = None
    tokens: Bucket | None = None
    of_requests = of_tokens = NOT_TIGHT
    for (bucket, _), left in zip(granted.takes, granted.levels, strict=True):
        if bucket.kind == "requests":
            if left < of_requests:
                requests, of_requests = bucket, left
        elif bucket.kind == "tokens" and left < of_tokens:
            tokens, of_tokens = bucket, left
    return Allowances(
        None if requests is None else Allowance(requests.capacity, of_requests[0], of_requests[1]),
        None if tokens is None else Allowance(tokens.capacity, of_tokens[0], of_tokens[1]),
    )
