"""Admission: what a caller is told who is above a limit, and what a call leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config_limits import LimitRule
from gateway.errors import CallError, Outcome
from gateway.limits.admission import Admission, Admitted, AdmittedPart
from gateway.limits.buckets import Denied, Granted
from gateway.limits.in_flight import InFlight
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.reserve import Reserve
from gateway.limits.rules import Rules
from gateway.schema import (
    NO_ALLOWANCES,
    Allowance,
    Allowances,
    Attempt,
    Call,
    Caller,
    CallRecord,
    Part,
    Plan,
    Target,
    Usage,
)

TARGET = Target("openai", "gpt-9", "writer")
CALLER = Caller("k_1", project="ya")
CALL = Call("req_1", "chat", CALLER, "writer", {"messages": []}, 400, 0.0, 0.0)
PLAN = Plan((TARGET,), CALL.body, "model", max_output_tokens=899)
RESERVED = 101 + 899
PARTS = tuple(Part(CALL, PLAN._replace(part=number)) for number in (1, 2, 3))
CUT = PLAN._replace(parts=PARTS)


class Door:
    """Admission with the rules that a test needs, while no time passes."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.refused: list[tuple[str, str]] = []
        self.in_flight = InFlight(100, 100)
        self.now_s = 0.0
        self._admission = Admission(
            self.in_flight,
            Rules([LimitRule(**rule) for rule in rules], Reserve(lambda body: 0).tokens),
            MemoryBuckets(lambda: self.now_s),
            lambda rule, kind: self.refused.append((rule, kind)),
        )

    async def admit(self, plan: Plan = PLAN) -> Admitted | AdmittedPart:
        return await self._admission.admit(CALL, plan)

    async def refusal(self, plan: Plan = PLAN) -> CallError:
        with pytest.raises(CallError) as caught:
            await self.admit(plan)
        assert caught.value.outcome is Outcome.RATE_LIMITED
        return caught.value


def record(*usages: Usage, replayed: str = "", part: int | None = None) -> CallRecord:
    attempts = tuple(Attempt(TARGET, Outcome.OK, 0.1, "", usage, part=part) for usage in usages)
    return CallRecord(
        "req_1", "chat", CALLER, Outcome.OK, 0.0, 0.1, attempts=attempts,
        usage=usages[-1] if usages else Usage(), replayed=replayed,
    )  # fmt: skip


async def test_a_call_is_told_the_tightest_of_its_limits() -> None:
    door = Door(
        {"key": "*", "requests_per_minute": 60},
        {"project": "*", "requests_per_minute": 30, "tokens_per_minute": 6000},
    )
    admitted = await door.admit()
    assert admitted.allowances == Allowances(Allowance(30, 29, 2.0), Allowance(6000, 5000, 10.0))


async def test_a_call_that_no_rule_concerns_is_told_of_none() -> None:
    door = Door({"user": "*", "requests_per_minute": 1})
    assert (await door.admit()).allowances is NO_ALLOWANCES


async def test_too_many_requests() -> None:
    door = Door({"key": "*", "requests_per_minute": 2, "burst_requests": 1})
    await door.admit()
    error = await door.refusal()
    assert error.message == (
        "limits.rules[0] lets key k_1 make 2 requests a minute (1 at once); 0 are left. "
        "There is room for this one in 30 s."
    )
    assert error.retry_after_s == 30.0
    assert error.allowances == Allowances(requests=Allowance(1, 0, 30.0))
    assert door.refused == [("rules[0]", "requests")]
    assert door.in_flight.total == 1


async def test_too_many_tokens() -> None:
    door = Door({"tokens_per_minute": 1500})
    await door.admit()
    error = await door.refusal()
    assert error.message == (
        "limits.rules[0] lets all callers together use 1,500 tokens a minute; 500 are left, and "
        "this call reserves 1,000 for its input and its answer. There is room in 20 s; a lower "
        "max_tokens reserves less."
    )
    assert error.allowances == Allowances(tokens=Allowance(1500, 500, 40.0))


async def test_too_many_at_once() -> None:
    door = Door({"project": "ya", "concurrency": 1})
    admitted = await door.admit()
    error = await door.refusal()
    assert error.message == (
        "limits.rules[0] lets project ya have 1 call answered at the same time, and that many are; "
        "try again when one of them has ended."
    )
    assert error.retry_after_s == 1.0
    admitted.leave(record())
    await door.admit()


