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
from gateway.schema import NO_ALLOWANCES, Call, Caller, CallRecord, Part, Plan, Target, Usage

TARGET = Target("studio", "m-1", "m")
PLAN = Plan((TARGET,), {"model": "m"}, "task", task="draft")
CALL = Call("req_1", "chat", Caller("key_1"), "m", {}, 10, started_at_s=1_000.0, received_s=50.0)
ROOMS = ["routing", "chunking", "limits", "money", "upstreams"]
CUT = PLAN._replace(parts=tuple(Part(CALL, PLAN._replace(part=number)) for number in (1, 2)))
TOO_LONG = CallError(Outcome.CONTEXT_LENGTH_EXCEEDED, "too long for the upstream")
OF_A_PART = ["limits", "share", "upstreams", "given back", "left"]


@dataclass
class Client:
    committed: bool = False


@dataclass
class House:
    """Every room of a pipeline in one object: keeps a diary, and fails where it is told to."""

    faults: dict[str, BaseException] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    records: list[CallRecord] = field(default_factory=list)
    settled: list[tuple[Any, CallRecord]] = field(default_factory=list)
    reported: list[BaseException] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    left: list[CallRecord] = field(default_factory=list)
    under_way: Callable[[], Any] | None = None
    fitted: Plan = PLAN
    uncut: CallError | None = None
    """What the upstream says of the call as it is."""
    client: Client = field(default_factory=Client)

    def enter(self, room: str) -> None:
        self.diary.append(room)
        if room in self.faults:
            raise self.faults[room]

    def plan(self, call: Call) -> Plan:
        self.enter("routing")
        return PLAN

    async def fit(self, call: Call, plan: Plan) -> Plan:
        self.enter("chunking")
        return self.fitted

    async def cut_after(self, error: CallError, call: Call, plan: Plan) -> Plan:
        assert error is self.uncut
        self.enter("cutting")
        return CUT

    async def send_parts(self, journey: Journey, client: Any, send: Any) -> None:
        self.enter("parts")
        assert journey.plan is not None
        for part in journey.plan.parts:
            of_part = Journey(part.call, part.plan, hold=journey.hold)
            try:
                await send(of_part, client)
            finally:
                journey.take_part(of_part)

    async def hold(self, call: Call, plan: Plan) -> str:
        self.enter("money")
        return f"hold for {call.id}"

    async def share(self, hold: Any, call: Call, plan: Plan) -> str:
        self.enter("share")
        return f"part {plan.part} of the {hold}"

    def give_back(self, part: Journey) -> None:
        self.given_back.append(part.hold)
        self.diary.append("given back")

    def settle(self, hold: Any, record: CallRecord) -> None:
        self.settled.append((hold, record))
        self.enter("settle")

    async def admit(self, call: Call, plan: Plan) -> House:
        self.enter("limits")
        return self

    allowances = NO_ALLOWANCES

    def leave(self, record: CallRecord) -> None:
        self.left.append(record)
        self.diary.append("left")

    async def send(self, journey: Journey, client: Any) -> None:
        journey.target = TARGET
        journey.usage = Usage(input_tokens=3)
        if self.under_way is not None:
            await self.under_way()
        self.enter("upstreams")
        assert journey.plan is not None
        error = self.uncut if journey.plan.part is None else None
        journey.end(error.outcome if error else Outcome.OK, 1.0, "")
        if error is not None:
            raise error

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
            await self.pipeline().answer(CALL, self.client)  # type: ignore[arg-type]
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


async def test_each_part_goes_through_limits_money_and_upstreams_within_the_whole_call() -> None:
    house = House(fitted=CUT)
    assert await house.answer() is None
    assert house.diary == [
        *ROOMS[:4], "parts", *OF_A_PART, *OF_A_PART, "left", "settle", "observer"
    ]  # fmt: skip
    assert house.given_back == ["part 1 of the hold for req_1", "part 2 of the hold for req_1"]


async def test_parts_are_attempts_of_one_call_with_one_hold_and_one_record() -> None:
    house = House(fitted=CUT)
    await house.answer()
    (record,) = house.records
    assert house.settled == [("hold for req_1", record)]
    assert [attempt.part for attempt in record.attempts] == [1, 2]
    assert [[attempt.part for attempt in left.attempts] for left in house.left] == [
        [1],
        [2],
        [1, 2],
    ]


@pytest.mark.parametrize("end", [RuntimeError("a bug"), asyncio.CancelledError(), TOO_LONG])
async def test_what_a_part_took_is_given_back_whatever_became_of_it(end: BaseException) -> None:
    house = House({"upstreams": end}, fitted=CUT)
    await house.answer()
    assert house.diary[5:] == [*OF_A_PART, "left", "settle", "observer"]


async def test_a_part_without_money_is_not_sent_and_gives_its_limits_back() -> None:
    house = House({"share": CallError(Outcome.BUDGET_EXHAUSTED, "spent")}, fitted=CUT)
    error = await house.answer()
    assert isinstance(error, CallError)
    assert error.outcome is Outcome.BUDGET_EXHAUSTED
    assert house.diary[5:] == ["limits", "share", "left", "left", "settle", "observer"]
    assert house.given_back == []


async def test_a_call_that_is_too_long_for_its_upstream_is_cut_once() -> None:
    house = House(uncut=TOO_LONG)
    assert await house.answer() is None
    assert house.diary == [
        *ROOMS, "cutting", "parts", *OF_A_PART, *OF_A_PART, "left", "settle", "observer"
    ]  # fmt: skip
    (record,) = house.records
    assert [attempt.part for attempt in record.attempts] == [None, 1, 2]
    assert house.settled == [("hold for req_1", record)]


async def test_a_call_that_may_not_be_cut_is_told_what_its_upstream_said() -> None:
    house = House({"cutting": TOO_LONG}, uncut=TOO_LONG)
    assert await house.answer() is TOO_LONG
    assert "parts" not in house.diary


async def test_what_has_begun_to_answer_is_not_cut() -> None:
    house = House(uncut=TOO_LONG, client=Client(committed=True))
    assert await house.answer() is TOO_LONG
    assert "cutting" not in house.diary


async def test_another_failure_of_an_upstream_is_no_reason_to_cut() -> None:
    house = House(uncut=CallError(Outcome.UPSTREAM_REJECTED, "no"))
    assert await house.answer() is house.uncut
    assert "cutting" not in house.diary


async def test_a_part_that_is_too_long_is_not_cut_by_the_line() -> None:
    house = House({"upstreams": TOO_LONG}, fitted=CUT)
    assert await house.answer() is TOO_LONG
    assert "cutting" not in house.diary


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
    plan=st.sampled_from([PLAN, CUT]),
)
def test_whatever_happens_there_is_one_record_and_one_settlement(
    faults: dict[str, BaseException], later: dict[str, BaseException], plan: Plan
) -> None:
    house = House({**faults, **later}, fitted=plan)
    error = asyncio.run(house.answer())
    (record,) = house.records
    ((_, settled),) = house.settled
    assert settled is record
    assert (error is None) == (record.outcome is Outcome.OK) == (not faults)
    entered = house.diary.count("limits") if "limits" not in faults else 0
    assert house.diary.count("left") == entered
    assert house.diary.count("given back") == house.diary.count("share")
