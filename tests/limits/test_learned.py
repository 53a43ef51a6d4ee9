"""What a provider says slows calls down, for as long as it says, and never speeds them up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.learned import MAX_PARK_S, Learned
from gateway.schema import Allowance, Allowances

NOW_S = 500.0
TIMES = st.one_of(st.none(), st.floats(0, 10_000))


def test_nothing_is_known_at_first() -> None:
    learned = Learned()
    assert learned.closed_s(NOW_S) == learned.full_until_s(100, 10_000, NOW_S) == 0
    assert not learned.slows


def test_a_target_is_parked_for_as_long_as_the_provider_asks() -> None:
    learned = Learned()
    assert learned.park(7.5, NOW_S, 0.5) == 7.5
    assert learned.closed_s(NOW_S + 7) == 0.5
    assert learned.closed_s(NOW_S + 8) == 0


def test_without_a_time_each_refusal_in_a_row_doubles_it_with_jitter() -> None:
    learned, now_s, parks_s = Learned(), NOW_S, []
    for _ in range(12):
        parks_s.append(learned.park(None, now_s, 0.0))
        now_s += MAX_PARK_S
    assert parks_s[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(parks_s) <= MAX_PARK_S
    assert Learned().park(None, NOW_S, 0.999) == pytest.approx(1.0, abs=0.001)
    learned.went_well()
    assert learned.park(None, now_s, 0.0) == 0.5


def test_refusals_at_the_same_moment_count_once() -> None:
    learned = Learned()
    first = learned.park(None, NOW_S, 0.0)
    assert learned.park(None, NOW_S, 0.0) == first
    assert learned.park(None, NOW_S + 10, 0.0) == 2 * first


def test_a_refusal_without_a_time_waits_for_the_reset_that_was_told() -> None:
    learned = Learned()
    learned.told(Allowances(requests=Allowance(60, 0, 42.0)), NOW_S)
    assert learned.park(None, NOW_S, 0.5) == 42.0


def test_what_is_left_bounds_what_is_under_way() -> None:
    learned = Learned()
    learned.told(Allowances(Allowance(60, 3, 10.0), Allowance(1000, 500, 20.0)), NOW_S)
    assert learned.closed_s(NOW_S) == 0
    assert learned.full_until_s(2, 499, NOW_S) == 0
    assert learned.full_until_s(3, 0, NOW_S) > NOW_S
    assert learned.full_until_s(0, 500, NOW_S) > NOW_S
    assert learned.full_until_s(3, 500, NOW_S + 30) == 0


def test_a_limit_fills_evenly_until_its_reset() -> None:
    learned = Learned()
    learned.told(Allowances(requests=Allowance(60, 0, 60.0)), NOW_S)
    assert learned.closed_s(NOW_S) == 1
    assert learned.closed_s(NOW_S + 1) == 0
    assert learned.full_until_s(0, 0, NOW_S) == NOW_S + 1
    assert learned.full_until_s(9, 0, NOW_S) == NOW_S + 10
    assert learned.full_until_s(9, 0, NOW_S + 10) == 0


def test_tokens_are_held_until_a_tenth_of_them_is_back() -> None:
    learned = Learned()
    learned.told(Allowances(tokens=Allowance(999, 0, 99.9)), NOW_S)
    assert learned.closed_s(NOW_S) == pytest.approx(10)


def test_a_limit_of_unknown_size_is_held_until_its_reset() -> None:
    learned = Learned()
    learned.told(Allowances(requests=Allowance(0, 0, 42.0)), NOW_S)
    assert learned.closed_s(NOW_S) == 42


def test_the_last_answer_counts() -> None:
    learned = Learned()
    learned.told(Allowances(requests=Allowance(60, 0, 10.0)), NOW_S)
    learned.told(Allowances(requests=Allowance(60, 9, 10.0)), NOW_S)
    assert learned.closed_s(NOW_S) == 0


@given(parks=st.lists(TIMES, max_size=8), chance=st.floats(0, 1, exclude_max=True))
def test_no_refusal_ever_shortens_a_park_or_makes_it_endless(
    parks: list[float | None], chance: float
) -> None:
    learned, closed_s = Learned(), 0.0
    for asked_s in parks:
        learned.park(asked_s, NOW_S, chance)
        assert closed_s <= learned.closed_s(NOW_S) <= MAX_PARK_S
        closed_s = learned.closed_s(NOW_S)
