"""Admission: what is one too many is told so at once, and every place is given back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import CallError, Outcome
from gateway.limits.in_flight import InFlight


def refusal(limits: InFlight, key: str) -> CallError:
    with pytest.raises(CallError) as caught:
        limits.enter(key)
    return caught.value


def test_one_too_many_for_the_gateway_is_told_when_to_come_back() -> None:
    limits = InFlight(max_in_flight=2, max_per_key=10)
    limits.enter("key_1")
    limits.enter("key_2")
    error = refusal(limits, "key_3")
    assert (error.outcome, error.retry_after_s) == (Outcome.OVERLOADED, 1.0)
    assert "2 calls" in error.message


def test_one_too_many_for_a_key_leaves_other_keys_alone() -> None:
    limits = InFlight(max_in_flight=10, max_per_key=1)
    limits.enter("key_1")
    error = refusal(limits, "key_1")
    limits.enter("key_2")
    assert limits.total == 2
    assert (error.outcome, error.retry_after_s) == (Outcome.RATE_LIMITED, 1.0)


def test_a_bound_that_was_lowered_holds_for_the_next_call() -> None:
    limits = InFlight(max_in_flight=5, max_per_key=5)
    limits.enter("key_1")
    limits.max_in_flight = 1
    assert refusal(limits, "key_1").outcome is Outcome.OVERLOADED
    limits.leave("key_1")
    limits.enter("key_1")
    assert limits.total == 1


class Admissions(RuleBasedStateMachine):
    """Calls come and go in any order; the counts are always those of the calls inside."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = InFlight(max_in_flight=4, max_per_key=2)
        self.inside: list[str] = []

    @rule(key=st.sampled_from(["a", "b", "c"]))
    def come(self, key: str) -> None:
        of_key = self.inside.count(key)
        expected = (
            Outcome.OVERLOADED
            if len(self.inside) >= 4
            else Outcome.RATE_LIMITED
            if of_key >= 2
            else Outcome.OK
        )
        try:
            self.limits.enter(key)
            outcome = Outcome.OK
            self.inside.append(key)
        except CallError as error:
            outcome = error.outcome
        assert outcome is expected

    @rule(index=st.integers(0, 9))
    def go(self, index: int) -> None:
        if self.inside:
            self.limits.leave(self.inside.pop(index % len(self.inside)))

    @invariant()
    def counts_are_those_inside(self) -> None:
        assert self.limits.total == len(self.inside)
        assert self.limits._per_key == Counter(self.inside)
        assert 0 not in self.limits._per_key.values()


Admissions.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestAdmissions = Admissions.TestCase
