"""The one thread between the calls and the ledger's database: batches, outages, farewells."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
from books import Bench, budget, closing, hold

from gateway.errors import CallError, Outcome
from gateway.ledger import Closing, Granted, HoldRequest, Note, Refused, Verdict
from gateway.money.recovery import closing_of_orphan
from gateway.stores import group_commit, ledger_thread
from gateway.stores.connections import StoreUnavailable, connect
from gateway.stores.group_commit import GroupCommit
from gateway.stores.leases import LEASE_S
from tests.databases import Cluster

ALL = budget("everything", 100_000, origin="config")
ABOUT = '["chat", "auto", "default", true, "acme", "m1", "m1"]'
FAREWELL_S = 30.0
BACK_WITHIN_S = 30.0


class Ledger(GroupCommit):
    """With what it reported, and the bench that it works on."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.reports: list[str] = []
        super().__init__(
            bench.store(ALL),
            StoreUnavailable,
            closing_of_orphan,
            lambda what, error: self.reports.append(f"{what}: {error!r}"),
        )

    def end(self, of: HoldRequest, *costs: int) -> None:
        self.close(partial(closing, of, *costs))


@pytest.fixture
async def ledger(bench: Bench) -> AsyncIterator[Ledger]:
    ledger = Ledger(bench)
    yield ledger
    await ledger.stop(FAREWELL_S)


Trouble = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def stalled(bench: Bench) -> Trouble:
    """A context in which somebody else keeps the database to himself."""

    @contextmanager
    def stall() -> Iterator[None]:
        other = connect(bench.url)
        with other.transaction():
            other.execute("LOCK TABLE generation" if other.for_update else "SELECT 1")
            yield
        other.close()

    return stall


@pytest.fixture
def away(
    bench: Bench, request: pytest.FixtureRequest
) -> Callable[[], AbstractContextManager[None]]:
    """A context in which there is no database: a server that is stopped, a file that is locked."""

    @contextmanager
    def server_stopped() -> Iterator[None]:
        cluster: Cluster = request.getfixturevalue("postgres")
        cluster.stop()
        try:
            yield
        finally:
            cluster.start()

    @contextmanager
    def file_locked() -> Iterator[None]:
        other = connect(bench.url)
        with other.transaction():
            yield
        other.close()

    return file_locked if bench.url.startswith("sqlite") else server_stopped


async def verdict(ledger: Ledger, request: HoldRequest) -> Verdict | Outcome:
    try:
        return await ledger.hold(request)
    except CallError as error:
        return error.outcome


# Batches


async def test_calls_that_come_together_are_committed_together(ledger: Ledger) -> None:
    await ledger.hold(hold(1))
    commits = ledger.tally.commits
    calls = [hold(1) for _ in range(200)]
    verdicts = await asyncio.gather(*map(ledger.hold, calls))
    assert all(isinstance(each, Granted) for each in verdicts)
    assert ledger.tally.commits - commits <= 20
    assert ledger.tally.granted == 201


async def test_a_batch_never_grants_more_than_there_is(ledger: Ledger) -> None:
    verdicts = await asyncio.gather(*(ledger.hold(hold(1_000)) for _ in range(300)))
    assert sum(isinstance(each, Granted) for each in verdicts) == 100
    assert sum(isinstance(each, Refused) for each in verdicts) == 200
    assert ledger.tally.refused == 200


async def test_what_ended_is_written_with_the_next_holds_and_makes_room_for_them(
    ledger: Ledger,
) -> None:
    call = hold(100_000)
    await ledger.hold(call)
    ledger.end(call, 10)
    assert await ledger.hold(hold(99_990)) == Granted(
        ("budget everything is at 100 % of USD 0.0001",)
    )


# Calls that leave


async def test_a_call_that_leaves_while_it_waits_leaves_no_hold(
    ledger: Ledger, stalled: Trouble
) -> None:
    await ledger.hold(hold(1))
    with stalled():
        async with asyncio.TaskGroup() as calls:
            waiting = [calls.create_task(ledger.hold(hold(5))) for _ in range(10)]
            await asyncio.to_thread(time.sleep, 0.1)
            for call in waiting:
                call.cancel()
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.rows("holds", "amount_nano") == [(1,)]
    assert ledger.bench.balance(ALL) == (0, 1)


