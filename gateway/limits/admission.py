"""May this call begin now? Answered at once, with the time to come back."""

from __future__ import annotations

from gateway.schema import NO_ALLOWANCES, Call, CallRecord, Plan

from .in_flight import InFlight


class Admission:
    """Implements the pipeline's ``Limits``."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight

    async def admit(self, call: Call, plan: Plan) -> Admitted:
        """Raises CallError: OVERLOADED, RATE_LIMITED."""
        key = call.caller.key_id
        self._in_flight.enter(key)
        return Admitted(self._in_flight, key)


class Admitted:
    """A call's place, until it leaves."""

    __slots__ = ("_in_flight", "_key", "allowances")

    def __init__(self, in_flight: InFlight, key: str) -> None:
        self._in_flight = in_flight
        self._key = key
        self.allowances = NO_ALLOWANCES

    def leave(self, record: CallRecord) -> None:
        self._in_flight.leave(self._key)