@pytest.mark.parametrize(
    ("left", "used"),
    [
        (record(Usage(100, output_tokens=40)), 140),
        (record(Usage(100, cache_read_tokens=50, reasoning_tokens=9, estimated=True)), 159),
        (record(Usage(10), Usage(20, output_tokens=5)), 35),
        (record(), 0),  # it failed before anything was used
        (record(Usage(100, output_tokens=40), replayed="cache"), 0),
    ],
)
async def test_a_reserve_becomes_what_was_used(left: CallRecord, used: int) -> None:
    door = Door({"tokens_per_minute": 10_000})
    admitted = await door.admit()
    admitted.leave(left)
    again = await door.admit()
    assert again.allowances.tokens is not None
    assert again.allowances.tokens.remaining == 10_000 - used - RESERVED


async def test_a_call_in_parts_has_one_place_and_its_parts_have_none() -> None:
    door = Door({"key": "*", "concurrency": 1})
    whole = await door.admit(CUT)
    parts = [await door.admit(part.plan) for part in PARTS]
    assert door.in_flight.total == 1
    await door.refusal(CUT)
    for part in parts:
        part.leave(record(Usage(10), part=1))
    whole.leave(record(Usage(10), part=1))
    assert door.in_flight.total == 0
    await door.admit(CUT)


async def test_a_part_that_no_rule_concerns_is_told_of_none() -> None:
    door = Door({"user": "*", "requests_per_minute": 1})
    part = await door.admit(PARTS[0].plan)
    assert part.allowances is NO_ALLOWANCES
    part.leave(record(Usage(10), part=1))


async def test_requests_are_counted_by_part() -> None:
    door = Door({"key": "*", "requests_per_minute": 2})
    await door.admit(CUT)
    await door.admit(PARTS[0].plan)
    await door.admit(PARTS[1].plan)
    error = await door.refusal(PARTS[2].plan)
    assert error.retry_after_s == 30.0
    assert error.message.endswith("There is room for part 3 of this call in 30 s.")


async def test_tokens_are_reserved_and_settled_by_part_and_never_twice() -> None:
    door = Door({"tokens_per_minute": 10_000})
    whole = await door.admit(CUT)
    first = await door.admit(PARTS[0].plan)
    assert first.allowances.tokens is not None
    assert first.allowances.tokens.remaining == 10_000 - RESERVED
    first.leave(record(Usage(100, output_tokens=40), part=1))
    whole.leave(record(Usage(100, output_tokens=40), part=1))
    again = await door.admit(PARTS[1].plan)
    assert again.allowances.tokens is not None
    assert again.allowances.tokens.remaining == 10_000 - 140 - RESERVED


async def test_what_a_call_took_before_it_was_cut_is_settled_without_its_parts() -> None:
    """Its upstream said that it is too long, and used nothing."""
    door = Door({"tokens_per_minute": 10_000})
    uncut = await door.admit()
    part = await door.admit(PARTS[0].plan)
    part.leave(record(Usage(100, output_tokens=40), part=1))
    uncut.leave(record(Usage(100, output_tokens=40), part=1))
    again = await door.admit()
    assert again.allowances.tokens is not None
    assert again.allowances.tokens.remaining == 10_000 - 140 - RESERVED


async def test_a_part_says_what_it_reserves_and_when_there_is_room() -> None:
    door = Door({"tokens_per_minute": 1500})
    await door.admit(PARTS[0].plan)
    error = await door.refusal(PARTS[1].plan)
    assert "part 2 of this call reserves 1,000 for its input and its answer" in error.message
    assert "There is room in 20 s" in error.message


async def test_a_store_that_fails_leaves_no_call_in_flight() -> None:
    door = Door({"requests_per_minute": 1})
    door._admission._buckets = _Gone()
    with pytest.raises(CallError) as caught:
        await door.admit()
    assert caught.value.outcome is Outcome.LIMITS_UNAVAILABLE
    assert door.in_flight.total == 0


class _Gone:
    """A store that cannot be reached."""

    async def take(self, takes: object) -> Granted | Denied:
        raise CallError(Outcome.LIMITS_UNAVAILABLE, "gone")

    def settle(self, granted: Granted, used_tokens: int) -> None:
        raise AssertionError("nothing was granted")
