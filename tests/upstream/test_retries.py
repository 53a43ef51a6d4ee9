"""What may be tried again: the budget over the process, the pauses, and which targets are left."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.config_limits import RetryConfig
from gateway.errors import CallError, Outcome
from gateway.schema import Target
from gateway.upstream.retries import (
    ADVANCE,
    IDLE_S,
    MAX_BALANCE,
    RetryBudget,
    may_go_on,
    pause_s,
    soonest,
    why_not,
)

SETTINGS = RetryConfig()
SMALL = Target("acme", "small-1", "small", context_tokens=8_000)
SMALL_ELSEWHERE = Target("bulk", "small-1", "small", context_tokens=8_000)
LARGE = Target("bulk", "large-1", "large", context_tokens=100_000)
UNKNOWN = Target("acme", "wild-1", "wild")
STAND_IN = Target("stage", "writer", "writer", rehearsal=True)


def failed(target, outcome, **more):
    return target, CallError(outcome, "no", **more)


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1000, max_size=1000))
def test_further_attempts_stay_within_a_fifth_of_calls(wanted):
    budget, taken = RetryBudget(0.2), 0
    for number, wants in enumerate(wanted):
        budget.calls += 1
        taken += sum(budget.take(number / 100, "upstream_failed") for _ in range(wants))
    assert taken <= 0.2 * budget.calls


def test_where_everything_fails_a_fifth_is_used_to_the_last():
    budget = RetryBudget(0.2)
    for number in range(1000):
        budget.calls += 1
        budget.take(number / 100, "upstream_failed")
    assert sum(budget.taken.values()) == 200
    assert budget.denied == 800


def test_the_first_attempts_are_advanced_and_paid_back():
    budget = RetryBudget(0.2)
    assert [budget.take(0.0, "x") for _ in range(11)] == [True] * int(ADVANCE) + [False]
    budget.calls += 50
    assert budget.balance == 0
    budget.calls += 5
    assert budget.balance == pytest.approx(1)


def test_a_gateway_with_hardly_a_call_always_has_one_more_try():
    budget = RetryBudget(0.2)
    while budget.take(0.0, "x"):
        pass
    assert not budget.take(IDLE_S - 0.1, "x")
    assert budget.take(IDLE_S, "x")
    assert not budget.take(IDLE_S + 1, "x")


def test_quiet_hours_save_up_no_storm():
    budget = RetryBudget(0.2)
    budget.calls += 1_000_000
    assert budget.balance == MAX_BALANCE


def test_a_budget_of_nothing_allows_nothing():
    budget = RetryBudget(0)
    budget.calls += 100
    assert (budget.take(0.0, "x"), budget.balance) == (False, 0)


def test_a_new_share_counts_from_then_on():
    budget = RetryBudget(0.2)
    budget.calls += 100
    budget.configure(0.5)
    budget.calls += 100
    assert budget.balance == pytest.approx(ADVANCE + 10 + 50)


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_random_up_to_a_doubling_ceiling(repeats, drawn):
    ceiling_s = min(8.0, 0.25 * 2**repeats)
    assert 0 <= pause_s(SETTINGS, repeats, lambda: drawn) == pytest.approx(drawn * ceiling_s)


def test_a_text_that_is_too_long_goes_only_where_more_fits():
    too_long = [failed(SMALL, Outcome.CONTEXT_LENGTH_EXCEEDED)]
    assert "no longer texts" in why_not(SMALL_ELSEWHERE, too_long)
    assert why_not(LARGE, too_long) == ""
    assert why_not(UNKNOWN, too_long) == ""


def test_refused_content_goes_only_to_another_provider():
    refused = [failed(SMALL, Outcome.CONTENT_POLICY), failed(LARGE, Outcome.UPSTREAM_FAILED)]
    assert "refused the content" in why_not(UNKNOWN, refused)
    assert why_not(SMALL_ELSEWHERE, refused) == ""
    assert may_go_on(refused[0][1], SETTINGS)
    assert not may_go_on(refused[0][1], RetryConfig(content_policy=False))


@pytest.mark.parametrize(
    "outcome", [Outcome.CONTEXT_LENGTH_EXCEEDED, Outcome.CONTENT_POLICY, Outcome.UNSUPPORTED]
)
def test_a_stand_in_answers_for_failures_and_not_for_refusals(outcome):
    assert "stands in" in why_not(STAND_IN, [failed(SMALL, outcome)])
    assert why_not(STAND_IN, [failed(SMALL, Outcome.UPSTREAM_CUT)]) == ""


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.label)
def test_nothing_that_may_have_been_served_is_sent_to_the_same_target_again(outcome):
    again = list(soonest([failed(SMALL, outcome, retry_after_s=1.0)], SETTINGS))
    assert not (again and outcome.may_be_billed)


def test_a_target_is_tried_again_once_it_said_when_and_that_is_soon():
    def waits_s(*failures):
        return [(wait_s, target) for wait_s, target in soonest(failures, SETTINGS)]

    limited = Outcome.UPSTREAM_RATE_LIMITED
    assert waits_s(failed(SMALL, limited)) == []
    assert waits_s(failed(SMALL, limited, retry_after_s=60)) == []
    assert waits_s(
        failed(SMALL, limited, retry_after_s=2), failed(LARGE, Outcome.UPSTREAM_OVERLOADED)
    ) == [(0, LARGE), (2, SMALL)]


def test_the_last_word_of_a_target_counts():
    assert not soonest(
        [failed(SMALL, Outcome.UPSTREAM_FAILED), failed(SMALL, Outcome.UPSTREAM_CUT)], SETTINGS
    )
