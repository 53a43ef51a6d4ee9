"""Holds and closings in the one writing transaction, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from books import (
    DAY_S,
    MARKET,
    NOON_S,
    RATE,
    Bench,
    budget,
    closing,
    granted,
    hold,
    refusal,
)

from gateway.ledger import Closing, ExchangeRate, Granted, Place, Refused

ALL = budget("everything", 100, origin="config")
MARKET_BUDGET = budget("project=market", 100, origin="config")


# Holds


def test_what_is_held_is_no_longer_there_for_others(bench: Bench) -> None:
    store = bench.store(ALL)
    assert granted(store.commit([hold(60), hold(60), hold(40)], [])) == [True, False, True]
    assert bench.balance(ALL) == (0, 100)


def test_a_refusal_names_the_budget_and_every_amount(bench: Bench) -> None:
    store = bench.store(budget("project=market", 5_000_000_000, "CNY", origin="config"))
    store.commit([hold(500_000_000)], [])
    (verdict,) = store.commit([hold(300_000_000)], [])
    assert refusal(verdict) == (
        "budget project=market has no room for this call: cap CNY 5.00, spent 0.00, held 3.55, "
        "and this call may cost up to 2.13. It does not start anew; raise it in the "
        "configuration, under money.budgets."
    )


def test_a_call_is_held_at_every_budget_that_concerns_it_or_at_none(bench: Bench) -> None:
    small = budget("task=draft", 10, origin="config")
    store = bench.store(ALL, small)
    assert granted(store.commit([hold(11)], [])) == [False]
    assert (bench.balance(ALL), bench.balance(small)) == ((0, 0), (0, 0))
    assert bench.rows("holds") == []


def test_a_budget_concerns_only_calls_of_its_place(bench: Bench) -> None:
    store = bench.store(MARKET_BUDGET)
    elsewhere = hold(1_000, MARKET._replace(project="harbour"))
    assert granted(store.commit([elsewhere, hold(1_000, Place()), hold(101)], [])) == [
        True, True, False,
    ]  # fmt: skip


def test_each_value_of_a_starred_level_has_the_budget_for_itself(bench: Bench) -> None:
    each = budget("project=market,user=*", 100, origin="config")
    store = bench.store(each)
    lin, mei = hold(100), hold(100, MARKET._replace(user="mei"))
    nobody = hold(500, MARKET._replace(user=None))
    assert granted(store.commit([lin, mei, nobody, hold(1)], [])) == [True, True, True, False]
    assert bench.balance(each, "project=market,user=lin") == (0, 100)
    assert bench.balance(each, "project=market,user=mei") == (0, 100)


@pytest.mark.parametrize("amount", [1, 1_000_000_000])
def test_a_budget_of_zero_lets_only_what_costs_nothing_pass(bench: Bench, amount: int) -> None:
    store = bench.store(budget("everything", 0, origin="config"))
    assert granted(store.commit([hold(amount), hold(0)], [])) == [False, True]


def test_a_soft_budget_warns_at_its_lowest_mark_and_stops_nothing(bench: Bench) -> None:
    soft = budget("everything", 100, hard=False, marks=(50, 90), origin="config")
    store = bench.store(soft)
    quiet, loud, over = store.commit([hold(49), hold(1), hold(1_000)], [])
    assert quiet == Granted(())
    assert loud == Granted(("budget everything is at 50 % of USD 0.0000001",))
    assert over == Granted(("budget everything is at 1050 % of USD 0.0000001",))


def test_a_hard_budget_warns_at_its_marks_too(bench: Bench) -> None:
    store = bench.store(budget("user=*", 100, marks=(80,), origin="config"))
    below, at = store.commit([hold(79), hold(1)], [])
    assert (below, at) == (
        Granted(()), Granted(("budget user=lin is at 80 % of USD 0.0000001",))
    )  # fmt: skip


def test_an_amount_in_another_currency_is_rounded_up(bench: Bench) -> None:
    yuan = budget("everything", 100, "CNY", origin="config")
    store = bench.store(yuan)
    assert granted(store.commit([hold(14), hold(1)], [])) == [True, False]
    assert bench.balance(yuan) == (0, 100)  # 14 × 7.1 = 99.4


def test_the_rate_of_a_call_is_that_of_its_hold(bench: Bench) -> None:
    yuan = budget("everything", 1_000, "CNY", origin="config")
    store = bench.store(yuan)
    old, new = hold(10), hold(10, rate=ExchangeRate(8_000_000_000, "2026-11-21", "a bank"))
    store.commit([old, new], [])
    assert bench.balance(yuan) == (0, 71 + 80)
    store.commit([], [closing(old, 10), closing(new, 10)])
    assert bench.balance(yuan) == (151, 0)
    assert len(bench.rows("exchange_rates")) == 2


def test_a_rehearsal_rehearses_the_budget_and_uses_up_none_of_it(bench: Bench) -> None:
    store = bench.store(ALL)
    rehearsed = hold(70, rehearsal=True)
    assert granted(store.commit([rehearsed, hold(70), hold(40, rehearsal=True)], [])) == [
        True, True, False,
    ]  # fmt: skip
    store.commit([], [closing(rehearsed, 55)])
    assert (bench.balance(ALL), bench.rehearsed(ALL)) == ((0, 70), (55, 0))


# Closings


def test_a_closing_moves_what_was_used_and_releases_the_rest(bench: Bench) -> None:
    store = bench.store(ALL)
    call = hold(80)
    store.commit([call], [])
    store.commit([], [closing(call, 10, 20)])
    assert bench.balance(ALL) == (30, 0)
    assert bench.rows("holds") == []
    assert bench.rows("ledger", "request_id, attempt, meter, cost_nano") == [
        (call.id, 1, "output", 10), (call.id, 2, "output", 20),
    ]  # fmt: skip
    assert bench.rows("attempts", "request_id, number, cost_nano") == [
        (call.id, 1, 10), (call.id, 2, 20),
    ]  # fmt: skip
    assert bench.rows("requests", "id, held_nano, exchange_rate") == [(call.id, 80, RATE.id)]


def test_what_a_closing_releases_is_there_for_the_holds_beside_it(bench: Bench) -> None:
    store = bench.store(ALL)
    call = hold(100)
    store.commit([call], [])
    assert granted(store.commit([hold(90)], [closing(call, 10)])) == [True]
    assert bench.balance(ALL) == (10, 90)


@pytest.mark.parametrize("together", [True, False])
def test_closing_twice_charges_once(bench: Bench, together: bool) -> None:
    store = bench.store(ALL)
    call = hold(50)
    store.commit([call], [])
    for closings in [[closing(call, 20)] * 2] if together else [[closing(call, 20)]] * 2:
        store.commit([], closings)
    assert bench.balance(ALL) == (20, 0)
    assert len(bench.rows("requests")) == 1


@pytest.mark.parametrize("together", [True, False])
def test_releasing_twice_gives_back_once(bench: Bench, together: bool) -> None:
    store = bench.store(ALL)
    call, other = hold(30), hold(50)
    store.commit([call, other], [])
    for closings in [[Closing(call)] * 2] if together else [[Closing(call)]] * 2:
        store.commit([], closings)
    assert bench.balance(ALL) == (0, 50)


def test_a_hold_that_was_never_there_is_released_without_a_trace(bench: Bench) -> None:
    store = bench.store(ALL)
    store.commit([], [Closing(hold(30)), closing(hold(30), 30)])
    assert bench.balance(ALL) == (0, 0)
    assert bench.rows("requests") == []


def test_the_truth_of_a_call_replaces_the_guess_that_was_made_for_it(bench: Bench) -> None:
    store, sweeper = bench.store(ALL), bench.store(ALL)
    call = hold(50)
    store.commit([call], [])
    sweeper.commit([], [closing(call, 50, recovered=True)])
    assert bench.balance(ALL) == (50, 0)
    store.commit([], [closing(call, 7, 5)])
    assert bench.balance(ALL) == (12, 0)
    assert bench.rows("requests", "id, recovered") in ([(call.id, 0)], [(call.id, False)])
    assert bench.rows("ledger", "attempt, cost_nano") == [(1, 7), (2, 5)]
    assert (store.late_closings, sweeper.late_closings) == (1, 0)


def test_a_second_guess_changes_nothing(bench: Bench) -> None:
    first, second = bench.store(ALL), bench.store(ALL)
    call = hold(50)
    first.commit([call], [])
    guess = closing(call, 50, recovered=True)
    first.commit([], [guess])
    second.commit([], [guess])
    assert bench.balance(ALL) == (50, 0)
    assert second.late_closings == 0


# More for a hold that stands


def test_an_extension_is_held_with_its_hold_and_released_with_it(bench: Bench) -> None:
    store = bench.store(ALL)
    call = hold(40)
    store.commit([call], [])
    assert granted(store.commit([call._replace(amount_nano=60, extends=True)], [])) == [True]
    assert bench.rows("holds", "id, amount_nano") == [(call.id, 100)]
    assert bench.balance(ALL) == (0, 100)
    store.commit([], [closing(call, 40, 30)])
    assert bench.balance(ALL) == (70, 0)


def test_an_extension_without_room_leaves_the_hold_as_it_was(bench: Bench) -> None:
    store = bench.store(ALL)
    call = hold(40)
    store.commit([call], [])
    assert granted(store.commit([call._replace(amount_nano=61, extends=True)], [])) == [False]
    assert bench.balance(ALL) == (0, 40)


def test_extensions_in_another_currency_leave_nothing_behind(bench: Bench) -> None:
    yuan = budget("everything", 1_000, "CNY", origin="config")
    store = bench.store(yuan)
    call = hold(1)
    more = call._replace(extends=True)
    store.commit([call], [])
    store.commit([more, more], [])
    assert bench.balance(yuan) == (0, 22)  # 3 × 7.1 rounded up once, not thrice
    store.commit([], [Closing(call)])
    assert bench.balance(yuan) == (0, 0)


@pytest.mark.parametrize("together", [True, False])
def test_nothing_extends_a_hold_that_has_ended(bench: Bench, together: bool) -> None:
    store = bench.store(ALL)
    call = hold(40)
    more = call._replace(extends=True)
    store.commit([call], [])
    if not together:
        store.commit([], [Closing(call)])
    (verdict,) = store.commit([more], [Closing(call)])
    assert refusal(verdict) == f"the hold of {call.id} has ended, so there is none to extend"
    assert bench.balance(ALL) == (0, 0)


# Windows


@pytest.mark.parametrize(
    ("window", "time_zone", "last_s", "next_s"),
    [
        # 2026-11-22 and 23, of Greenwich and of Shanghai (16:00 UTC)
        ("day", "UTC", 1_795_391_999, 1_795_392_000),
        ("day", "Asia/Shanghai", 1_795_363_199, 1_795_363_200),
        ("month", "UTC", 1_796_083_199, 1_796_083_200),
        ("month", "Asia/Shanghai", 1_796_054_399, 1_796_054_400),
    ],
)
def test_a_window_ends_at_midnight_where_it_says(
    bench: Bench, window: str, time_zone: str, last_s: int, next_s: int
) -> None:
    capped = budget("everything", 100, window=window, time_zone=time_zone, origin="config")
    store = bench.store(capped)
    assert granted(store.commit([hold(100, at_s=last_s)], [])) == [True]
    (verdict,) = store.commit([hold(1, at_s=last_s)], [])
    assert isinstance(verdict, Refused)
    assert verdict.retry_at_s == next_s
    assert granted(store.commit([hold(100, at_s=next_s)], [])) == [True]


def test_a_call_over_midnight_is_charged_to_the_day_it_began(bench: Bench) -> None:
    capped = budget("everything", 100, window="day", origin="config")
    store = bench.store(capped)
    call = hold(100, at_s=NOON_S)
    store.commit([call], [])
    bench.clock.now_s += DAY_S
    tomorrow = hold(100, at_s=NOON_S + DAY_S)
    assert granted(store.commit([tomorrow], [closing(call, 90)])) == [True]
    more = call._replace(amount_nano=10, extends=True)
    assert granted(store.commit([more], [])) == [False]  # it has ended
    assert bench.balance(capped) == (90, 100)


def test_more_for_a_call_of_yesterday_is_asked_of_yesterday(bench: Bench) -> None:
    capped = budget("everything", 100, window="day", origin="config")
    store = bench.store(capped)
    call = hold(60, at_s=NOON_S)
    store.commit([call], [])
    store.commit([hold(100, at_s=NOON_S + DAY_S)], [])
    more = call._replace(amount_nano=40, extends=True)
    assert granted(store.commit([more], [])) == [True]


def test_a_rolling_window_lets_go_of_what_is_older_than_it(bench: Bench) -> None:
    capped = budget("everything", 100, window="24h", origin="config")
    store = bench.store(capped)
    begin_s = NOON_S - NOON_S % 3600
    store.commit([hold(60, at_s=begin_s), hold(40, at_s=begin_s + 3600)], [])
    at_s = [begin_s + hours * 3600 for hours in (23, 24, 25, 26)]
    verdicts = [store.commit([hold(60, at_s=s)], [])[0] for s in at_s]
    assert granted(verdicts) == [False, False, True, False]
    assert isinstance(verdicts[0], Refused)
    assert verdicts[0].retry_at_s == begin_s + (23 + 24 + 1) * 3600


def test_holds_of_several_buckets_are_admitted_together(bench: Bench) -> None:
    """What leaves the window between two calls of one batch is not held against the later."""
    capped = budget("everything", 100, window="24h", origin="config")
    store = bench.store(capped)
    begin_s = NOON_S - NOON_S % 3600
    store.commit([hold(50, at_s=begin_s)], [])
    batch = [hold(50, at_s=begin_s + 24 * 3600), hold(50, at_s=begin_s + 25 * 3600)]
    assert granted(store.commit(batch, [])) == [True, True]


# Budgets that change


def test_a_lowered_cap_stops_new_holds_and_lets_the_old_ones_end(bench: Bench) -> None:
    capped = budget("everything", 100)
    bench.store()
    bench.put(capped)
    store = bench.store()
    call = hold(80)
    store.commit([call], [])
    bench.put(budget("everything", 50))
    assert granted(store.commit([hold(1)], [])) == [False]
    store.commit([], [closing(call, 80)])
    assert bench.balance(capped) == (80, 0)
    bench.put(budget("everything", 81))
    assert granted(store.commit([hold(2), hold(1)], [])) == [False, True]


def test_a_new_budget_begins_with_what_was_spent_and_is_held(bench: Bench) -> None:
    store = bench.store()
    spent, held = hold(60), hold(30)
    store.commit([spent, held], [])
    store.commit([], [closing(spent, 50)])
    yuan = budget("project=market", 1_000, "CNY")
    bench.put(yuan)
    assert bench.balance(yuan) == (355, 213)
    assert granted(store.commit([hold(61), hold(60)], [])) == [False, True]


def test_a_budget_in_another_currency_counts_anew(bench: Bench) -> None:
    store = bench.store()
    bench.put(budget("everything", 100))
    store.commit([hold(10)], [])
    yuan = budget("everything", 100, "CNY")
    bench.put(yuan)
    assert bench.balance(yuan) == (0, 71)


def test_a_budget_that_is_gone_stops_nobody(bench: Bench) -> None:
    capped = budget("everything", 10)
    store = bench.store()
    bench.put(capped)
    call = hold(10)
    assert granted(store.commit([call, hold(1)], [])) == [True, False]
    assert bench.drop(capped) == 1
    assert bench.drop(capped) == 0
    assert granted(store.commit([hold(1_000)], [closing(call, 10)])) == [True]
    assert bench.rows("balances") == []


def test_every_budget_of_the_configuration_is_written_before_the_first_hold(bench: Bench) -> None:
    store = bench.store(budget("everything", 10, origin="config"))
    assert granted(store.commit([hold(11)], [])) == [False]
    store.want_budgets({}, {})
    assert granted(store.commit([hold(11)], [])) == [True]
    assert bench.rows("budgets") == []


def test_the_configuration_leaves_other_budgets_alone(bench: Bench) -> None:
    by_hand = budget("user=lin", 10)
    bench.store()
    bench.put(by_hand)
    store = bench.store(ALL)
    store.do_chores()
    assert [row[0] for row in bench.rows("budgets", "id, origin")] == [ALL.id, by_hand.id]


# Shares of tasks


def test_a_task_may_use_its_share_of_a_project_and_no_more(bench: Bench) -> None:
    store = bench.store(MARKET_BUDGET, shares={"draft": 600_000})
    polish = MARKET._replace(task="polish")
    holds = [hold(60), hold(1), hold(40, polish), hold(1, polish)]
    assert granted(store.commit(holds, [])) == [True, False, True, False]


def test_a_share_follows_the_cap_of_the_configuration(bench: Bench) -> None:
    store = bench.store(MARKET_BUDGET, shares={"draft": 600_000})
    store.commit([hold(60)], [])
    larger = budget("project=market", 200, origin="config")
    store.want_budgets({larger.id: larger}, {"draft": 600_000})
    assert granted(store.commit([hold(61), hold(60)], [])) == [False, True]


def test_a_project_that_gets_a_budget_by_hand_gets_its_shares_too(bench: Bench) -> None:
    store = bench.store(shares={"draft": 500_000})
    store.commit([], [])
    bench.put(budget("project=market", 100))
    assert granted(store.commit([hold(51), hold(50)], [])) == [False, True]


def test_a_budget_set_apart_for_a_task_is_not_cut_to_its_share(bench: Bench) -> None:
    own = budget("project=market,task=draft", 90, origin="config")
    store = bench.store(MARKET_BUDGET, own, shares={"draft": 100_000})
    assert granted(store.commit([hold(91), hold(90)], [])) == [False, True]


# What nobody foresaw


def test_a_batch_that_fails_leaves_nothing_and_forgets_nothing(bench: Bench) -> None:
    """Not even the exchange rate, without whose row a hold could not be found again."""
    store = bench.store(ALL)
    call = hold(10)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate|constraint"):
        store.commit([call, call], [])
    assert (bench.rows("holds"), bench.rows("exchange_rates")) == ([], [])
    assert granted(store.commit([call], [])) == [True]
    assert len(bench.rows("exchange_rates")) == 1
