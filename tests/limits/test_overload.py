"""Shedding: fair between keys near the bound, and a bound that follows what the loop can do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Outcome
from gateway.limits.in_flight import InFlight
from gateway.limits.overload import (
    ARRIVAL_LOOKS,
    CALM_LOOKS,
    LATE_LOOKS,
    MAX_WAITING,
    MIN_BOUND,
    TIGHT_LOOKS,
    Overload,
)

LATE_S, CALM_S = 0.2, 0.01


def door(max_in_flight: int = 100) -> tuple[InFlight, Overload]:
    in_flight = InFlight(max_in_flight, max_in_flight)
    return in_flight, Overload(in_flight, max_lag_s=0.1)


def enter(in_flight: InFlight, key: str, calls: int) -> None:
    for _ in range(calls):
        in_flight.enter(key)


def is_let_in(overload: Overload, key: str) -> bool:
    return overload.refusal(key) is None


def stay_late(overload: Overload) -> None:
    for _ in range(LATE_LOOKS):
        overload.loop_was_late(LATE_S)


def test_one_key_alone_leaves_a_tenth_to_others() -> None:
    in_flight, overload = door()
    enter(in_flight, "greedy", 89)
    assert is_let_in(overload, "greedy")
    enter(in_flight, "greedy", 1)
    assert not is_let_in(overload, "greedy")
    assert is_let_in(overload, "modest")


def test_near_the_bound_a_key_with_more_than_its_part_is_refused_first() -> None:
    in_flight, overload = door()
    enter(in_flight, "greedy", 70)
    enter(in_flight, "modest", 25)
    assert not is_let_in(overload, "greedy")
    assert is_let_in(overload, "modest")
    assert overload.shed == 1


def test_at_the_bound_nobody_comes_in_and_is_told_when_to_come_back() -> None:
    in_flight, overload = door()
    enter(in_flight, "greedy", 100)
    refused = overload.refusal("modest")
    assert refused is not None
    assert (refused.outcome, refused.retry_after_s) == (Outcome.OVERLOADED, 1.0)


def test_one_late_turn_of_the_loop_sheds_nothing() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    overload.loop_was_late(5.0)
    overload.loop_was_late(CALM_S)
    assert overload.bound == 100


def test_a_loop_that_stays_late_lowers_the_bound_below_what_is_in_flight() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    stay_late(overload)
    assert overload.bound == 45
    assert not is_let_in(overload, "key")
    stay_late(overload)
    assert overload.bound == 40


def test_however_late_the_loop_is_some_calls_are_answered() -> None:
    _, overload = door()
    for _ in range(100):
        stay_late(overload)
    assert overload.bound == MIN_BOUND
    assert is_let_in(overload, "key")


def test_between_late_and_calm_the_bound_stays() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    stay_late(overload)
    for _ in range(CALM_LOOKS * 10):
        overload.loop_was_late(0.07)
    assert overload.bound == 45


def test_once_the_loop_keeps_up_the_bound_comes_back_step_by_step() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    stay_late(overload)
    for _ in range(10):
        in_flight.leave("key")
    bounds = []
    for _ in range(CALM_LOOKS * 12):
        overload.loop_was_late(CALM_S)
        bounds.append(overload.bound)
    assert bounds == sorted(bounds)
    assert bounds[CALM_LOOKS - 1] == 50
    assert bounds[-1] == 100


def test_streams_that_last_keep_nobody_out_once_the_loop_keeps_up() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    for _ in range(20):
        stay_late(overload)
    assert overload.bound == MIN_BOUND
    for _ in range(CALM_LOOKS):
        overload.loop_was_late(CALM_S)
    assert overload.bound > 50


@pytest.mark.parametrize("configured", [100, 20])
def test_a_configured_bound_is_never_exceeded(configured: int) -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    stay_late(overload)
    in_flight.max_in_flight = configured
    assert overload.bound == min(45, configured)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=400))
def test_a_key_within_its_part_is_refused_only_when_there_is_no_place(asking: list[str]) -> None:
    in_flight, overload = door(30)
    for key in asking:
        is_small = in_flight.of(key) * 3 < 27
        is_full = in_flight.total >= 30
        let_in = is_let_in(overload, key)
        assert let_in or is_full or not is_small
        if let_in:
            in_flight.enter(key)


def test_calls_that_wait_at_the_door_let_no_more_in_than_are_in_flight() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 50)
    for _ in range(LATE_LOOKS * 5):
        overload.loop_was_late(CALM_S, wait_s=LATE_S)
    assert overload.bound == 50
    assert overload.sheds("key")


def test_calls_that_were_let_in_and_are_not_in_flight_yet_count() -> None:
    in_flight, overload = door()
    enter(in_flight, "greedy", 50)
    for _ in range(40):
        overload.arrivals.enter("greedy")
    assert not is_let_in(overload, "greedy")
    assert is_let_in(overload, "modest")
    for _ in range(40):
        overload.arrivals.leave("greedy")
    assert is_let_in(overload, "greedy")


def test_calls_that_have_not_come_in_give_a_key_no_larger_part() -> None:
    in_flight, overload = door()
    enter(in_flight, "modest", 30)
    for _ in range(62):
        overload.arrivals.enter("greedy")
    assert not is_let_in(overload, "greedy")
    assert is_let_in(overload, "modest")


def test_a_call_that_never_comes_in_is_counted_no_longer_than_two_seconds() -> None:
    in_flight, overload = door()
    enter(in_flight, "key", 100)
    overload.sheds("key")
    arrivals = overload.arrivals
    for _ in range(95):
        in_flight.leave("key")
        arrivals.enter("key")
    counted = []
    for _ in range(2 * ARRIVAL_LOOKS):
        counted.append(overload.sheds("key"))
        overload.loop_was_late(CALM_S)
    assert counted[: ARRIVAL_LOOKS - 1] == [True] * (ARRIVAL_LOOKS - 1)
    assert not overload.sheds("key")
    for _ in range(95):
        arrivals.leave("key")
    assert (arrivals.total, arrivals.of("key")) == (0, 0)


def test_a_crowd_at_the_door_is_bounded() -> None:
    waiting = MAX_WAITING - 1
    overload = Overload(InFlight(5000, 5000), 0.1, lambda: waiting)
    assert is_let_in(overload, "key")
    waiting += 1
    assert not is_let_in(overload, "key")


def test_connections_ask_for_a_second_after_a_call_was_shed() -> None:
    in_flight, overload = door()
    assert not overload.is_tight
    enter(in_flight, "key", 100)
    overload.sheds("key")
    for _ in range(TIGHT_LOOKS):
        overload.loop_was_late(CALM_S)
        assert overload.is_tight
    overload.loop_was_late(CALM_S)
    assert not overload.is_tight
