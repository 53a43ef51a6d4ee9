"""A ledger that was tampered with is found out, and a sound one is not accused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.ledger import Place
from gateway.stores import verify as verifying
from gateway.stores.budget_store import BudgetStore
from gateway.stores.connections import Connection, connect
from gateway.stores.verify import verify
from tests.stores.written_calls import NOW_S, Books, Tried, at, line, nano

PLACE = Place(project="night-market", task="draft")


@pytest.fixture
def connection(ledger_url: str) -> Iterator[Connection]:
    """A ledger of three calls, a budget, and a hold that stands."""
    with Books(ledger_url) as books:
        books.store.connection()
        put_budget(ledger_url)
        cut = Tried((line("1"),), outcome="upstream_cut", estimated=True)
        books.call("c1", at("2026-11-22 10:00"), cut, Tried((line("2"),)), place=PLACE)
        books.call("c2", at("2026-11-22 11:00"), Tried((line("3"),), rehearsal=True), place=PLACE)
        books.call("c3", at("2026-11-22 12:00"), place=PLACE)
        books.hold("h1", PLACE, "4")
    opened = connect(ledger_url)
    yield opened
    opened.close()


def put_budget(url: str) -> None:
    from gateway.budget import Budget, Window, budget_id

    scope = (("project", "night-market"),)
    budget = Budget(budget_id(scope, Window()), scope, nano("1000"), "CNY")
    BudgetStore(url, lambda: NOW_S).put(budget)


def test_a_sound_ledger_differs_by_nothing(connection: Connection) -> None:
    found = verify(connection, NOW_S)
    assert (found.faults, found.named) == (0, [])
    assert found.rows == {
        "requests": 3, "attempts": 3, "ledger rows": 3, "budgets": 1, "holds": 1,
    }  # fmt: skip
    assert found.spent["CNY"] == nano("3")
    assert found.estimated["CNY"] == nano("1")
    assert found.rehearsed["CNY"] == nano("3")
    assert found.held["CNY"] == nano("4")


def test_pages_of_any_size_find_the_same(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(connection, NOW_S)
    one_by_one = verifying.PAGE_END.replace(str(verifying.PAGE_ROWS), "1")
    monkeypatch.setattr(verifying, "PAGE_END", one_by_one)
    assert verify(connection, NOW_S) == whole


@pytest.mark.parametrize(
    ("tampering", "sentence"),
    [
        ("UPDATE ledger SET cost_nano = cost_nano + 1 WHERE request_id = 'c2'",
         "attempt 1 of request c2: output_tokens costs 3000000001, 1000 x 3000000000 / 1000 is"),
        ("UPDATE ledger SET quantity = 999 WHERE request_id = 'c2'", "999 x 3000000000 / 1000 is"),
        ("DELETE FROM ledger WHERE request_id = 'c1' AND attempt = 2",
         "attempt 2 of request c1: the list cost is 2000000000, its ledger rows add up to 0"),
        ("UPDATE attempts SET cost_nano = 1 WHERE request_id = 'c1' AND number = 2",
         "1 was charged instead of 2000000000"),
        ("UPDATE attempts SET cost_nano = 5 WHERE request_id = 'c2'",
         "5 was charged for a rehearsal"),
        ("UPDATE attempts SET currency = NULL WHERE request_id = 'c1'", "in no currency"),
        ("DELETE FROM requests WHERE id = 'c1'", "there is no such request"),
        ("DELETE FROM attempts WHERE request_id = 'c1' AND number = 2",
         "ledger row output_tokens of request c1 belongs to attempt 2, which is not there"),
        ("DELETE FROM attempts WHERE request_id = 'c2'",
         "request c2 was sent somewhere, and no attempt is written"),
        ("DELETE FROM exchange_rates", "has the exchange rate 7100000000@2026-11-20, which is"),
        ("UPDATE balances SET spent_nano = spent_nano + 7",
         "balance of budget project=night-market@total, node project=night-market, bucket 0: "
         "(3000000007, 4000000000, 3000000000, 0) is written, (3000000000, "),
        ("UPDATE balances SET held_nano = 0", "4000000000, 3000000000, 0) is what its rows"),
        ("DELETE FROM owners", "hold h1 has no owner"),
        ("UPDATE owners SET lease_until_us = 0", "hold h1 has no owner"),
        ("UPDATE holds SET expires_us = 1", "hold h1 of an admitted quote has expired"),
    ],
)  # fmt: skip
def test_whatever_was_changed_is_named(
    connection: Connection, tampering: str, sentence: str
) -> None:
    connection.execute(tampering)
    found = verify(connection, NOW_S)
    assert found.faults
    assert any(sentence in named for named in found.named)


def test_a_ledger_that_is_all_wrong_does_not_flood_whoever_asks(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "MAX_NAMED", 2)
    with Books(sqlite_url) as books:
        for number in range(5):
            books.call(f"c{number}", at("2026-11-22 10:00"), Tried((line("1"),)), place=PLACE)
    connection = connect(sqlite_url)
    connection.execute("UPDATE ledger SET cost_nano = 1, rate_nano = 1")
    found = verify(connection, NOW_S)
    connection.close()
    assert (found.faults, len(found.named)) == (5, 2)
