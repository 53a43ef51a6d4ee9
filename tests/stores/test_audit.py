"""A counter that is not what the rows add up to is found, whoever changed it."""

from __future__ import annotations

import threading

import pytest
from books import MARKET, NOON_S, Bench, budget, closing, hold

from gateway.stores import audit

ALL = budget("everything", 10_000, "CNY", origin="config")
DAILY = budget("project=*", 10_000, window="day", origin="config")


def with_some_calls(bench: Bench) -> None:
    store = bench.store(ALL, DAILY)
    calls = [hold(amount) for amount in (10, 20, 30)] + [hold(7, rehearsal=True)]
    store.commit(calls, [])
    store.commit([], [closing(calls[0], 4, 5), closing(calls[3], 6)])
    assert bench.differences() == []


@pytest.mark.parametrize(
    ("column", "position"),
    [("spent_nano", 0), ("held_nano", 1), ("rehearsed_nano", 2), ("rehearsal_held_nano", 3)],
)
def test_a_counter_that_was_changed_is_found(bench: Bench, column: str, position: int) -> None:
    with_some_calls(bench)
    bench.look.execute(f"UPDATE balances SET {column} = {column} - 1 WHERE budget = ?", (ALL.id,))
    (found,) = bench.differences()
    assert found.key == (ALL.id, "", 0)
    assert found.true[position] - found.counted[position] == 1
    bench.look.execute(f"UPDATE balances SET {column} = {column} + 1 WHERE budget = ?", (ALL.id,))


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("DELETE FROM balances WHERE budget = ?", None),
        ("UPDATE holds SET amount_nano = amount_nano + 1", "amount_nano - 1"),
    ],
)
def test_rows_that_were_changed_are_found(bench: Bench, damage: str, repair: str | None) -> None:
    with_some_calls(bench)
    bench.look.execute(damage, (DAILY.id,) if "?" in damage else ())
    assert DAILY.id in {found.key[0] for found in bench.differences()}
    if repair:
        bench.look.execute(f"UPDATE holds SET amount_nano = {repair}")
    else:  # a budget that is made anew counts anew
        bench.drop(DAILY)
        bench.put(DAILY)


def test_what_no_window_counts_any_more_is_no_difference(bench: Bench) -> None:
    with_some_calls(bench)
    bench.look.execute("UPDATE balances SET spent_nano = 0 WHERE budget = ?", (DAILY.id,))
    assert [found.key[0] for found in bench.differences()] == [DAILY.id]
    bench.clock.now_s = NOON_S + 86_400
    assert bench.differences() == []


def test_calls_that_come_while_the_books_are_checked_are_no_difference(bench: Bench) -> None:
    store, done = bench.store(ALL, DAILY), threading.Event()

    def call() -> None:
        for number in range(150):
            one = hold(3, MARKET._replace(user=f"u{number % 7}"))
            store.commit([one], [])
            store.commit([], [closing(one, 2)])
        done.set()

    calling = threading.Thread(target=call)
    calling.start()
    checks = 0
    while not done.is_set() or not checks:
        assert bench.differences() == []
        checks += 1
    calling.join()
    assert bench.balance(DAILY) == (300, 0)


def test_every_page_of_the_balances_is_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE_ROWS", 2)
    each = budget("project=*", 10_000)
    projects = [MARKET._replace(project=f"p{number}") for number in range(5)]
    bench.store(ALL, each).commit([hold(1, place) for place in projects], [])
    changed = f"UPDATE balances SET held_nano = ? WHERE budget = '{each.id}' AND held_nano = ?"
    bench.look.execute(changed, (2, 1))
    found = {difference.key[1] for difference in bench.differences()}
    bench.look.execute(changed, (1, 2))
    assert found == {f"project=p{number}" for number in range(5)}
