"""The straight line through the rooms. Read this file first.

    server ▶ routing ▶ chunking ▶ limits ▶ answers ▶ money ▶ upstream ▶ the provider's API
    who?     where?    fits?      room?    known?    hold    pace, send

Everything before the first upstream byte may be retried or sent elsewhere, nothing after it. A
client that goes away cancels the call by ordinary task cancellation. Exactly one CallRecord is
made of each call, here, whatever happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from .contracts import Client, Observer
from .errors import CallError, Outcome
from .journey import Journey
from .schema import Allowances, Call, CallRecord, Plan


class Routing(Protocol):
    def plan(self, call: Call) -> Plan: ...


class Chunking(Protocol):
    def fit(self, call: Call, plan: Plan) -> Plan: ...


class Money(Protocol):
    """Holds an upper bound before anything is sent, settles the truth once it is known."""

    async def hold(self, call: Call, plan: Plan) -> Any: ...

    def settle(self, hold: Any, record: CallRecord) -> None: ...


class Admitted(Protocol):
    """A call's place among those that are answered, and what it took of its limits."""

    @property
    def allowances(self) -> Allowances: ...

    def leave(self, record: CallRecord) -> None:
        """Once: give the place back, and settle what was reserved to what was used."""


class Limits(Protocol):
    async def admit(self, call: Call, plan: Plan) -> Admitted: ...


class Upstreams(Protocol):
    async def send(self, journey: Journey, client: Client) -> None: ...


Send = Callable[[Journey, Client], Awaitable[None]]


class Answers(Protocol):
    """Gives kept answers, and one answer to all who ask the same at once."""

    def concern(self, call: Call) -> bool:
        """Whether there may be an answer already, or others who want this one."""

    async def give(
        self, client: Client, go: Callable[[Client, Send], Awaitable[None]], send: Send
    ) -> None:
        """Take a call that concerns it down the line with ``go``, and put something before
        ``send`` there that may do without it. The call may go on when its client has left."""


class Pipeline:
    """One configuration's rooms, in a line."""

    def __init__(
        self,
        routing: Routing,
        chunking: Chunking,
        money: Money,
        limits: Limits,
        answers: Answers,
        upstreams: Upstreams,
        observe: Observer,
        clock: Callable[[], float],
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._routing = routing
        self._chunking = chunking
        self._money = money
        self._limits = limits
        self._answers = answers
        self._upstreams = upstreams
        self._observe = observe
        self._clock = clock
        self._report_failure = report_failure

    async def answer(self, call: Call, client: Client) -> None:
        """Answer the client. Raises CallError for what it should be told instead."""
        if self._answers.concern(call):
            await self._answers.give(client, partial(self._go, call), self._pay_and_send)
        else:
            await self._go(call, client, self._pay_and_send)

    async def _go(self, call: Call, client: Client, send: Send) -> None:
        """The line itself; ``send`` is its last two rooms, or what stands in for them."""
        journey = Journey(call)
        admitted = None
        try:
            plan = self._routing.plan(call)
            journey.plan = plan = self._chunking.fit(call, plan)
            admitted = await self._limits.admit(call, plan)
            journey.allowances = admitted.allowances
            await send(journey, client)
        except BaseException as error:
            told = self._failed(journey, error)
            if told is error:  # its own cause, it would stay until a collection of garbage
                raise
            raise told from error
        finally:
            record = journey.record(self._clock())
            if admitted is not None:
                admitted.leave(record)
            try:
                self._money.settle(journey.hold, record)
            except Exception as error:
                self._report_failure("a call could not be settled", error)
            self._observe(record)

    async def _pay_and_send(self, journey: Journey, client: Client) -> None:
        assert journey.plan is not None
        journey.hold = await self._money.hold(journey.call, journey.plan)
        await self._upstreams.send(journey, client)

    def refuse(self, call: Call, error: Exception) -> CallError:
        """Record a call that was refused at the door, before there was anything to plan; what to
        tell the client."""
        journey = Journey(call)
        told = self._failed(journey, error)
        self._observe(journey.record(self._clock()))
        return told if isinstance(told, CallError) else CallError(journey.outcome, journey.detail)

    def _failed(self, journey: Journey, error: BaseException) -> BaseException:
        """Write the failure down; what nobody foresaw becomes an error that says so."""
        if isinstance(error, asyncio.CancelledError | ConnectionError):
            journey.outcome = Outcome.CLIENT_GONE
            journey.detail = "the client closed the connection before the answer was complete"
            return error
        if not isinstance(error, CallError):
            self._report_failure("a call failed in a way nobody foresaw", error)
            error = CallError(
                Outcome.INTERNAL,
                f"the gateway failed on call {journey.call.id}; its log says why. "
                "Nothing more was sent upstream.",
            )
        journey.outcome = error.outcome
        journey.detail = error.message
        error.cost = journey.cost
        return error
