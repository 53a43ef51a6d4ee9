"""Calls that were given a kept answer: in the ledger without a hold, in reports as saved."""

from __future__ import annotations

import pytest
from books import MARKET, NOON_S, RATE, Bench, budget, closing, hold

from gateway.ledger import Closing, Place, RequestRow
from gateway.report import ReportQuery, ReportResult, ReportTerms
from gateway.report_text import csv_columns, to_csv, to_json
from gateway.stores.reports import report
from gateway.stores.verify import verify

ALL = budget("everything", 10_000, "CNY", origin="config")
TERMS = ReportTerms("UTC", "CNY", NOON_S)


def replay(
    id_: str, saved: int, currency: str | None = "USD", place: Place = MARKET, **more: object
) -> Closing:
    """The end of a call that was answered for nothing."""
    nothing = hold(0, place, id=id_)
    facts = {"replayed": "cache", "saved_nano": saved, "saved_currency": currency, **more}
    request = RequestRow(
        id_, nothing.started_us, 1, "chat", *place, "draft", "task", False, "ok", "acme", "m1",
        "m1", False, False, 0, "USD", RATE.id, None, None, None,
    )._replace(**facts)  # type: ignore[arg-type]  # fmt: skip
    return Closing(nothing, (), request, was_held=False)


def told(bench: Bench, *by: str) -> ReportResult:
    return report(bench.url, ReportQuery(by), TERMS)


def test_a_replay_is_written_without_a_hold_and_moves_no_money(bench: Bench) -> None:
    store = bench.store(ALL)
    store.commit([], [replay("r1", 40)])
    assert bench.rows("requests", "id, replayed, saved_nano") == [("r1", "cache", 40)]
    assert bench.balance(ALL) == (0, 0)
    assert verify(bench.look, NOON_S).named == []


def test_a_replay_that_is_written_twice_is_there_once(bench: Bench) -> None:
    store = bench.store(ALL)
    for _ in range(2):
        store.commit([], [replay("r1", 40)])
    assert bench.rows("requests", "id") == [("r1",)]


def test_replays_and_paid_calls_are_written_together(bench: Bench) -> None:
    store = bench.store(ALL)
    paid = hold(100)
    store.commit([paid], [])
    store.commit([], [closing(paid, 60), replay("r1", 40), replay("r2", 0, None)])
    assert len(bench.rows("requests", "id")) == 3
    assert bench.balance(ALL)[0] == 426  # 60 at 7.10
    assert verify(bench.look, NOON_S).named == []


def test_an_attempt_of_a_call_that_was_not_sent_is_found(bench: Bench) -> None:
    store = bench.store()
    paid = hold(100)
    store.commit([paid], [])
    store.commit([], [closing(paid, 60)])
    bench.look.execute("UPDATE requests SET replayed = 'cache' WHERE id = ?", (paid.id,))
    (fault,) = verify(bench.look, NOON_S).named
    assert fault == f"request {paid.id} was given a kept answer, and an attempt is written"


@pytest.fixture
def season(bench: Bench) -> Bench:
    """One paid call, three replays: 40 and 2 billionths of a dollar, 5 of a yuan."""
    store = bench.store(ALL)
    paid = hold(100)
    store.commit([paid], [])
    harbour = Place(project="harbour")
    replays = [replay("r1", 40), replay("r2", 2, place=harbour), replay("r3", 5, "CNY")]
    store.commit([], [closing(paid, 60), *replays])
    return bench


def test_a_report_says_what_kept_answers_saved(season: Bench) -> None:
    spent = told(season).total.spent
    assert (spent.calls, spent.succeeded, spent.attempts, spent.replays) == (4, 4, 1, 3)
    assert spent.converted("USD").total == 60
    assert spent.saved_nano("CNY") == 304  # 42 at 7.10, rounded up, and 5


def test_it_says_so_for_each_group(season: Bench) -> None:
    groups = {group.key: group.spent for group in told(season, "project").groups}
    assert {key: book.replays for key, book in groups.items()} == {("market",): 2, ("harbour",): 1}
    assert groups["harbour",].saved_nano("USD") == 2


def test_every_form_of_a_report_has_it(season: Bench) -> None:
    result = told(season)
    kept = to_json(result)["total"]["spent"]["kept_answers"]
    assert kept == {"calls": 3, "saved": "0.000000304"}
    (cells,) = [line.split(",") for line in to_csv(result).splitlines()[1:]]
    row = dict(zip(csv_columns(()), cells, strict=True))
    assert (row["replays"], row["replays_saved"]) == ("3", "0.000000304")


def test_saved_money_is_not_compared_with_the_baseline_a_second_time(season: Bench) -> None:
    assert told(season).total.spent.compared_calls == 0
