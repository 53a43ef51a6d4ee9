"""Budgets in people's hands: listed, set and removed beside gateways that are at work."""

from __future__ import annotations

import re
import threading

import pytest
from books import DAY_S, MARKET, NOON_S, RATE, Bench, Clock, budget, closing, hold, refusal

from gateway.budget import Budget
from gateway.budget_words import NodeBalance
from gateway.errors import CallError, Outcome
from gateway.ledger import Granted, Place
from gateway.stores.budget_rows import BUDGETS_LOCK
from gateway.stores.budget_store import BudgetStore
from gateway.stores.connections import connect
from gateway.stores.leases import LEASE_S

MICRO = 1_000_000


@pytest.fixture
def people(bench: Bench) -> BudgetStore:
    """Somebody at a command line."""
    return BudgetStore(bench.url, bench.clock)


def sums(balance: NodeBalance) -> tuple[int, int, int, int]:
    return (
        balance.spent_nano,
        balance.held_nano,
        balance.rehearsed_nano,
        balance.rehearsal_held_nano,
    )


def only(balances: list[NodeBalance]) -> NodeBalance:
    (balance,) = balances
    return balance


def test_a_budget_that_was_set_is_listed_as_it_was_set(people: BudgetStore) -> None:
    wanted = budget("project=market", 500, "CNY", "month", "Asia/Shanghai", False, (50,))
    assert people.put(wanted) == people.balances()
    listed = only(people.balances())
    assert (listed.budget, listed.node, sums(listed)) == (wanted, "project=market", (0, 0, 0, 0))
    assert listed.resets_at == "2026-12-01T00:00:00+08:00"


def test_nothing_is_listed_where_nothing_was_set(people: BudgetStore) -> None:
    assert people.balances() == []


def test_a_budget_knows_what_was_spent_and_is_held_before_it_was_set(
    bench: Bench, people: BudgetStore
) -> None:
    store = bench.store()
    first, second = hold(60), hold(30)
    rehearsal = hold(20, rehearsal=True)
    store.commit([first, second, rehearsal], [])
    store.commit([], [closing(first, 50), closing(rehearsal, 7)])
    assert sums(only(people.put(budget("project=market", 500)))) == (50, 30, 7, 0)


def test_the_next_call_of_a_running_gateway_is_held_to_a_new_cap(
    bench: Bench, people: BudgetStore
) -> None:
    store = bench.store()
    assert isinstance(store.commit([hold(100)], [])[0], Granted)
    people.put(budget("project=market", 150))
    assert "no room" in refusal(store.commit([hold(100)], [])[0])
    people.put(budget("project=market", 200))
    assert isinstance(store.commit([hold(100)], [])[0], Granted)
    assert sums(only(people.balances())) == (0, 200, 0, 0)


def test_a_removed_budget_stops_nobody(bench: Bench, people: BudgetStore) -> None:
    store = bench.store()
    limit = budget("project=market", 10)
    people.put(limit)
    assert "no room" in refusal(store.commit([hold(100)], [])[0])
    assert people.remove(limit.id) == limit
    assert isinstance(store.commit([hold(100)], [])[0], Granted)
    assert people.balances() == []


def test_each_value_of_a_star_has_a_node(bench: Bench, people: BudgetStore) -> None:
    each = budget("project=*", 100)
    people.put(each)
    assert [balance.node for balance in people.balances()] == ["project=*"]
    bench.store().commit([hold(10, Place(project="b")), hold(20, Place(project="a"))], [])
    listed = people.balances()
    assert [(b.node, b.held_nano) for b in listed] == [("project=a", 20), ("project=b", 10)]


def test_only_the_window_of_this_moment_is_listed(bench: Bench, people: BudgetStore) -> None:
    people.put(budget("everything", 100, window="day"))
    store = bench.store()
    yesterday = hold(10, at_s=NOON_S - DAY_S)
    today = hold(20)
    store.commit([yesterday, today], [])
    assert sums(only(people.balances())) == (0, 20, 0, 0)
    bench.clock.now_s += DAY_S
    assert sums(only(people.balances())) == (0, 0, 0, 0)


def test_a_budget_of_the_configuration_is_changed_there_only(
    bench: Bench, people: BudgetStore
) -> None:
    configured = budget("project=market", 500, origin="config")
    bench.store(configured).commit([hold(1)], [])
    expected = re.escape("project=market (total) stands in the configuration, under money.budgets")
    with pytest.raises(CallError, match=expected):
        people.put(budget("project=market", 900))
    with pytest.raises(CallError, match=expected):
        people.remove(configured.id)
    assert only(people.balances()).budget == configured


def test_the_same_scope_may_have_another_budget_over_another_window(
    bench: Bench, people: BudgetStore
) -> None:
    bench.store(budget("project=market", 500, origin="config")).commit([hold(1)], [])
    people.put(budget("project=market", 50, window="day"))
    assert [str(b.budget.window) for b in people.balances()] == ["day", "total"]


