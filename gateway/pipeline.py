"""The straight line through the rooms. Read this file first.

    server ▶ routing ▶ chunking ▶ limits ▶ answers ▶ money ▶ upstream ▶ the provider's API
    who?     where?    fits?      room?    known?    hold    pace, send
                       cut                                   in parts, and together again

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


Send = Callable[[Journey, Client], Awaitable[None]]


class Chunking(Protocol):
    """Sees to it that a call fits where it goes: as it is, or cut into parts."""

    async def fit(self, call: Call, plan: Plan) -> Plan:
        """The plan without the targets that are too small, or with ``parts``."""

    async def cut_after(self, error: CallError, call: Call, plan: Plan) -> Plan:
        """The same call in parts, after its upstream has said that it is too long. Raises
        ``error`` for any other, and where it may not be cut."""

    async def send_parts(self, journey: Journey, client: Client, send: Send) -> None:
        """Answer the client with the answers to the plan's parts, each of them got by ``send``."""


class Money(Protocol):
    """Holds an upper bound before anything is sent, settles the truth once it is known."""

    async def hold(self, call: Call, plan: Plan) -> Any:
        """For the whole of it: for all parts together where the plan has some."""

    async def share(self, hold: Any, call: Call, plan: Plan) -> Any:
        """A hold for one part, out of the whole call's, which is extended if that is not enough."""

    def give_back(self, part: Journey) -> None:
        """The part is over: what is left of its share is the whole call's again, and what it
        used is noted."""

    def settle(self, hold: Any, record: CallRecord) -> None: ...


class Admitted(Protocol):
    """A call's place among those that are answered, and what it took of its limits."""

    @property
    def allowances(self) -> Allowances: ...

    def leave(self, record: CallRecord) -> None:
        """Once: give the place back, and settle what was reserved to what was used."""


class Limits(Protocol):
    """A call that is cut has one place, and each of its parts takes requests and tokens."""

    async def admit(self, call: Call, plan: Plan) -> Admitted: ...


class Upstreams(Protocol):
    async def send(self, journey: Journey, client: Client) -> None: ...


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
            journey.plan = plan = await self._chunking.fit(call, plan)
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
        plan = journey.plan
        assert plan is not None
        journey.hold = await self._money.hold(journey.call, plan)
        if not plan.parts:
            try:
                return await self._upstreams.send(journey, client)
            except CallError as error:
                if error.outcome is not Outcome.CONTEXT_LENGTH_EXCEEDED or client.committed:
                    raise
                journey.plan = await self._chunking.cut_after(error, journey.call, plan)
        await self._chunking.send_parts(journey, client, self._send_part)

    async def _send_part(self, part: Journey, client: Client) -> None:
        """One part of a call that is cut; ``part.hold`` is the whole call's."""
        assert part.plan is not None
        whole, admitted = part.hold, await self._limits.admit(part.call, part.plan)
        part.allowances = admitted.allowances
        try:
            part.hold = await self._money.share(whole, part.call, part.plan)
            try:
                await self._upstreams.send(part, client)
            finally:
                self._money.give_back(part)
        finally:
            admitted.leave(part.record(self._clock()))

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
