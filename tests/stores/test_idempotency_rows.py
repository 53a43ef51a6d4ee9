"""Who was first with an Idempotency-Key, as the database tells it to several processes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from books import DAY_S, NOON_S, Bench

from gateway.errors import CallError, Outcome
from gateway.kept import Claim, Earlier, Fate
from gateway.stores import idempotency_rows
from gateway.stores.connections import Connection, StoreUnavailable
from gateway.stores.idempotency_rows import IdempotencyRows
from gateway.stores.leases import LEASE_S

PATIENCE_S = 30.0
ANSWER = b'{"version": 1}\n\x00\xff' + "雨夜".encode() * 100


def claim(call_id: str = "req_1", request: str = "a scene", id_: str = "key-1") -> Claim:
    return Claim(id_, request, call_id)


class Processes:
    """Several processes with one database, each with its own hand on the table."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.reported: list[str] = []
        self._opened: list[IdempotencyRows] = []

    def rows(self, owner: str = "one", max_bytes: int = 1 << 20) -> IdempotencyRows:
        rows = IdempotencyRows(
            self.bench.url,
            owner,
            self.bench.clock,
            lambda what, _: self.reported.append(what),
            max_bytes,
        )
        self._opened.append(rows)
        return rows

    async def stop(self) -> None:
        await asyncio.gather(*(rows.stop(PATIENCE_S) for rows in self._opened))


async def behind(rows: IdempotencyRows) -> None:
    """Everything that was asked of it before is done."""
    await rows.claim(claim("after", id_="after"))


@pytest.fixture
async def processes(bench: Bench) -> AsyncIterator[Processes]:
    found = Processes(bench)
    yield found
    await found.stop()


async def test_the_first_has_the_key(processes: Processes) -> None:
    assert await processes.rows().claim(claim()) is None


async def test_another_process_is_told_that_the_first_is_under_way(processes: Processes) -> None:
    await processes.rows().claim(claim())
    found = await processes.rows("other").claim(claim("req_2"))
    assert found == Earlier("a scene", "req_1", Fate.RUNNING)


