"""Pacing towards a provider: waiting in line, no longer than told, and giving turns back."""

from __future__ import annotations

import asyncio

import pytest

from gateway.contracts import ProviderSettings
from gateway.errors import CallError, Outcome
from gateway.limits.pacing import Gate, gate_for

PATIENCE_S = 5.0


def gate(**limits: int) -> Gate:
    found = gate_for(ProviderSettings(type="studio", **limits))
    assert found is not None
    return found


def test_a_provider_without_limits_has_no_gate() -> None:
    assert gate_for(ProviderSettings(type="studio")) is None


async def test_no_more_calls_than_its_concurrency_are_under_way() -> None:
    turns, under_way, most = gate(max_concurrency=3), 0, 0

    async def one() -> None:
        nonlocal under_way, most
        async with turns.turn(PATIENCE_S):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(one())
    assert most == 3


async def test_turns_come_in_the_order_of_arrival() -> None:
    turns, order = gate(max_concurrency=1), list[int]()

    async def one(number: int) -> None:
        async with turns.turn(PATIENCE_S):
            order.append(number)

    async with asyncio.TaskGroup() as tasks, turns.turn(PATIENCE_S):
        for number in range(5):
            tasks.create_task(one(number))
        await asyncio.sleep(0)
    assert order == [0, 1, 2, 3, 4]


async def test_a_turn_that_does_not_come_is_an_error_with_the_time_to_wait() -> None:
    turns = gate(max_concurrency=1)
    async with turns.turn(PATIENCE_S):
        with pytest.raises(CallError) as caught:
            async with turns.turn(0.01):
                pass
    error = caught.value
    assert error.outcome is Outcome.UPSTREAM_RATE_LIMITED
    assert error.outcome.retryable
    assert error.retry_after_s == 0.01


async def test_whoever_gives_up_waiting_takes_no_turn_from_others() -> None:
    turns = gate(max_concurrency=1)
    async with turns.turn(PATIENCE_S):
        for _ in range(3):
            with pytest.raises(CallError):
                async with turns.turn(0.001):
                    pass
    async with turns.turn(0.01):
        pass


async def test_a_turn_is_given_back_after_a_failure_inside_it() -> None:
    turns = gate(max_concurrency=1)
    with pytest.raises(KeyError):
        async with turns.turn(PATIENCE_S):
            raise KeyError
    async with turns.turn(0.01):
        pass


async def test_a_timeout_inside_a_turn_is_not_mistaken_for_a_wait() -> None:
    with pytest.raises(TimeoutError):
        async with gate(max_concurrency=1).turn(PATIENCE_S):
            raise TimeoutError


async def test_a_turn_lasts_longer_than_the_wait_for_it() -> None:
    async with gate(max_concurrency=1).turn(0.01):
        await asyncio.sleep(0.03)


async def test_calls_above_the_rate_wait_for_their_turn() -> None:
    turns = gate(requests_per_minute=2)
    for _ in range(2):
        async with turns.turn(0.05):
            pass
    with pytest.raises(CallError, match="no turn at the provider's configured limits"):
        async with turns.turn(0.05):
            pass


async def test_a_rate_refused_gives_its_slot_back() -> None:
    turns = gate(requests_per_minute=1, max_concurrency=1)
    async with turns.turn(0.05):
        pass
    for _ in range(2):
        with pytest.raises(CallError) as caught:
            async with turns.turn(0.01):
                pass
        assert caught.value.outcome is Outcome.UPSTREAM_RATE_LIMITED
    assert turns._slots is not None
    assert not turns._slots.locked()
