"""Calls that were cut, in the ledger: parts are attempts of one request, and no retries.

In yuan, one call: refused whole, part 1 answered (1), part 2 answered with a scene too few (2) and
again in two pieces (0.5 each), part 3 broken off (0.25) with nobody else to ask.
"""

from __future__ import annotations

import csv
import io
import json

import pytest

from gateway.ledger import Place
from gateway.report import Amounts, ReportQuery, ReportTerms
from gateway.report_text import to_json
from gateway.stores.connections import connect
from gateway.stores.exports import export
from gateway.stores.reports import report
from gateway.stores.verify import verify
from tests.stores.written_calls import NOW_S, Books, Tried, at, line, nano

PLACE = Place(project="night-market", task="polish")
CUT = (
    Tried(outcome="context_length_exceeded", currency=None),
    Tried((line("1"),), part=1),
    Tried((line("2"),), part=2, outcome="discarded"),
    Tried((line("0.25", "unknown"),), part=3, outcome="upstream_cut", estimated=True),
    Tried((line("0.5"),), part=2),
    Tried((line("0.5"),), part=2),
)


@pytest.fixture
def cut_call(ledger_url: str) -> str:
    with Books(ledger_url) as books:
        books.call("c1", at("2026-11-22 10:00"), *CUT, place=PLACE, outcome="ok",
                   baseline=(nano("9"), "CNY"))  # fmt: skip
    return ledger_url


def amounts(url: str) -> Amounts:
    book = report(url, ReportQuery(), ReportTerms("Asia/Shanghai", "CNY", NOW_S)).total.spent
    assert (book.calls, book.succeeded, book.attempts) == (1, 1, len(CUT))
    return book.converted("CNY")


def test_each_attempt_says_which_part_it_was_at(cut_call: str) -> None:
    connection = connect(cut_call)
    rows = connection.execute("SELECT number, part FROM attempts ORDER BY number")
    connection.close()
    assert rows == [(1, None), (2, 1), (3, 2), (4, 3), (5, 2), (6, 2)]


def test_only_what_was_asked_for_again_is_a_retry(cut_call: str) -> None:
    assert amounts(cut_call).retries == nano("2")


def test_a_part_that_nobody_answered_is_waste_though_its_call_succeeded(cut_call: str) -> None:
    assert amounts(cut_call).waste == nano("0.25")


def test_the_parts_together_are_what_the_call_cost_and_what_it_is_compared_by(
    cut_call: str,
) -> None:
    found = amounts(cut_call)
    assert (found.total, found.compared) == (nano("4.25"), nano("4.25"))


def test_a_call_that_was_not_cut_counts_retries_as_before(ledger_url: str) -> None:
    with Books(ledger_url) as books:
        first = Tried((line("0.5"),), outcome="upstream_cut", estimated=True)
        books.call("c1", at("2026-11-22 10:00"), first, Tried((line("1"),)), place=PLACE)
    found = report(ledger_url, ReportQuery(), ReportTerms("Asia/Shanghai", "CNY", NOW_S))
    book = found.total.spent.converted("CNY")
    assert (book.retries, book.waste) == (nano("0.5"), 0)
    assert to_json(found)["total"]["spent"]["attempts"] == 2


def test_verify_finds_nothing_wrong_with_it(cut_call: str) -> None:
    connection = connect(cut_call)
    found = verify(connection, NOW_S)
    connection.close()
    assert found.named == []
    assert found.spent["CNY"] == nano("4.25")


def rows_of(url: str, form: str) -> list[dict[str, str]]:
    text = io.StringIO()
    export(url, text, form, None, None)
    return list(csv.DictReader(io.StringIO(text.getvalue())))


@pytest.mark.parametrize(("form", "column"), [("focus", "x_Part"), ("csv", "attempt_part")])
def test_exports_have_a_column_for_the_part(cut_call: str, form: str, column: str) -> None:
    assert [row[column] for row in rows_of(cut_call, form)] == ["1", "2", "3", "2", "2"]


def test_an_attempt_at_a_whole_call_has_no_part_in_exports(ledger_url: str) -> None:
    with Books(ledger_url) as books:
        books.call("c1", at("2026-11-22 10:00"), Tried((line("1"),)), place=PLACE)
    assert [row["x_Part"] for row in rows_of(ledger_url, "focus")] == [""]


def test_the_nested_export_has_the_part_of_each_attempt(cut_call: str) -> None:
    text = io.StringIO()
    export(cut_call, text, "jsonl", None, None)
    parts = [attempt["part"] for attempt in json.loads(text.getvalue())["attempts"]]
    assert parts == [None, 1, 2, 3, 2, 2]