async def test_an_answer_comes_back_as_it_was(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    await rows.end(claim(), Fate.ANSWERED, ANSWER)
    found = await processes.rows("other").claim(claim("req_2"))
    assert found == Earlier("a scene", "req_1", Fate.ANSWERED, ANSWER)


async def test_what_became_of_it_is_told_to_whoever_asks_for_something_else(
    processes: Processes,
) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    found = await rows.claim(claim("req_2", "another scene"))
    assert found is not None
    assert found.request == "a scene"


async def test_a_key_that_was_given_back_is_free(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    rows.free(claim())
    await behind(rows)
    assert await processes.rows("other").claim(claim("req_2")) is None


async def test_a_key_that_was_claimed_for_nobody_is_free(processes: Processes) -> None:
    rows = processes.rows()
    await behind(rows)
    claiming = asyncio.ensure_future(rows.claim(claim()))
    await asyncio.sleep(0)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    assert await rows.claim(claim("req_2")) is None
    await rows.end(claim("req_2"), Fate.ANSWERED, ANSWER)
    found = await rows.claim(claim("req_3"))
    assert found is not None
    assert found.answer == ANSWER


async def test_a_call_whose_process_is_gone_is_lost(processes: Processes) -> None:
    await processes.rows().claim(claim())
    processes.bench.clock.now_s += LEASE_S + 1
    found = await processes.rows("other").claim(claim("req_2"))
    assert found is not None
    assert found.fate is Fate.LOST


async def test_a_call_that_its_own_process_knows_nothing_of_is_lost(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    found = await rows.claim(claim("req_2"))
    assert found is not None
    assert found.fate is Fate.LOST


async def test_an_answer_outlives_the_process_that_gave_it(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    await rows.end(claim(), Fate.ANSWERED, ANSWER)
    processes.bench.clock.now_s += LEASE_S + 1
    found = await processes.rows("other").claim(claim("req_2"))
    assert found is not None
    assert (found.fate, found.answer) == (Fate.ANSWERED, ANSWER)


async def test_a_truth_that_comes_late_takes_the_place_of_the_doubt(processes: Processes) -> None:
    slow = processes.rows()
    await slow.claim(claim())
    processes.bench.clock.now_s += LEASE_S + 1
    await processes.rows("other").claim(claim("req_2"))
    await slow.end(claim(), Fate.ANSWERED, ANSWER)
    found = await processes.rows("other").claim(claim("req_2"))
    assert found is not None
    assert found.fate is Fate.ANSWERED


async def test_a_key_is_free_again_after_a_day(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    await rows.end(claim(), Fate.ANSWERED, ANSWER)
    processes.bench.clock.now_s += DAY_S
    assert await rows.claim(claim("req_2", "another scene")) is None


async def swept(rows: IdempotencyRows) -> None:
    rows.look()
    await behind(rows)


async def test_keys_of_yesterday_are_swept(processes: Processes) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    processes.bench.clock.now_s += DAY_S
    await swept(rows)
    assert processes.bench.rows("idempotency", "id") == [("after",)]


async def test_the_oldest_answers_are_given_up_where_all_take_too_much_and_their_keys_stay(
    processes: Processes,
) -> None:
    rows = processes.rows(max_bytes=3000)
    for number in range(5):
        processes.bench.clock.now_s = NOON_S + number
        mine = claim(f"req_{number}", id_=f"key-{number}")
        await rows.claim(mine)
        await rows.end(mine, Fate.ANSWERED, os.urandom(700))
    await swept(rows)
    found = processes.bench.rows("idempotency", "id, fate, size_bytes > 0")
    assert [bool(row[2]) for row in found[1:]] == [False, False, True, True, True]
    assert {row[1] for row in found[1:]} == {"answered"}


async def test_fifty_at_once_from_two_processes_have_one_first(processes: Processes) -> None:
    both = [processes.rows("one"), processes.rows("other")]
    found = await asyncio.gather(
        *(both[number % 2].claim(claim(f"req_{number}")) for number in range(50))
    )
    assert found.count(None) == 1


async def test_a_database_that_cannot_be_used_is_told() -> None:
    rows = IdempotencyRows(
        "postgresql://nobody@127.0.0.1:1/ledger", "one", lambda: NOON_S, lambda what, error: None
    )
    with pytest.raises(CallError) as refused:
        await rows.claim(claim())
    assert refused.value.outcome is Outcome.LEDGER_UNAVAILABLE
    await rows.stop(1)


async def test_a_database_that_says_nothing_keeps_no_call_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency_rows, "CLAIM_WAIT_S", 0.05)
    rows = IdempotencyRows("sqlite:///nowhere", "one", lambda: NOON_S, lambda what, error: None)
    speaks, answered = threading.Event(), threading.Event()

    def connect() -> Connection:
        speaks.wait(PATIENCE_S)
        answered.set()
        raise StoreUnavailable("it said nothing")

    rows._open_connection = connect
    with pytest.raises(CallError) as refused:
        await rows.claim(claim())
    assert refused.value.outcome is Outcome.LEDGER_UNAVAILABLE
    assert not answered.is_set()
    speaks.set()
    await rows.stop(PATIENCE_S)


async def test_what_could_not_be_written_is_written_before_anything_else_is_asked(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = processes.rows()
    await rows.claim(claim())
    bench_url, connect = processes.bench.url, rows._open_connection
    rows._disconnect()
    monkeypatch.setattr(rows, "_open_connection", lambda: _gone(bench_url))
    await rows.end(claim(), Fate.ANSWERED, ANSWER)
    rows.free(claim("req_0", id_="key-0"))
    assert processes.reported == ["answers of calls with an Idempotency-Key cannot be kept yet"]
    monkeypatch.setattr(rows, "_open_connection", connect)
    found = await rows.claim(claim("req_2"))
    assert found is not None
    assert found.answer == ANSWER


class _CutAtCommit:
    """A connection that breaks when the database has written down what it was told; after
    ``then``."""

    def __init__(self, raw: Connection, then: Callable[[], object] = bool) -> None:
        self._raw = raw
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._raw.transaction():
            yield
        self._then()
        raise StoreUnavailable("the connection is lost")


async def test_a_claim_that_was_refused_and_written_all_the_same_does_not_keep_the_key(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = processes.rows()
    connect = rows._open_connection
    opened: list[Callable[[], Any]] = [
        lambda: _gone(processes.bench.url),
        lambda: _CutAtCommit(connect()),
    ]
    monkeypatch.setattr(rows, "_open_connection", lambda: opened.pop()())
    with pytest.raises(CallError, match="nothing was sent"):
        await rows.claim(claim())
    monkeypatch.setattr(rows, "_open_connection", connect)
    assert await rows.claim(claim("req_2")) is None


async def test_a_claim_that_nobody_waits_for_any_more_is_not_tried_again_for_good(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = processes.rows()
    connect = rows._open_connection
    written, left = threading.Event(), threading.Event()

    def until_it_has_left() -> None:
        written.set()
        left.wait(PATIENCE_S)

    opened: list[Callable[[], Any]] = [
        connect,
        lambda: _CutAtCommit(connect(), until_it_has_left),
    ]
    monkeypatch.setattr(rows, "_open_connection", lambda: opened.pop()())
    leaving = asyncio.ensure_future(rows.claim(claim()))
    await asyncio.to_thread(written.wait, PATIENCE_S)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    after = asyncio.ensure_future(rows.claim(claim("req_2")))
    await asyncio.sleep(0)
    left.set()
    assert await after is None


async def test_a_database_that_hangs_at_the_end_does_not_keep_the_process_for_each_call() -> None:
    rows = IdempotencyRows("sqlite:///nowhere", "one", lambda: NOON_S, lambda what, error: None)
    hangs, attempts = threading.Event(), []

    def connect() -> Connection:
        attempts.append(1)
        hangs.wait(PATIENCE_S)
        raise StoreUnavailable("it says nothing")

    rows._open_connection = connect
    rows._is_used = True
    for number in range(10):
        rows.end(claim(f"req_{number}"), Fate.ANSWERED, ANSWER)
    await rows.stop(0.05)
    hangs.set()
    await asyncio.to_thread(rows._thread.shutdown)
    assert len(attempts) == 2  # of the first one, and once more


def _gone(url: str) -> Connection:
    raise StoreUnavailable(f"{url} is gone")
