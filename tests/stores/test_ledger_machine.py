"""Two processes' hands on one ledger do whatever comes to mind; a simple model says what is right.

The long form, of 50,000 steps and more: ``pytest -m soak tests/stores/test_ledger_machine.py``.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from books import DAY_S, MARKET, MICRO, Bench, budget, closing, granted, hold
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger_model import Book, Model

from gateway.ledger import Closing, HoldRequest, LedgerRow, Note, Place
from gateway.money.recovery import closing_of_orphan
from gateway.stores.leases import LEASE_S
from tests.databases import Cluster

PLACES = [
    MARKET,
    MARKET._replace(user="mei", task="polish"),
    MARKET._replace(project="harbour"),
    Place(tenant="studio", project="market"),
    Place(),
]
SCOPES = ["everything", "project=market", "project=*", "user=*,task=*", "project=market,task=draft"]
WINDOWS = ["total", "day", "month", "24h"]
CURRENCIES = ["USD", "CNY"]
ABOUT = '["chat", "auto", "default", true, "acme", "m1", "m1"]'

amounts = st.one_of(st.just(0), st.integers(1, 1_000), st.integers(1, 4_000_000))
hands = st.integers(0, 1)
holds = st.tuples(
    st.sampled_from(PLACES), amounts, st.sampled_from(CURRENCIES), st.booleans(), st.integers(0, 9)
)
ends = st.tuples(
    st.integers(0, 50), st.lists(st.integers(0, 50), max_size=2), st.sampled_from(CURRENCIES)
)


class LedgerMachine(RuleBasedStateMachine):
    open_url: Callable[[], AbstractContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self._database = self.open_url()
        self.bench = Bench(self._database.__enter__())
        self.model = Model()
        self.hands = [self.bench.store(), self.bench.store()]
        self.owners: dict[str, int] = {}
        self.closings: list[Closing] = []
        self.before: dict[tuple[str, str], tuple[int, int]] = {}
        self.roundings = 0
        self.numbers = itertools.count()

    # Budgets

    @rule(
        scope=st.sampled_from(SCOPES),
        cap=st.one_of(st.just(0), st.integers(1, 10_000_000)),
        currency=st.sampled_from(CURRENCIES),
        window=st.sampled_from(WINDOWS),
        time_zone=st.sampled_from(["UTC", "Asia/Shanghai"]),
        hard=st.sampled_from([True, True, False]),
    )
    def put_budget(self, **facts: Any) -> None:
        wanted = budget(**facts)
        self.bench.put(wanted)
        self.model.budgets[wanted.id] = wanted
        self.before = {}

    @rule(which=st.integers(0, 20))
    def drop_budget(self, which: int) -> None:
        if self.model.budgets:
            chosen = sorted(self.model.budgets)[which % len(self.model.budgets)]
            assert self.bench.drop(self.model.budgets.pop(chosen)) == 1

    # Calls

    @rule(hand=hands, wanted=st.lists(holds, max_size=5), ended=st.lists(ends, max_size=4))
    def commit(self, hand: int, wanted: list[Any], ended: list[Any]) -> None:
        closings = [found for each in ended if (found := self._closing(*each)) is not None]
        requests = [self._request(*each) for each in wanted]
        self._commit(hand, requests, closings)

    @rule(hand=hands, wanted=holds, days=st.integers(1, 3))
    def admit_a_quote(self, hand: int, wanted: Any, days: int) -> None:
        request = self._request(*wanted)._replace(parent=None)
        expires_us = request.started_us + days * DAY_S * MICRO
        place = request.place._replace(user=None, task=None)
        self._commit(hand, [request._replace(expires_us=expires_us, place=place)], [])

    @rule(which=st.integers(0, 50), more=amounts, with_its_end=st.booleans())
    def extend(self, which: int, more: int, with_its_end: bool) -> None:
        calls = [each for each in self.model.holds.values() if each.expires_us is None]
        if calls:
            call = calls[which % len(calls)]
            ended = [Closing(call)] if with_its_end else []
            request = call._replace(amount_nano=more, extends=True)
            self._commit(self.owners[call.id], [request], ended)

    @rule(which=st.integers(0, 50), number=st.integers(1, 9), more=st.integers(-99, 99))
    def note_a_part(self, which: int, number: int, more: int) -> None:
        calls = [each for each in self.model.holds.values() if each.expires_us is None]
        if calls:
            call = calls[which % len(calls)]
            row = closing(call, 7).attempts[0]._replace(number=number)
            line = LedgerRow(call.id, number, "output", row.list_cost_nano, 1, 1, 7)
            noted = Note(call.id, number, (row,), (line,), more)
            self.hands[self.owners[call.id]].commit([], [], [noted])

    @rule(hand=hands, which=st.integers(0, 50))
    def release(self, hand: int, which: int) -> None:
        if self.model.holds:
            chosen = list(self.model.holds.values())[which % len(self.model.holds)]
            self._commit(hand, [], [Closing(chosen)])

    @rule(hand=hands, which=st.integers(0, 50), other=ends)
    def close_again(self, hand: int, which: int, other: Any) -> None:
        """As before, or with other figures: the first word stands, unless it was a guess."""
        if self.closings:
            before = self.closings[which % len(self.closings)]
            _, percents, currency = other
            costs = self._costs(before.hold, percents, currency)
            again = closing(before.hold, *costs, currency=currency)
            self._commit(hand, [], [before, again])

    # Time, death and trouble

    @rule(seconds=st.sampled_from([1, 900, 3_600, 13 * 3_600, DAY_S, 20 * DAY_S]))
    def pass_time(self, seconds: int) -> None:
        self.bench.clock.now_s += seconds
        for hand in self.hands:  # both renew their leases before either looks around
            hand.connection()
            hand.disconnect()
            hand.do_chores()
        self.before = {}

    @rule(dead=hands)
    def kill(self, dead: int) -> None:
        """The other one finds what the dead one held, and so does its successor; once it counts."""
        self.hands[dead].disconnect()
        self.bench.clock.now_s += LEASE_S + 1
        self.hands[dead] = self.bench.store()
        survivor = self.hands[1 - dead]
        survivor.disconnect()
        survivor.connection()
        self.bench.clock.now_s += LEASE_S + 1
        self.hands[dead].do_chores()
        orphans = survivor.do_chores()
        now_us = self.bench.clock() * MICRO
        assert {orphan.id for orphan in orphans} == {
            call.id
            for call in self.model.holds.values()
            if (self.owners[call.id] == dead and call.expires_us is None)
            or (call.expires_us or now_us) < now_us
        }
        for hand in (1 - dead, dead):
            self._commit(hand, [], [closing_of_orphan(orphan) for orphan in orphans])
        self.before = {}

    @rule(hand=hands)
    def lose_the_connection(self, hand: int) -> None:
        self.hands[hand].disconnect()

    # What is always true

    @invariant()
    def every_balance_is_what_the_model_and_the_rows_say(self) -> None:
        assert self.bench.differences() == []
        now_s = int(self.bench.clock())
        expected = {
            key: sums
            for key, sums in self.model.balances().items()
            if any(sums) and key[2] >= self.model.budgets[key[0]].window.since(now_s)
        }
        assert self._balances(now_s) == expected

    @invariant()
    def no_cap_is_passed(self) -> None:
        """What was above a cap that was lowered only goes down."""
        book, now_s, after = self.model.balances(), int(self.bench.clock()), {}
        for budget_id, node, _ in book:
            capped = self.model.budgets[budget_id]
            used = after[budget_id, node] = self.model.used(book, capped, node, now_s)
            if capped.hard and self.before:
                allowed = self.before.get((budget_id, node), (0, 0))
                limits = [max(each, capped.cap_nano) + self.roundings for each in allowed]
                assert used[0] <= limits[0]
                assert used[1] <= limits[1]
        self.before = after or {("", ""): (0, 0)}

    @invariant()
    def every_attempt_is_the_sum_of_its_ledger_rows(self) -> None:
        (listed,) = self.bench.look.execute("SELECT COALESCE(SUM(list_cost_nano), 0) FROM attempts")
        (lines,) = self.bench.look.execute("SELECT COALESCE(SUM(cost_nano), 0) FROM ledger")
        assert listed == lines

    def teardown(self) -> None:
        try:
            self._commit(0, [], [Closing(call) for call in self.model.holds.values()])
            assert self.bench.rows("holds") == []
            self._replay()
        finally:
            self.bench.close()
            self._database.__exit__(None, None, None)

    def _replay(self) -> None:
        """Counted anew, every budget has what it had."""
        now_s = int(self.bench.clock())
        before = self._balances(now_s)
        assert all(sums[1] == sums[3] == 0 for sums in before.values())
        self.bench.drop(*self.model.budgets.values())
        self.bench.put(*self.model.budgets.values())
        assert self._balances(now_s) == before

    # How it is done

    def _commit(self, hand: int, requests: list[HoldRequest], closings: list[Closing]) -> None:
        verdicts = granted(self.hands[hand].commit(requests, closings))
        for each in closings:
            guess = each.request is not None and each.request.recovered
            charges = None if each.request is None else each.charges
            self.model.end(each.hold.id, charges, guess)
            self.roundings += 2 + len(each.charges)
        expected = []
        for request in requests:
            expected.append(self.model.admits(request))
            if expected[-1]:
                self.model.grant(request)
                self.owners.setdefault(request.id, hand)
                self.roundings += 2
        assert verdicts == expected
        self.closings += [each for each in closings if each.request is not None]

    def _request(
        self, place: Place, nano: int, currency: str, rehearsal: bool, parent: int
    ) -> HoldRequest:
        quotes = [each.id for each in self.model.holds.values() if each.expires_us is not None]
        return hold(
            nano,
            place,
            self.bench.clock(),
            id=f"call-{next(self.numbers)}",
            currency=currency,
            rehearsal=rehearsal,
            about=ABOUT,
            parent=quotes[parent % len(quotes)] if quotes and parent < 5 else None,
        )

    def _closing(self, which: int, percents: list[int], currency: str) -> Closing | None:
        calls = [each for each in self.model.holds.values() if each.expires_us is None]
        if not calls:
            return None
        call = calls[which % len(calls)]
        return closing(call, *self._costs(call, percents, currency), currency=currency)

    def _costs(self, call: HoldRequest, percents: list[int], currency: str) -> list[int]:
        """No more than is held, in whichever currency."""
        nano = max(0, call.rate.convert(call.amount_nano, call.currency, currency) - 1)
        return [nano * percent // 100 for percent in percents]

    def _balances(self, now_s: int) -> Book:
        columns = "budget, node, bucket_s, spent_nano, held_nano, rehearsed_nano"
        rows = self.bench.rows("balances", f"{columns}, rehearsal_held_nano")
        return {
            (id_, node, bucket): list(sums)
            for id_, node, bucket, *sums in rows
            if any(sums) and bucket >= self.model.budgets[id_].window.since(now_s)
        }


MEMORY = Path("/dev/shm")


@contextmanager
def sqlite_database() -> Iterator[str]:
    """In memory where the system has a folder there: nobody pulls the plug in this test."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield f"sqlite:///{Path(folder) / 'ledger.db'}"


def run(postgres: Cluster | None, examples: int, steps: int) -> None:
    class Machine(LedgerMachine):
        open_url = staticmethod(postgres.ledger if postgres else sqlite_database)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sqlite_agrees_with_the_model() -> None:
    run(None, examples=20, steps=30)


def test_postgresql_agrees_with_the_model(postgres: Cluster) -> None:
    run(postgres, examples=8, steps=30)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fifty_thousand_steps(kind: str, postgres: Cluster) -> None:
    run(postgres if kind == "postgresql" else None, examples=600, steps=100)
