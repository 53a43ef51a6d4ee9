"""Several writers at once, on the same places and the same quotes: nobody waits in a circle."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

from books import DAY_S, MARKET, MICRO, NOON_S, Bench, budget, closing, granted, hold

from gateway.ledger import Closing, HoldRequest, Place
from gateway.stores.connections import Busy
from gateway.stores.ledger_store import LedgerStore

WRITERS = 3
COMMITS = 60
BUDGETS = [
    budget("everything", 1_000_000, origin="config"),
    budget("project=*", 500_000, "CNY", window="24h", origin="config"),
    budget("user=*", 200_000, window="day", origin="config"),
]
QUOTES = [f"quote-{number}" for number in range(4)]


class Writer:
    """Holds, draws, admits and withdraws at random, and remembers what was in its way."""

    def __init__(self, store: LedgerStore, number: int) -> None:
        self._store = store
        self._random = random.Random(number)
        self._ids = map(f"call-{number}-{{}}".format, count())
        self._open: list[HoldRequest] = []
        self.busy: list[str] = []

    def run(self) -> None:
        for _ in range(COMMITS):
            self._try([self._call() for _ in range(4)], self._ends())
        self._try([], [closing(call, call.amount_nano // 2) for call in self._open])

    def _try(self, holds: list[HoldRequest], ends: list[Closing]) -> None:
        try:
            verdicts = granted(self._store.commit(holds, ends))
        except Busy as error:
            self.busy.append(str(error))
            return
        ended = {end.hold.id for end in ends}
        pairs = zip(holds, verdicts, strict=True)
        new = [call for call, stands in pairs if stands and call.expires_us is None]
        self._open = [call for call in self._open if call.id not in ended] + new

    def _call(self) -> HoldRequest:
        place = MARKET._replace(
            project=self._random.choice(["market", "harbour"]),
            user=self._random.choice(["lin", "mei", "tao"]),
        )
        parent = self._random.choice([None, *QUOTES])
        at_s = NOON_S + self._random.randrange(4) * 3_600
        return hold(self._random.randrange(1_000), place, at_s, id=next(self._ids), parent=parent)

    def _ends(self) -> list[Closing]:
        chosen = [call for call in self._open if self._random.random() < 0.5]
        ends = [closing(call, call.amount_nano // 3) for call in chosen]
        if self._random.random() < 0.1:
            ends.append(Closing(quote(self._random.choice(QUOTES))))
        return self._random.sample(ends, len(ends))


def quote(id_: str) -> HoldRequest:
    place, expires_us = Place(tenant="studio"), (NOON_S + DAY_S) * MICRO
    return hold(50_000, place, id=id_, expires_us=expires_us)


def test_writers_at_the_same_rows_all_get_on(bench: Bench) -> None:
    first = bench.store(*BUDGETS)
    first.commit([quote(id_) for id_ in QUOTES], [])
    writers = [Writer(bench.store(*BUDGETS), number) for number in range(WRITERS)]
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(writer.run) for writer in writers]:
            done.result()
    first.commit([], [Closing(quote(id_)) for id_ in QUOTES])
    assert [writer.busy for writer in writers] == [[]] * WRITERS
    assert bench.rows("holds") == []
    assert [bench.balance(each)[1] for each in BUDGETS] == [0, 0, 0]


def test_budgets_that_come_and_go_count_every_call_under_way(bench: Bench) -> None:
    writer = Writer(bench.store(), 1)
    passing = [budget("everything", 10**9), budget("project=*", 10**9, "CNY", window="day")]
    with ThreadPoolExecutor() as threads:
        running = threads.submit(writer.run)
        rounds = 0
        while not running.done() or not rounds:
            bench.put(*passing)
            assert bench.differences() == []
            bench.drop(*passing)
            rounds += 1
        running.result()
    assert writer.busy == []


def test_a_window_that_has_just_begun_is_not_begun_twice(bench: Bench) -> None:
    """Neither of two processes sees the row that the other is about to write."""
    capped = budget("user=*", 100, window="24h", origin="config")
    stores = [bench.store(capped) for _ in range(2)]
    for store in stores:
        store.commit([], [])
    start = Barrier(2)

    def ask(number: int, user: str) -> bool:
        call = hold(60, MARKET._replace(user=user), NOON_S + number * 3_600)
        start.wait()
        return granted(stores[number].commit([call], []))[0]

    with ThreadPoolExecutor() as threads:
        for user in map("user-{}".format, range(30)):
            assert sorted(threads.map(ask, range(2), [user] * 2)) == [False, True]