def test_what_is_not_there_cannot_be_removed(people: BudgetStore) -> None:
    people.put(budget("task=draft", 5, window="7d"))
    expected = re.escape("no budget project=x (total); there are: task=draft (7d)")
    with pytest.raises(CallError, match=expected) as refused:
        people.remove("project=x@total")
    assert refused.value.outcome is Outcome.INVALID_REQUEST


# Shares of tasks


def test_shares_follow_the_cap_of_their_budget(bench: Bench, people: BudgetStore) -> None:
    store = bench.store(shares={"draft": 600_000})
    people.put(budget("project=market", 100))
    store.commit([hold(10)], [])
    people.put(budget("project=market", 1000))
    store.commit([hold(20)], [])
    caps = {b.node: (b.budget.cap_nano, b.held_nano) for b in people.balances()}
    assert caps == {"project=market": (1000, 30), "project=market,task=draft": (600, 30)}


def test_shares_go_with_their_budget(bench: Bench, people: BudgetStore) -> None:
    store = bench.store(shares={"draft": 600_000})
    limit = budget("project=market", 100)
    people.put(limit)
    store.commit([hold(10)], [])
    people.remove(limit.id)
    assert people.balances() == []


def test_a_share_is_removed_in_the_configuration(bench: Bench, people: BudgetStore) -> None:
    store = bench.store(shares={"draft": 600_000})
    people.put(budget("project=market", 100))
    store.commit([hold(10)], [])
    with pytest.raises(CallError, match="budget_share in the configuration"):
        people.remove("project=market,task=draft@total")


def test_a_share_can_be_set_to_a_cap_of_its_own(bench: Bench, people: BudgetStore) -> None:
    store = bench.store(shares={"draft": 600_000})
    people.put(budget("project=market", 100))
    store.commit([hold(10)], [])
    people.put(budget("project=market,task=draft", 15))
    assert "no room" in refusal(store.commit([hold(10)], [])[0])


# Beside others


def test_a_change_waits_for_whoever_moves_money(bench: Bench, people: BudgetStore) -> None:
    bench.store().commit([hold(1)], [])
    mover = connect(bench.url)
    changed = threading.Event()

    def change() -> None:
        people.put(budget("project=market", 5))
        changed.set()

    changing = threading.Thread(target=change)
    with mover.transaction():
        mover.lock(BUDGETS_LOCK, shared=True)
        changing.start()
        assert not changed.wait(0.2)
    assert changed.wait(5)
    changing.join()
    mover.close()


def test_people_who_change_the_same_budget_at_once_leave_one_of_their_caps(
    bench: Bench, people: BudgetStore
) -> None:
    bench.store().commit([hold(1)], [])
    caps = range(10, 16)

    def change(cap: int) -> None:
        people.put(budget("project=market", cap))

    threads = [threading.Thread(target=change, args=(cap,)) for cap in caps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = only(people.balances())
    assert listed.budget.cap_nano in caps
    assert listed.held_nano == 1


def test_open_holds_say_whether_somebody_will_close_them(bench: Bench, people: BudgetStore) -> None:
    one, other = hold(30, at_s=NOON_S - 9), hold(20, at_s=NOON_S - 3)
    store = bench.store()
    store.commit([other], [])
    store.commit([one], [])
    assert people.holds(10) == [(one, True), (other, True)]
    assert people.holds(1) == [(one, True)]
    bench.clock.now_s += LEASE_S + 1
    assert [is_alive for _, is_alive in people.holds(10)] == [False, False]


def test_balances_of_windows_that_are_over_are_cleared_away(
    bench: Bench, people: BudgetStore
) -> None:
    people.put(budget("project=market", 1_000, window="day"))
    store = bench.store()
    yesterdays = hold(100)
    store.commit([yesterdays], [])
    store.commit([], [closing(yesterdays, 90)])
    bench.clock.now_s += 86_400
    store.do_chores()
    store.commit([hold(30, at_s=bench.clock.now_s)], [])
    assert [row[3:5] for row in bench.rows("balances")] == [(0, 30)]
    # A call that is still under way keeps its day.
    bench.clock.now_s += 86_400
    standing = hold(7, at_s=bench.clock.now_s - 86_400)
    store.commit([standing], [])
    bench.clock.now_s += 7_200
    store.do_chores()
    assert [row[3:5] for row in bench.rows("balances")] == [(0, 37)]


def test_a_database_that_cannot_be_used_is_a_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    store = BudgetStore(f"sqlite:///{tmp_path}/file/ledger.db", Clock())
    with pytest.raises(CallError, match="the ledger's database cannot be used") as refused:
        store.balances()
    assert refused.value.outcome is Outcome.LEDGER_UNAVAILABLE


def test_amounts_of_another_currency_count_at_their_own_rate(
    bench: Bench, people: BudgetStore
) -> None:
    bench.store().commit([hold(100, MARKET)], [])
    listed = only(people.put(budget("project=market", 10_000, "CNY")))
    assert listed.held_nano == RATE.convert(100, "USD", "CNY") == 710


def test_an_unchanged_budget_changes_nothing(bench: Bench, people: BudgetStore) -> None:
    limit: Budget = budget("project=market", 100)
    people.put(limit)
    before = bench.rows("generation")
    people.put(limit)
    assert bench.rows("generation") == before
