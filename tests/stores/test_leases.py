"""Holds of processes that died are found by those that live; nobody else's are."""

from __future__ import annotations

import pytest
from books import NOON_S, Bench, budget, closing, hold

from gateway.ledger import HoldRequest
from gateway.money.recovery import closing_of_orphan
from gateway.stores.leases import LEASE_S

ALL = budget("everything", 100, origin="config")
ABOUT = '["chat", "auto", "default", true, "acme", "m1", "m1"]'


def paid(amount: int, **more: object) -> HoldRequest:
    return hold(amount, about=ABOUT, **more)


def test_a_living_process_keeps_its_holds(bench: Bench) -> None:
    busy, sweeper = bench.store(ALL), bench.store(ALL)
    busy.commit([paid(40)], [])
    for _ in range(10):
        bench.clock.now_s += LEASE_S
        busy.do_chores()
        assert sweeper.do_chores() == []


def test_the_holds_of_a_process_that_signed_off_are_found_at_once(bench: Bench) -> None:
    busy, sweeper = bench.store(ALL), bench.store(ALL)
    call = paid(40)
    busy.commit([call], [])
    bench.clock.now_s += LEASE_S + 1
    busy.do_chores()
    busy.sign_off()
    assert sweeper.do_chores() == [call]


def test_the_holds_of_a_dead_process_are_found_when_its_lease_has_run_out(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = paid(40)
    dead.commit([call], [])
    bench.clock.now_s += LEASE_S
    assert sweeper.do_chores() == []
    bench.clock.now_s += 1
    assert sweeper.do_chores() == [call]


@pytest.mark.parametrize("rehearsal", [False, True])
def test_a_lost_call_is_charged_what_was_held_for_it(bench: Bench, rehearsal: bool) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = paid(40, rehearsal=rehearsal)
    dead.commit([call], [])
    dead.commit([call._replace(amount_nano=20, extends=True)], [])
    bench.clock.now_s += LEASE_S + 1
    sweeper.commit([], [closing_of_orphan(found) for found in sweeper.do_chores()])
    assert bench.balance(ALL) == ((0, 0) if rehearsal else (60, 0))
    assert bench.rehearsed(ALL) == ((60, 0) if rehearsal else (0, 0))
    ((estimated, cost, listed, recovered),) = bench.look.execute(
        "SELECT estimated, cost_nano, list_cost_nano, recovered FROM attempts "
        "JOIN requests ON requests.id = request_id"
    )
    assert (bool(estimated), cost, listed, bool(recovered)) == (
        True, 0 if rehearsal else 60, 60, True,
    )  # fmt: skip


def test_two_who_sweep_at_the_same_time_charge_a_lost_call_once(bench: Bench) -> None:
    dead, *sweepers = (bench.store(ALL) for _ in range(3))
    calls = [paid(10) for _ in range(5)]
    dead.commit(calls, [])
    bench.clock.now_s += LEASE_S + 1
    found = [sweeper.do_chores() for sweeper in sweepers]
    assert [{call.id for call in orphans} for orphans in found] == [{call.id for call in calls}] * 2
    for sweeper, orphans in zip(sweepers, found, strict=True):
        sweeper.commit([], [closing_of_orphan(call) for call in orphans])
    assert bench.balance(ALL) == (50, 0)
    assert len(bench.rows("requests")) == len(bench.rows("attempts")) == 5
    assert [sweeper.do_chores() for sweeper in sweepers] == [[], []]


def test_a_process_that_was_taken_for_dead_has_the_last_word(bench: Bench) -> None:
    slow, sweeper = bench.store(ALL), bench.store(ALL)
    call = paid(40)
    slow.commit([call], [])
    bench.clock.now_s += LEASE_S + 1
    orphans = sweeper.do_chores()
    sweeper.commit([], [closing_of_orphan(found) for found in orphans])
    slow.commit([], [closing(call, 3)])
    sweeper.commit([], [closing_of_orphan(found) for found in orphans])
    assert bench.balance(ALL) == (3, 0)


def test_whoever_was_away_gives_the_others_time_to_come_back(bench: Bench) -> None:
    """The database may have been away for everybody: nobody could renew a lease."""
    busy, sweeper = bench.store(ALL), bench.store(ALL)
    call = paid(40)
    busy.commit([call], [])
    sweeper.disconnect()
    bench.clock.now_s += 10 * LEASE_S
    assert sweeper.do_chores() == []
    bench.clock.now_s += LEASE_S
    assert sweeper.do_chores() == []
    bench.clock.now_s += 1
    assert [found.id for found in sweeper.do_chores()] == [call.id]


def test_owners_without_holds_are_forgotten(bench: Bench) -> None:
    dead, holding, sweeper = (bench.store(ALL) for _ in range(3))
    dead.commit([], [])
    holding.commit([paid(1)], [])
    bench.clock.now_s = NOON_S + 10 * LEASE_S
    sweeper.do_chores()
    assert len(bench.rows("owners")) == 2