async def test_a_call_that_leaves_in_the_moment_of_its_grant_leaves_no_hold(bench: Bench) -> None:
    class Hasty(Ledger):
        def decided(self, *news: Any) -> None:
            super().decided(*news)
            call.cancel()

    ledger = Hasty(bench)
    async with asyncio.TaskGroup() as calls:
        call = calls.create_task(ledger.hold(hold(5)))
    assert call.cancelled()
    await ledger.stop(FAREWELL_S)
    assert bench.rows("holds") == []
    assert ledger.tally.granted == ledger.tally.closed == 1


# A database that cannot be used


def told_of_nothing_else(ledger: Ledger) -> bool:
    """The log says that the database was away, and of no fault besides."""
    away = "the ledger's database cannot be used"
    return bool(ledger.reports) and all(report.startswith(away) for report in ledger.reports)


async def test_a_database_that_is_away_is_told_and_used_again(
    ledger: Ledger, away: Trouble
) -> None:
    call = hold(10)
    await ledger.hold(call)
    with away():
        outcomes = await asyncio.gather(*(verdict(ledger, hold(1)) for _ in range(50)))
        assert set(outcomes) == {Outcome.LEDGER_UNAVAILABLE}
        ledger.end(call, 7)
        assert await verdict(ledger, hold(1)) == Outcome.LEDGER_UNAVAILABLE
        assert (ledger.backlog > 0, ledger.tally.problem != "") == (True, True)
    began_s = time.monotonic()
    while not isinstance(await verdict(ledger, hold(3)), Granted):
        assert time.monotonic() - began_s < BACK_WITHIN_S
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.rows("holds", "amount_nano") == [(3,)]
    ledger.bench.close()
    ledger.bench._look = None
    assert ledger.bench.balance(ALL) == (7, 3)
    assert ledger.tally.unavailable >= 51
    assert told_of_nothing_else(ledger)


