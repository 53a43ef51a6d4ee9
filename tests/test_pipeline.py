"""The straight line: one record for each call whatever happens, and nobody's fault spoils it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.pipeline import Pipeline
from gateway.schema import NO_ALLOWANCES, Call, Caller, CallRecord, Plan, Target, Usage

TARGET = Target("studio", "m-1", "m")
PLAN = Plan((TARGET,), {"model": "m"}, "task", task="draft")
CALL = Call("req_1", "chat", Caller("key_1"), "m", {}, 10, started_at_s=1_000.0, received_s=50.0)
ROOMS = ["routing", "chunking", "limits", "money", "upstreams"]


@dataclass
class House:
    """Every room of a pipeline in one object: keeps a diary, and fails where it is told to."""

    faults: dict[str, BaseException] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    records: list[CallRecord] = field(default_factory=list)
    settled: list[tuple[Any, CallRecord]] = field(default_factory=list)
    reported: list[BaseException] = field(default_factory=list)
    under_way: Callable[[], Any] | None = None

    def enter(self, room: str) -> None:
        self.diary.append(room)
        if room in self.faults:
            raise self.faults[room]

    def plan(self, call: Call) -> Plan:
        self.enter("routing")
        return PLAN

    def fit(self, call: Call, plan: Plan) -> Plan:
        self.enter("chunking")
        return plan

    async def hold(self, call: Call, plan: Plan) -> str:
        self.enter("money")
        return f"hold for {call.id}"

    def settle(self, hold: Any, record: CallRecord) -> None:
        self.settled.append((hold, record))
        self.enter("settle")

    async def admit(self, call: Call, plan: Plan) -> House:
        self.enter("limits")
        return self

    allowances = NO_ALLOWANCES

    def leave(self, record: CallRecord) -> None:
        self.diary.append("left")

    async def send(self, journey: Journey, client: Any) -> None:
        journey.target = TARGET
        journey.usage = Usage(input_tokens=3)
        if self.under_way is not None:
            await self.under_way()
        self.enter("upstreams")

    def observe(self, record: CallRecord) -> None:
        self.records.append(record)
        self.enter("observer")

    def concern(self, call: Call) -> bool:
        return False

    async def give(self, client: Any, go: Any, send: Any) -> None:
        await go(client, send)

    def pipeline(self) -> Pipeline:
        return Pipeline(
            routing=self,
            chunking=self,
            money=self,
            limits=self,
            answers=self,
            upstreams=self,
            observe=self.observe,
            clock=lambda: 52.5,
            report_failure=lambda what, error: self.reported.append(error),
        )

    async def answer(self) -> BaseException | None:
        """What the server gets to see of the call."""
        try:
            await self.pipeline().answer(CALL, client=None)  # type: ignore[arg-type]
        except BaseException as error:
            return error
        return None


async def test_a_call_goes_through_the_rooms_in_order() -> None:
    house = House()
    assert await house.answer() is None
    assert house.diary == [*ROOMS, "left", "settle", "observer"]


async def test_the_record_says_what_happened() -> None:
    house = House()
    await house.answer()
    (record,) = house.records
    assert record.outcome is Outcome.OK
    assert (record.call_id, record.task, record.target) == ("req_1", "draft", TARGET)
    assert record.duration_s == 2.5
    assert record.usage.input_tokens == 3


async def test_a_refused_call_leaves_no_cycle_for_the_garbage_collector() -> None:
    refusal = CallError(Outcome.RATE_LIMITED, "too many")
    assert await House({"limits": refusal}).answer() is refusal
    assert refusal.__cause__ is None


async def test_what_is_settled_is_what_was_held() -> None:
    house = House()
    await house.answer()
    assert house.settled == [("hold for req_1", house.records[0])]


@pytest.mark.parametrize("room", ROOMS)
async def test_a_refusal_ends_the_line_where_it_is_raised(room: str) -> None:
    refusal = CallError(Outcome.RATE_LIMITED, "slower, please")
    house = House({room: refusal})
    assert await house.answer() is refusal
    assert [entry for entry in house.diary if entry in ROOMS] == ROOMS[: ROOMS.index(room) + 1]
    (record,) = house.records
    assert (record.outcome, record.detail) == (Outcome.RATE_LIMITED, "slower, please")
    assert house.reported == []


@pytest.mark.parametrize("room", ROOMS)
async def test_what_nobody_foresaw_is_reported_and_told_without_its_details(room: str) -> None:
    fault = ZeroDivisionError("secret of the house")
    house = House({room: fault})
    error = await house.answer()
    assert isinstance(error, CallError)
    assert error.outcome is Outcome.INTERNAL
    assert "req_1" in error.message
    assert "secret" not in error.message
    assert house.reported == [fault]
    assert house.records[0].outcome is Outcome.INTERNAL


@pytest.mark.parametrize("gone", [asyncio.CancelledError(), ConnectionResetError()])
async def test_a_client_that_goes_away_is_recorded_as_gone(gone: BaseException) -> None:
    house = House({"upstreams": gone})
    assert await house.answer() is gone
    assert house.records[0].outcome is Outcome.CLIENT_GONE
    assert house.records[0].usage.input_tokens == 3
    assert house.reported == []


async def test_a_cancelled_call_is_settled_and_leaves_its_place() -> None:
    begun = asyncio.Event()

    async def wait_for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    house = House(under_way=wait_for_ever)
    answering = asyncio.ensure_future(house.pipeline().answer(CALL, None))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await begun.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert house.diary[-3:] == ["left", "settle", "observer"]
    assert house.records[0].outcome is Outcome.CLIENT_GONE


async def test_a_hold_that_was_refused_is_not_settled_as_if_it_were_there() -> None:
    house = House({"money": CallError(Outcome.BUDGET_EXHAUSTED, "spent")})
    await house.answer()
    assert [hold for hold, _ in house.settled] == [None]


async def test_a_purse_that_fails_neither_spoils_the_answer_nor_the_record() -> None:
    fault = OSError("the ledger's disk is full")
    house = House({"settle": fault})
    assert await house.answer() is None
    assert len(house.records) == 1
    assert house.reported == [fault]


def test_a_call_refused_at_the_door_has_a_record_too() -> None:
    house = House()
    house.pipeline().refuse(CALL, CallError(Outcome.UNAUTHENTICATED, "no key"))
    (record,) = house.records
    assert (record.outcome, record.detail) == (Outcome.UNAUTHENTICATED, "no key")
    assert record.target is None
    assert house.settled == []


FAULTS = st.sampled_from(
    [
        CallError(Outcome.UNSUPPORTED, "cannot"),
        CallError(Outcome.UPSTREAM_FAILED, "failed"),
        asyncio.CancelledError(),
        BrokenPipeError(),
        RuntimeError("a bug"),
        RecursionError(),
    ]
)


@given(
    faults=st.dictionaries(st.sampled_from(ROOMS), FAULTS),
    later=st.dictionaries(st.just("settle"), st.builds(ValueError, st.just("bug"))),
)
def test_whatever_happens_there_is_one_record_and_one_settlement(
    faults: dict[str, BaseException], later: dict[str, BaseException]
) -> None:
    house = House({**faults, **later})
    error = asyncio.run(house.answer())
    (record,) = house.records
    ((_, settled),) = house.settled
    assert settled is record
    assert (error is None) == (record.outcome is Outcome.OK) == (not faults)
    entered = "limits" in house.diary and "limits" not in faults
    assert house.diary.count("left") == entered
