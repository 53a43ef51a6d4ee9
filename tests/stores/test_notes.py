"""Notes on calls under way: written once, gone with the hold, and read if a process dies."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from books import Bench, budget, closing, hold

from gateway.ledger import AttemptRow, Granted, HoldRequest, LedgerRow, Note, Refused
from gateway.money.recovery import closing_of_orphan
from gateway.report import ReportQuery, ReportTerms
from gateway.stores import leases, ledger_thread
from gateway.stores.connections import StoreUnavailable, connect
from gateway.stores.group_commit import GroupCommit
from gateway.stores.leases import LEASE_S
from gateway.stores.ledger_store import LedgerStore
from gateway.stores.reports import report
from gateway.stores.verify import verify

ALL = budget("everything", 10_000, origin="config")
ABOUT = '["chat", "auto", "default", true, "acme", "m1", "m1"]'


def script(amount: int, at_risk: int | None) -> HoldRequest:
    return hold(amount, about=ABOUT, at_risk_nano=at_risk)


def note(of: HoldRequest, number: int, cost: int, more: int = 0, part: int = 1) -> Note:
    row = AttemptRow(of.id, number, "acme", "m1", "ok", 5, False, "USD", cost, cost, False, False,
                     "a list", part)  # fmt: skip
    return Note(
        of.id, number, (row,), (LedgerRow(of.id, number, "output", cost, 1, 1, cost),), more
    )


def recovered(bench: Bench, by: LedgerStore) -> list[tuple[int | None, int]]:
    """Part and cost of each attempt, once the lease of whoever else there was has run out."""
    bench.clock.now_s += LEASE_S + 1
    by.commit([], [closing_of_orphan(found) for found in by.do_chores()])
    return bench.look.execute("SELECT part, cost_nano FROM attempts ORDER BY number")


def at_risk(bench: Bench) -> list[tuple[int | None]]:
    return bench.look.execute("SELECT at_risk_nano FROM holds")


def test_what_was_noted_is_charged_as_it_is_and_the_rest_of_what_is_at_risk(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)
    dead.commit([call], [])
    dead.commit([], [], [note(call, 1, 2, 2), note(call, 2, 3, 3, part=2)])
    assert at_risk(bench) == [(85,)]
    assert bench.balance(ALL) == (0, 700)
    assert recovered(bench, sweeper) == [(1, 2), (2, 3), (None, 80)]
    assert bench.balance(ALL) == (85, 0)
    assert bench.rows("notes") == []


def test_where_all_that_is_at_risk_was_noted_nothing_is_estimated(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 5)
    dead.commit([call], [])
    dead.commit([], [], [note(call, 1, 5)])
    assert recovered(bench, sweeper) == [(1, 5)]


def test_never_more_is_charged_than_was_held(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    dead.commit([script(700, 703)], [])  # parts are rounded up one by one
    assert recovered(bench, sweeper) == [(None, 700)]


def test_calls_with_many_notes_are_closed_a_few_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_NOTES", 2)
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    calls = [script(100, 80) for _ in range(3)]
    dead.commit(calls, [], [note(call, 1, 2, 2) for call in calls])
    assert len(recovered(bench, sweeper)) == 2 * 2
    assert len(recovered(bench, sweeper)) == 3 * 2
    assert bench.balance(ALL) == (3 * 82, 0)


def test_a_call_is_closed_although_a_note_between_others_was_never_written(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)
    dead.commit([call], [])
    dead.commit([], [], [note(call, 1, 2, 2), note(call, 3, 3, 3, part=2)])
    assert recovered(bench, sweeper) == [(1, 2), (2, 3), (None, 80)]
    assert bench.balance(ALL) == (85, 0)


def test_notes_that_an_older_gateway_left_behind_are_cleared_away(bench: Bench) -> None:
    dead, younger = bench.store(ALL), bench.store(ALL)
    closed, open_ = script(100, 80), script(100, 80)
    dead.commit([closed, open_], [], [note(open_, 1, 2)])
    dead.commit([], [closing(closed, 80)])
    bench.look.execute("INSERT INTO notes VALUES (?, 1, '[[], []]')", (closed.id,))
    younger.do_chores()
    assert bench.rows("notes", "request_id") == [(open_.id,)]
    dead.commit([], [closing(open_, 2)])


def test_a_call_that_was_cut_later_is_at_risk_with_all_of_it_until_a_note_says_less(
    bench: Bench,
) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, None)
    dead.commit([call], [])
    dead.commit([], [], [note(call, 1, 2, -600)])
    assert recovered(bench, sweeper) == [(1, 2), (None, 98)]


def test_a_note_that_is_written_again_counts_once(bench: Bench) -> None:
    store = bench.store(ALL)
    call = script(700, 80)
    store.commit([call], [])
    for _ in range(2):
        assert store.commit([], [], [note(call, 1, 2, 2)]) == [Granted()]
    assert at_risk(bench) == [(82,)]
    assert len(bench.rows("notes")) == 1


def test_more_is_put_at_risk_with_money_and_without(bench: Bench) -> None:
    store = bench.store(ALL)
    call = script(700, 80)
    store.commit([call], [])
    more = call._replace(extends=True, amount_nano=0, at_risk_nano=5)
    dearer = more._replace(amount_nano=50, at_risk_nano=60)
    assert store.commit([more, dearer], []) == [Granted(), Granted()]
    assert bench.look.execute("SELECT amount_nano, at_risk_nano FROM holds") == [(750, 145)]


def test_more_for_a_call_that_was_cut_later_is_at_risk_once(bench: Bench) -> None:
    store = bench.store(ALL)
    call = script(700, None)
    store.commit([call], [])
    store.commit([call._replace(extends=True, amount_nano=50, at_risk_nano=50)], [])
    assert bench.look.execute("SELECT amount_nano, at_risk_nano FROM holds") == [(750, 750)]


def test_the_end_of_a_call_takes_its_notes_along(bench: Bench) -> None:
    store = bench.store(ALL)
    call, other = script(700, 80), script(700, 80)
    store.commit([call, other], [])
    store.commit([], [], [note(call, 1, 2), note(other, 1, 2)])
    store.commit([], [closing(call, 2)])
    assert bench.rows("notes", "request_id") == [(other.id,)]
    assert bench.balance(ALL) == (2, 700)


def test_a_note_on_a_call_that_is_over_is_not_written(bench: Bench) -> None:
    store = bench.store(ALL)
    call = script(700, 80)
    store.commit([call], [])
    (answer,) = store.commit([], [closing(call, 2)], [note(call, 1, 2)])
    assert isinstance(answer, Refused)
    assert bench.rows("notes") == []
    more = call._replace(extends=True, amount_nano=0, at_risk_nano=5)
    assert isinstance(store.commit([more], [])[0], Refused)


def test_a_call_that_goes_on_after_it_was_found_is_not_closed_by_what_was_found(
    bench: Bench,
) -> None:
    """It puts more at risk between the look and the closing."""
    slow, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)
    slow.commit([call], [])
    bench.clock.now_s += LEASE_S + 1
    found = sweeper.do_chores()
    slow.commit([call._replace(extends=True, amount_nano=0, at_risk_nano=5)], [])
    sweeper.commit([], [closing_of_orphan(each) for each in found])
    assert bench.balance(ALL) == (0, 700)
    assert recovered(bench, sweeper) == [(None, 85)]


def test_the_truth_takes_the_place_of_notes_and_guess(bench: Bench) -> None:
    slow, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)
    slow.commit([call], [])
    slow.commit([], [], [note(call, 1, 2, 2)])
    recovered(bench, sweeper)
    slow.commit([], [closing(call, 2, 4, 6)])
    assert bench.balance(ALL) == (12, 0)


def test_verify_and_reports_know_the_parts_of_a_call_that_died(bench: Bench) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)
    dead.commit([call], [], [])
    dead.commit([], [], [note(call, 1, 2, 2), note(call, 2, 3, 3, part=2)])
    assert verify(bench.look, int(bench.clock())).named == []
    recovered(bench, sweeper)
    assert verify(bench.look, int(bench.clock())).named == []
    found = report(bench.url, ReportQuery(), ReportTerms("UTC", "USD", int(bench.clock())))
    amounts = found.total.spent.converted("USD")
    assert (amounts.total, amounts.recovered, amounts.settled) == (85, 80, 5)
    assert amounts.retries == 0


def test_verify_finds_a_note_without_a_hold_and_a_risk_that_cannot_be(bench: Bench) -> None:
    store = bench.store(ALL)
    store.commit([script(700, -1)], [])
    bench.look.execute("INSERT INTO notes VALUES ('gone', 1, '[[],[]]')")
    named = verify(bench.look, int(bench.clock())).named
    assert any("note 1 on request gone belongs to a hold that is not there" in n for n in named)
    assert any(n.endswith("which is 700, -1 is at risk") for n in named)


@pytest.mark.parametrize("rehearsal", [False, True])
def test_a_rehearsed_script_that_died_is_charged_in_the_other_book(
    bench: Bench, rehearsal: bool
) -> None:
    dead, sweeper = bench.store(ALL), bench.store(ALL)
    call = script(700, 80)._replace(rehearsal=rehearsal)
    dead.commit([call], [])
    (row,) = note(call, 1, 2).attempts
    noted = note(call, 1, 2, 2)._replace(
        attempts=(row._replace(rehearsal=rehearsal, cost_nano=0 if rehearsal else 2),)
    )
    dead.commit([], [], [noted])
    recovered(bench, sweeper)
    assert bench.balance(ALL)[0] == (0 if rehearsal else 82)
    assert bench.rehearsed(ALL)[0] == (84 if rehearsal else 0)


def group_commit(bench: Bench, reports: list[str]) -> GroupCommit:
    def report_fault(what: str, error: BaseException) -> None:
        reports.append(f"{what}: {error!r}")

    return GroupCommit(bench.store(ALL), StoreUnavailable, closing_of_orphan, report_fault)


async def test_whoever_made_a_note_is_told_once_it_is_written(bench: Bench) -> None:
    ledger, written = group_commit(bench, []), asyncio.Event()
    call = script(700, 80)
    await ledger.hold(call)
    ledger.note(note(call, 1, 2, 2), written.set)
    await asyncio.wait_for(written.wait(), 10)
    assert at_risk(bench) == [(82,)]
    await ledger.hold(call._replace(extends=True, amount_nano=0, at_risk_nano=1))
    assert at_risk(bench) == [(83,)]
    assert (ledger.tally.granted, ledger.tally.closed, ledger.backlog) == (1, 0, 0)
    ledger.close(partial(closing, call, 2))
    await ledger.stop(10)
    assert bench.rows("notes") == []


async def test_notes_wait_in_order_until_the_database_can_be_used(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_thread, "MAX_BATCH", 2)
    monkeypatch.setattr(ledger_thread, "CHORES_S", 3600)
    bench, reports, written = Bench(sqlite_url), list[str](), list[int]()
    ledger, call, other = group_commit(bench, reports), script(700, 80), connect(sqlite_url)
    await ledger.hold(call)
    with other.transaction():
        for number in (1, 2, 3):
            ledger.note(note(call, number, 2, 2), partial(written.append, number))
        while not reports:
            await asyncio.sleep(0.01)
        assert not written
    other.close()
    async with asyncio.timeout(10):
        while len(written) < 3:
            await asyncio.sleep(0.01)
    assert (written, at_risk(bench)) == ([1, 2, 3], [(86,)])
    await ledger.stop(10)
    bench.close()


async def test_nobody_is_told_of_a_note_on_a_call_that_has_ended(bench: Bench) -> None:
    ledger, written = group_commit(bench, []), asyncio.Event()
    call = script(700, 80)
    await ledger.hold(call)
    ledger.close(partial(closing, call, 2))
    await ledger.hold(script(1, 1))
    ledger.note(note(call, 1, 2, 2), written.set)
    await ledger.hold(script(1, 1))
    await ledger.stop(10)
    assert (written.is_set(), bench.rows("notes")) == (False, [])


async def test_a_note_that_cannot_be_written_takes_no_other_along(bench: Bench) -> None:
    reports, written = list[str](), asyncio.Event()
    ledger, call = group_commit(bench, reports), script(700, 80)
    await ledger.hold(call)
    good = note(call, 2, 3, 3)
    ledger.note(good._replace(number=10**30), written.set)
    ledger.note(good, written.set)
    await asyncio.wait_for(written.wait(), 10)
    assert at_risk(bench) == [(83,)]
    await ledger.stop(10)
    assert len(reports) == 1
