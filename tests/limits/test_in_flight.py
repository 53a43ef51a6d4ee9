"""Admission: what is one too many is told so at once, and every place is given back."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import CallError, Outcome
from gateway.limits.in_flight import InFlight
from gateway.schema import Call, Caller


def call(key_id: str = "key_1") -> Call:
    return Call("req_1", "chat", Caller(key_id), "m", {}, 0, started_at_s=0, received_s=0)


def refusal(limits: InFlight, asked: Call) -> CallError:
    with pytest.raises(CallError) as caught, limits.admit(asked):
        pass
    return caught.value


def test_one_too_many_for_the_gateway_is_told_when_to_come_back() -> None:
    limits = InFlight(max_in_flight=2, max_per_key=10)
    with limits.admit(call("key_1")), limits.admit(call("key_2")):
        error = refusal(limits, call("key_3"))
    assert (error.outcome, error.retry_after_s) == (Outcome.OVERLOADED, 1.0)
    assert "2 calls" in error.message


def test_one_too_many_for_a_key_leaves_other_keys_alone() -> None:
    limits = InFlight(max_in_flight=10, max_per_key=1)
    with limits.admit(call("key_1")):
        error = refusal(limits, call("key_1"))
        with limits.admit(call("key_2")):
            assert limits.total == 2
    assert (error.outcome, error.retry_after_s) == (Outcome.RATE_LIMITED, 1.0)


def test_a_place_is_given_back_after_a_failure() -> None:
    limits = InFlight(max_in_flight=1, max_per_key=1)
    with pytest.raises(KeyError), limits.admit(call()):
        raise KeyError
    with limits.admit(call()):
        assert limits.total == 1


def test_a_bound_that_was_lowered_holds_for_the_next_call() -> None:
    limits = InFlight(max_in_flight=5, max_per_key=5)
    with limits.admit(call()):
        limits.max_in_flight = 1
        assert refusal(limits, call()).outcome is Outcome.OVERLOADED
    with limits.admit(call()):
        assert limits.total == 1


class Admissions(RuleBasedStateMachine):
    """Calls come and go in any order; the counts are always those of the calls inside."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = InFlight(max_in_flight=4, max_per_key=2)
        self.inside: list[tuple[str, AbstractContextManager[None]]] = []

    @rule(key=st.sampled_from(["a", "b", "c"]))
    def come(self, key: str) -> None:
        of_key = sum(k == key for k, _ in self.inside)
        expected = (
            Outcome.OVERLOADED
            if len(self.inside) >= 4
            else Outcome.RATE_LIMITED
            if of_key >= 2
            else Outcome.OK
        )
        place = self.limits.admit(call(key))
        try:
            place.__enter__()
            outcome = Outcome.OK
            self.inside.append((key, place))
        except CallError as error:
            outcome = error.outcome
        assert outcome is expected

    @rule(index=st.integers(0, 9))
    def go(self, index: int) -> None:
        if self.inside:
            _, place = self.inside.pop(index % len(self.inside))
            place.__exit__(None, None, None)

    @invariant()
    def counts_are_those_inside(self) -> None:
        assert self.limits.total == len(self.inside)
        assert self.limits._per_key == Counter(key for key, _ in self.inside)
        assert 0 not in self.limits._per_key.values()


Admissions.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestAdmissions = Admissions.TestCase
