"""The audit runs beside the calls: one process does it, and it keeps nobody waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.budget import Budget
from gateway.ledger import NANO, ExchangeRate, HoldRequest, Place
from gateway.money.recovery import closing_of_orphan
from gateway.stores import audit as audit_module
from gateway.stores.auditor import Auditor, Finding
from gateway.stores.connections import Connection, StoreUnavailable, connect
from gateway.stores.ledger_store import LedgerStore
from gateway.stores.opening import connector, ledger_store

NOW_S = 1_795_348_800
TIMEOUT_S = 30.0
BUDGET = Budget("project=*@total", (("project", "*"),), 100 * NANO, "USD")


@dataclass
class Office:
    """A ledger with a budget, and auditors of one state folder."""

    url: str
    folder: Path
    told: list[Finding] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    auditors: list[Auditor] = field(default_factory=list)

    def auditor(
        self, every_s: float = 600.0, open_connection: Callable[[], Connection] | None = None
    ) -> Auditor:
        auditor = Auditor(
            open_connection or connector(self.url),
            self.folder / "auditor.lock",
            lambda: NOW_S,
            self.told.append,
            lambda what, error: self.failures.append(f"{what}: {error}"),
            every_s,
            delay_s=0.0,
        )
        self.auditors.append(auditor)
        return auditor

    def store(self) -> LedgerStore:
        store = ledger_store(self.url, lambda: NOW_S)
        store.want_budgets({BUDGET.id: BUDGET}, {})
        return store

    def hold(self, calls: int) -> None:
        store = self.store()
        rate = ExchangeRate(7 * NANO)
        place = Place(project="moonlight")
        store.commit(
            [HoldRequest(str(n), place, NOW_S * 10**6, 10, "USD", rate) for n in range(calls)], []
        )
        store.disconnect()

    def falsify(self) -> None:
        connection = connect(self.url)
        connection.execute("UPDATE balances SET held_nano = held_nano + 3")
        connection.close()


@pytest.fixture
def office(ledger_url: str, tmp_path: Path) -> Iterator[Office]:
    office = Office(ledger_url, tmp_path)
    yield office
    for auditor in office.auditors:
        auditor.stop()


def wait(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.01)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen in time")


def test_a_wrong_balance_is_told_with_what_is_counted_and_what_is_true(office: Office) -> None:
    office.hold(2)
    office.falsify()
    found = office.auditor().audit()
    (finding,) = office.told
    assert (finding.budget.id, finding.node) == (BUDGET.id, "project=moonlight")
    assert (finding.counted, finding.true) == ((0, 23, 0, 0), (0, 20, 0, 0))
    assert found.differences_nano() == {"USD": 3}


def test_sound_books_are_shown_as_such(office: Office) -> None:
    office.hold(2)
    found = office.auditor().audit()
    assert (found.findings, found.differences_nano()) == ((), {"USD": 0})


def test_calls_of_one_moment_are_all_read_however_many_pages_they_fill(office: Office) -> None:
    store = office.store()
    about = '["chat", "m", "model", false, "p", "m", "m"]'
    holds = [
        HoldRequest(str(number), Place(project="moonlight"), NOW_S * 10**6, 10, "USD",
                    ExchangeRate(7 * NANO), about=about)
        for number in range(2 * audit_module.PAGE_ROWS + 50)
    ]  # fmt: skip
    store.commit(holds, [])
    store.commit([], [closing_of_orphan(hold) for hold in holds])
    store.disconnect()
    assert office.auditor().audit().findings == ()
    office.falsify()
    (finding,) = office.auditor().audit().findings
    assert finding.true == (len(holds) * 10, 0, 0, 0)


def test_an_audit_waits_for_nobody_who_writes(office: Office) -> None:
    office.hold(1)
    writer = connect(office.url)
    with writer.transaction():
        writer.execute("UPDATE balances SET held_nano = held_nano + 1")
        assert office.auditor().audit().findings == ()
        writer.execute("UPDATE balances SET held_nano = held_nano - 1")
    writer.close()


def test_calls_that_come_during_an_audit_are_no_difference(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is read as it stood at one moment, however many pages that takes."""
    office.hold(1)
    store = office.store()
    true_balances = audit_module.true_balances

    def slowly(connection: Connection, *more: object) -> object:
        found = true_balances(connection, *more)  # type: ignore[arg-type]
        late = HoldRequest("late", Place(project="moonlight"), NOW_S * 10**6, 7, "USD",
                           ExchangeRate(7 * NANO))  # fmt: skip
        store.commit([late], [])
        return found

    monkeypatch.setattr(audit_module, "true_balances", slowly)
    assert office.auditor().audit().findings == ()
    store.disconnect()


def test_one_process_of_a_state_folder_audits_and_another_takes_over(office: Office) -> None:
    first, second = office.auditor(every_s=0.02), office.auditor(every_s=0.02)
    first.start()
    wait(lambda: first.last is not None)
    second.start()
    before = first.last
    wait(lambda: first.last is not before)
    assert second.last is None
    first.stop()
    wait(lambda: second.last is not None)


def test_a_database_that_is_away_is_tried_again_and_not_reported(office: Office) -> None:
    tries = []

    def open_connection() -> Connection:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailable("gone")
        return connector(office.url)()

    auditor = office.auditor(every_s=0.02, open_connection=open_connection)
    auditor.start()
    wait(lambda: auditor.last is not None)
    assert (len(tries) >= 3, office.failures) == (True, [])


def test_what_nobody_foresaw_is_reported_and_does_not_end_the_audits(office: Office) -> None:
    def open_connection() -> Connection:
        if not office.failures:
            raise ZeroDivisionError("a bug")
        return connector(office.url)()

    auditor = office.auditor(every_s=0.02, open_connection=open_connection)
    auditor.start()
    wait(lambda: auditor.last is not None)
    assert office.failures == ["the ledger could not be audited: a bug"]


def test_an_audit_ends_with_its_process(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it has read the whole ledger, which may take minutes."""
    entered = threading.Event()

    def endless(connection: Connection, budgets: object, now_s: int, pause: object) -> object:
        while True:
            entered.set()
            pause()  # type: ignore[operator]

    monkeypatch.setattr(audit_module, "true_balances", endless)
    auditor = office.auditor()
    auditor.start()
    assert entered.wait(TIMEOUT_S)
    auditor.stop()
    assert auditor.last is None