@pytest.fixture
def mute(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The database answers nothing until it is set."""
    speaks = threading.Event()
    commit = ledger.bench.stores[-1].commit

    def late(
        holds: Sequence[HoldRequest], closings: Sequence[Closing], notes: Sequence[Note]
    ) -> list[Verdict]:
        assert speaks.wait(FAREWELL_S)
        return commit(holds, closings, notes)

    monkeypatch.setattr(ledger.bench.stores[-1], "commit", late)
    return speaks


async def test_a_database_that_answers_too_late_grants_nothing_to_those_who_gave_up(
    ledger: Ledger, mute: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "HOLD_WAIT_S", 0.05)
    asked = ledger.hold(hold(5))
    with pytest.raises(CallError) as refused:
        await asked
    assert refused.value.outcome == Outcome.LEDGER_UNAVAILABLE
    assert (ledger.usable, ledger.tally.unavailable, ledger.tally.commits) == (False, 1, 0)
    mute.set()
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.rows("holds") == []
    assert (ledger.tally.granted, ledger.tally.closed) == (1, 1)


async def test_a_loop_that_stood_still_does_not_hold_it_against_the_database(
    ledger: Ledger, mute: threading.Event
) -> None:
    asked = asyncio.ensure_future(ledger.hold(hold(5)))
    await asyncio.sleep(0)
    time.sleep(group_commit.HOLD_WAIT_S)
    mute.set()
    assert isinstance(await asked, Granted)


async def test_holds_behind_somebody_else_s_transaction_are_not_granted_later(
    ledger: Ledger, stalled: Trouble
) -> None:
    await ledger.hold(hold(1))
    with stalled():
        assert await verdict(ledger, hold(5)) == Outcome.LEDGER_UNAVAILABLE
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.rows("holds", "amount_nano") == [(1,)]


def cut_all(postgres: Cluster, url: str) -> None:
    """End every connection to that database."""
    name = url.partition("@/")[2].partition("?")[0]
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )


async def test_a_connection_that_is_cut_loses_nothing(postgres: Cluster, postgres_url: str) -> None:
    bench = Bench(postgres_url)
    ledger = Ledger(bench)
    calls = [hold(10) for _ in range(20)]
    await asyncio.gather(*map(ledger.hold, calls))
    for call in calls:
        ledger.end(call, 4)
        await verdict(ledger, hold(0))
        cut_all(postgres, postgres_url)
    await ledger.stop(FAREWELL_S)
    assert bench.balance(ALL) == (80, 0)
    assert told_of_nothing_else(ledger), ledger.reports


async def test_a_connection_that_is_cut_before_the_end_keeps_nobody_from_signing_off(
    postgres: Cluster, postgres_url: str
) -> None:
    bench = Bench(postgres_url)
    ledger = Ledger(bench)
    await ledger.hold(hold(1))
    cut_all(postgres, postgres_url)
    await ledger.stop(FAREWELL_S)
    assert (bench.rows("owners"), ledger.reports) == ([], [])
    bench.close()


# What nobody foresaw


async def test_a_closing_that_cannot_be_written_takes_no_other_along(ledger: Ledger) -> None:
    calls = [hold(10) for _ in range(21)]
    await asyncio.gather(*map(ledger.hold, calls))
    bad = calls[10]
    request = closing(bad, 3).request
    assert request is not None
    poisoned = closing(bad, 3)._replace(request=request._replace(outcome=None))  # type: ignore[arg-type]
    for call in calls:
        ledger.close((lambda: poisoned) if call is bad else partial(closing, call, 3))
    assert isinstance(await ledger.hold(hold(1)), Granted)
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.balance(ALL) == (60, 11)
    (report,) = ledger.reports
    assert bad.id in report
    assert ledger.backlog == 0


async def test_a_closing_that_cannot_be_made_takes_no_other_along(ledger: Ledger) -> None:
    good, bad = hold(10), hold(10)
    await asyncio.gather(ledger.hold(good), ledger.hold(bad))
    ledger.close(lambda: closing(bad, 1 // 0))
    ledger.end(good, 3)
    assert isinstance(await ledger.hold(hold(1)), Granted)
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.balance(ALL) == (3, 11)
    assert ledger.reports == [
        "the end of a call could not be put into rows: "
        "ZeroDivisionError('integer division or modulo by zero')"
    ]
    assert ledger.backlog == 0


async def test_a_hold_that_cannot_be_written_is_refused_alone(bench: Bench) -> None:
    ledger = Ledger(bench)
    calls = [hold(10) for _ in range(20)]
    impossible = hold(10, place=calls[0].place._replace(user="\ud800"))
    outcomes = await asyncio.gather(*(verdict(ledger, call) for call in [*calls, impossible]))
    assert [isinstance(each, Granted) for each in outcomes] == [True] * 20 + [False]
    assert outcomes[-1] == Outcome.LEDGER_UNAVAILABLE
    await ledger.stop(FAREWELL_S)
    assert bench.balance(ALL) == (0, 200)


# Chores and farewell


async def test_the_holds_of_a_process_that_died_are_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_thread, "CHORES_S", 0.02)
    dead = bench.store(ALL)
    dead.commit([hold(40, about=ABOUT), hold(2, about="not what is written there")], [])
    ledger = Ledger(bench)
    await ledger.hold(hold(0))
    bench.clock.now_s += LEASE_S + 1
    while bench.balance(ALL) != (40, 2):
        await ledger.hold(hold(0))
    await ledger.stop(FAREWELL_S)
    assert bench.balance(ALL) == (40, 2)
    assert {report.partition(":")[0] for report in ledger.reports} == {
        "the end of a call could not be put into rows"
    }


async def test_the_farewell_writes_everything_down(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_thread, "RETRY_S", 10 * FAREWELL_S)  # nothing has to be retried
    calls = [hold(10) for _ in range(3 * ledger_thread.MAX_BATCH)]
    for some in range(0, len(calls), 64):  # one after the other, so that nobody waits too long
        await asyncio.gather(*map(ledger.hold, calls[some : some + 64]))
    for call in calls:
        ledger.end(call, 1)
    await ledger.stop(3 * FAREWELL_S)
    assert ledger.backlog == 0
    assert ledger.bench.balance(ALL) == (len(calls), 0)
    assert ledger.bench.rows("owners") == []


async def test_the_farewell_does_not_wait_for_ever(ledger: Ledger, stalled: Trouble) -> None:
    call = hold(10)
    await ledger.hold(call)
    with stalled():
        ledger.end(call, 3)
        await ledger.stop(0.3)
        assert ledger.backlog == 1
        assert ledger.tally.problem == "the database did not take what was left in time"
    await ledger.stop(FAREWELL_S)
    assert ledger.bench.balance(ALL) == (3, 0)


async def test_nothing_is_started_to_end_what_never_began(bench: Bench) -> None:
    ledger = Ledger(bench)
    await ledger.stop(FAREWELL_S)
    assert ledger.tally.commits == 0
