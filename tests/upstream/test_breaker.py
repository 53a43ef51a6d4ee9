"""The breaker against a simple model of it, and its rules one by one."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config_limits import BreakerConfig
from gateway.upstream.breaker import JITTER, ORDINARY, Breaker, State

SETTINGS = BreakerConfig()


def breaker(random=0.0, **changes):
    return Breaker(BreakerConfig(**changes), lambda: random)


def fail(it, at_s, times=1):
    for _ in range(times):
        ticket = it.enter(at_s)
        it.leave(ORDINARY if ticket is None else ticket, at_s, at_s, False)


def succeed(it, at_s, times=1, slow=False):
    for _ in range(times):
        ticket = it.enter(at_s)
        it.leave(ORDINARY if ticket is None else ticket, at_s, at_s, True, slow)


def test_five_failures_in_a_row_open_it():
    it = breaker()
    fail(it, 1.0, 4)
    assert it.is_closed
    fail(it, 1.5)
    assert it.status(1.6)._replace(for_s=0.1) == (State.OPEN, 0.1, 1.9, "5 failures in a row")
    assert it.enter(1.6) is None


def test_a_success_between_them_starts_the_count_again():
    it = breaker()
    for at_s in range(1, 9):
        fail(it, at_s, 4)
        succeed(it, at_s, 5)
    assert it.is_closed


def test_half_of_twenty_calls_failing_open_it():
    it = breaker()
    for at_s in range(10):
        succeed(it, at_s)
        fail(it, at_s)
    assert it.status(10).why == "10 of 20 calls failed in 30 s"


def test_failures_older_than_the_window_are_forgotten():
    it = breaker(consecutive_failures=100)
    fail(it, 0.0, 19)
    succeed(it, 40.0, 40)
    fail(it, 40.0, 19)
    assert it.is_closed
    assert it.window.calls == 59


def test_slow_answers_open_it_although_they_are_good():
    it = breaker()
    succeed(it, 1.0, 19, slow=True)
    assert it.is_closed
    succeed(it, 1.0, slow=True)
    assert it.status(1.0).why == "20 of 20 calls took over 60 s to begin"


def test_what_says_nothing_of_the_target_changes_nothing():
    it = breaker()
    fail(it, 1.0, 4)
    it.leave(it.enter(1.0), 1.0, 1.0, None)
    assert (it.failures_in_row, it.window.calls) == (4, 4)


def test_one_call_at_a_time_tries_whether_it_is_back():
    it = breaker()
    fail(it, 0.0, 5)
    ticket = it.enter(2.1)
    assert ticket != ORDINARY
    assert it.enter(2.1) is None
    assert it.status(2.1).state is State.HALF_OPEN
    it.leave(ticket, 2.1, 2.6, True)
    assert it.is_closed
    assert it.enter(2.7) == ORDINARY


def test_a_probe_that_was_cancelled_frees_the_place():
    it = breaker()
    fail(it, 0.0, 5)
    it.leave(it.enter(2.1), 2.1, 2.2, None)
    assert it.enter(2.2) not in (None, ORDINARY)


def test_a_probe_that_is_swallowed_does_not_keep_others_out_for_ever():
    it = breaker(max_open_s=25)
    fail(it, 0.0, 5)
    swallowed = it.enter(2.1)
    assert it.enter(27.0) is None
    another = it.enter(27.2)
    assert another not in (None, ORDINARY, swallowed)
    it.leave(swallowed, 2.1, 27.3, False)
    assert it.status(27.3).state is State.HALF_OPEN
    it.leave(another, 27.2, 27.4, True)
    assert it.is_closed


def test_the_open_time_doubles_up_to_its_most():
    it = breaker(open_s=2, max_open_s=25)
    now_s, waits_s = 0.0, []
    fail(it, now_s, 5)
    for _ in range(6):
        waits_s.append(it.status(now_s).retry_in_s)
        now_s += waits_s[-1] + 0.1
        fail(it, now_s)
    assert waits_s == pytest.approx([2, 4, 8, 16, 25, 25])


def test_jitter_only_shortens():
    it = breaker(random=0.999)
    fail(it, 0.0, 5)
    assert 2 * (1 - JITTER) <= it.status(0.0).retry_in_s < 2


def test_a_call_sent_all_the_same_closes_it_by_going_well_and_changes_nothing_by_failing():
    it = breaker()
    fail(it, 0.0, 5)
    before = it.status(0.5)
    it.leave(ORDINARY, 0.4, 0.5, False)
    assert it.status(0.5) == before
    it.leave(ORDINARY, 0.6, 0.9, True)
    assert it.is_closed


def test_news_from_before_it_opened_is_old():
    it = breaker()
    fail(it, 1.0, 5)
    it.leave(ORDINARY, 0.5, 1.2, True)
    assert not it.is_closed


class AgainstAModel(RuleBasedStateMachine):
    """Calls come, end well, badly or without a word, in any order and at any time."""

    def __init__(self):
        super().__init__()
        self.now_s = 100.0
        self.random = 0.0
        self.it = Breaker(SETTINGS, lambda: self.random, self.now_s)
        self.under_way = []
        self.told = []
        self.opened_s = None
        self.blocked_until_s = 0.0
        self.openings = 0
        self.row = 0
        self.probe = None

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 10.0, 31.0]), random=st.floats(0, 0.99))
    def time_passes(self, seconds, random):
        self.now_s += seconds
        self.random = random

    @rule()
    def a_call_comes(self):
        ticket = self.it.enter(self.now_s)
        if self.opened_s is None:
            assert ticket == ORDINARY
        elif self.now_s < self.blocked_until_s:
            assert ticket is None
            return
        else:
            assert ticket not in (None, ORDINARY)
            self.probe = ticket
            self.blocked_until_s = self.now_s + SETTINGS.max_open_s
        self.under_way.append((ticket, self.now_s))

    @precondition(lambda self: self.opened_s is not None)
    @rule()
    def a_call_is_sent_all_the_same(self):
        self.under_way.append((ORDINARY, self.now_s))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), health=st.sampled_from([True, False, False, None]), slow=st.booleans())
    def a_call_ends(self, data, health, slow):
        which = data.draw(st.integers(0, len(self.under_way) - 1))
        ticket, began_s = self.under_way.pop(which)
        self.it.leave(ticket, began_s, self.now_s, health, slow and bool(health))
        if self.opened_s is None:
            self._expect_closed(health, slow)
        else:
            self._expect_open(ticket, began_s, health)

    def _expect_closed(self, health, slow):
        if health is None:
            return
        self.row = 0 if health else self.row + 1
        self.told.append((self.now_s, health, slow and health))
        width_s = SETTINGS.window_s / 10
        oldest = int(self.now_s / width_s) - 9
        recent = [entry for entry in self.told if int(entry[0] / width_s) >= oldest]
        calls, enough = len(recent), len(recent) >= SETTINGS.min_calls
        failures = sum(not entry[1] for entry in recent)
        slow_ones = sum(entry[2] for entry in recent)
        assert (self.it.window.calls, self.it.window.failures) == (calls, failures)
        too_many = not health and (self.row >= 5 or (enough and failures >= calls / 2))
        too_slow = (slow or not health) and enough and slow_ones >= SETTINGS.slow_share * calls
        if too_many or too_slow:
            self._opens()

    def _opens(self):
        open_s = min(SETTINGS.open_s * 2**self.openings, SETTINGS.max_open_s)
        self.openings += 1
        self.opened_s = self.now_s
        self.blocked_until_s = self.now_s + open_s * (1 - JITTER * self.random)
        self.probe = None

    def _expect_open(self, ticket, began_s, health):
        if health:
            if began_s >= self.opened_s:
                self.opened_s, self.openings, self.row, self.told = None, 0, 0, []
        elif ticket != ORDINARY and ticket == self.probe:
            if health is None:
                self.blocked_until_s = self.now_s
            else:
                self._opens()

    @invariant()
    def it_shows_what_it_is(self):
        status = self.it.status(self.now_s)
        assert (status.state is State.CLOSED) == (self.opened_s is None)
        assert 0 <= status.retry_in_s <= SETTINGS.max_open_s
        assert bool(status.why) == (self.opened_s is not None)


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
