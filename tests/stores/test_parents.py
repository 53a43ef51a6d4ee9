"""Admitted quotes that calls draw from, and what becomes of the rest."""

from __future__ import annotations

import pytest
from books import DAY_S, MARKET, MICRO, NOON_S, Bench, budget, closing, granted, hold, refusal

from gateway.ledger import Closing, HoldRequest, Place
from gateway.money.recovery import closing_of_orphan

ALL = budget("everything", 100, origin="config")
QUOTE_PLACE = Place(tenant="studio", project="market")


def quote(amount: int, **more: object) -> HoldRequest:
    return hold(amount, QUOTE_PLACE, expires_us=(NOON_S + 7 * DAY_S) * MICRO, **more)


def child(of: HoldRequest, amount: int, **more: object) -> HoldRequest:
    return hold(amount, parent=of.id, **more)


def left(bench: Bench, of: HoldRequest) -> int:
    amounts: dict[str, int] = dict(bench.rows("holds", "id, amount_nano"))
    return amounts[of.id]


def test_a_call_draws_from_its_quote_where_the_budget_has_no_room_left(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    store.commit([admitted, hold(10)], [])
    assert granted(store.commit([child(admitted, 60), hold(1)], [])) == [True, False]
    assert left(bench, admitted) == 30
    assert bench.balance(ALL) == (0, 100)


def test_what_a_call_did_not_need_goes_back_to_its_quote(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    call = child(admitted, 60)
    store.commit([admitted], [])
    store.commit([call], [])
    store.commit([], [closing(call, 15)])
    assert left(bench, admitted) == 75
    assert bench.balance(ALL) == (15, 75)


def test_a_quote_has_what_its_calls_spent_in_its_own_currency(bench: Bench) -> None:
    store = bench.store(budget("everything", 200, origin="config"))
    admitted = quote(1_000, currency="CNY")
    call = child(admitted, 100)
    store.commit([admitted], [])
    store.commit([call], [])
    assert left(bench, admitted) == 290
    store.commit([], [closing(call, 100)])
    assert left(bench, admitted) == 290


def test_a_quote_never_gives_more_than_it_has(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    store.commit([admitted], [])
    first, second = store.commit([child(admitted, 60), child(admitted, 40)], [])
    assert refusal(second) == (
        f"the admitted quote {admitted.id} has USD 0.00000003 left, and this call may cost up to "
        "0.00000004"
    )
    assert granted([first]) == [True]


def test_an_extension_draws_from_the_quote_too(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    call = child(admitted, 60)
    store.commit([admitted], [])
    store.commit([call], [])
    more = call._replace(amount_nano=20, extends=True)
    assert granted(store.commit([more, more], [])) == [True, False]
    store.commit([], [Closing(call)])
    assert left(bench, admitted) == 90


def test_a_budget_that_the_quote_is_not_in_still_stops_its_calls(bench: Bench) -> None:
    drafts = budget("task=draft", 50, origin="config")
    store = bench.store(ALL, drafts)
    admitted = quote(90)
    store.commit([admitted], [])
    assert granted(store.commit([child(admitted, 51), child(admitted, 50)], [])) == [False, True]
    assert bench.balance(drafts) == (0, 50)


def test_a_quote_of_yesterday_does_not_open_the_budget_of_today(bench: Bench) -> None:
    daily = budget("everything", 100, window="day", origin="config")
    store = bench.store(daily)
    admitted = quote(100)
    store.commit([admitted], [])
    bench.clock.now_s += DAY_S
    tomorrow_s = NOON_S + DAY_S
    store.commit([hold(70, at_s=tomorrow_s)], [])
    calls = [child(admitted, amount, at_s=tomorrow_s) for amount in (31, 30)]
    assert granted(store.commit(calls, [])) == [False, True]


def test_a_quote_keeps_its_room_in_a_window_that_rolls_on(bench: Bench) -> None:
    rolling = budget("everything", 100, window="24h", origin="config")
    store = bench.store(rolling)
    admitted = quote(100)
    store.commit([admitted], [])
    call = child(admitted, 100, at_s=NOON_S + 3 * 3600)
    assert granted(store.commit([call], [])) == [True]
    assert granted(store.commit([hold(1, at_s=NOON_S + 25 * 3600)], [])) == [False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"place": MARKET._replace(project="harbour")}, "is for another key or place"),
        ({"rehearsal": True}, "is for calls that are paid, and this one is not"),
        ({"parent": "quo_none"}, "does not exist, or has expired"),
        ({"at_s": NOON_S + 7 * DAY_S}, "does not exist, or has expired"),
    ],
)
def test_a_call_that_may_not_draw_is_told_why(
    bench: Bench, change: dict[str, object], reason: str
) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    store.commit([admitted], [])
    call = hold(**{"amount": 10, "parent": admitted.id, **change})  # type: ignore[arg-type]
    (verdict,) = store.commit([call], [])
    assert reason in refusal(verdict)
    assert left(bench, admitted) == 90


def test_nobody_draws_from_a_call(bench: Bench) -> None:
    store = bench.store(ALL)
    call = hold(50)
    store.commit([call], [])
    (verdict,) = store.commit([child(call, 10)], [])
    assert "does not exist" in refusal(verdict)


def test_the_rest_of_a_quote_that_is_withdrawn_is_free_again(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    call = child(admitted, 60)
    store.commit([admitted], [])
    store.commit([call], [])
    store.commit([], [Closing(admitted)])
    assert bench.balance(ALL) == (0, 60)
    store.commit([], [closing(call, 20)])
    assert bench.balance(ALL) == (20, 0)


@pytest.mark.parametrize("quote_first", [True, False])
def test_a_quote_and_its_call_may_end_together(bench: Bench, quote_first: bool) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    call = child(admitted, 60)
    store.commit([admitted], [])
    store.commit([call], [])
    ends = [Closing(admitted), closing(call, 20)]
    store.commit([], ends if quote_first else ends[::-1])
    assert bench.balance(ALL) == (20, 0)
    assert bench.rows("holds") == []


def test_nobody_draws_from_a_quote_that_ends_in_the_same_commit(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    store.commit([admitted], [])
    (verdict,) = store.commit([child(admitted, 10)], [Closing(admitted)])
    assert "does not exist" in refusal(verdict)
    assert bench.balance(ALL) == (0, 0)


def test_an_expired_quote_is_released_and_costs_nothing(bench: Bench) -> None:
    store = bench.store(ALL)
    admitted = quote(90)
    store.commit([admitted], [])
    bench.clock.now_s += 8 * DAY_S
    expired = store.do_chores()
    assert [found.id for found in expired] == [admitted.id]
    store.commit([], [closing_of_orphan(found) for found in expired])
    assert bench.balance(ALL) == (0, 0)
    assert bench.rows("requests") == []
