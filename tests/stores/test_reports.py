"""Reports against a production whose figures were worked out by hand.

In yuan, at 7.10 yuan to the dollar:

| call | day | project, episode, shot, task | tried | charged |
|---|---|---|---|---|
| c1 | 21 | night-market, 1, 1, video | ok | 5, baseline $1 |
| c2 | 22 | the same | ok | 5 |
| c3 | 22 | night-market, 1, 2, video | cut, estimated | 2 |
| c4 | 22 | none, draft | studio cut, 0.5 estimated; overseas ok | 0.5 + $0.10, baseline $0.20 |
| c5 | 22 | night-market, 2, 1, video | rehearsed | 0, list 3, baseline $1 |
| c6 | 22 | night-market, draft | ok, reported 4 and was clamped | 1 |
| c7 | 22 | harbour, video | lost with its process, recovered | 0.7 |

Charged: CNY 5 + 5 + 2 + 0.5 + 1 + 0.7 = 14.2, USD 0.10; together CNY 14.2 + 0.71 = 14.91.
"""

from __future__ import annotations

import json

import pytest

from gateway.errors import CallError
from gateway.ledger import ExchangeRate, Place
from gateway.report import Group, ReportQuery, ReportResult, ReportTerms, moment_us, parse_query
from gateway.report_text import csv_columns, to_csv, to_json
from gateway.stores.queries import has_ledger
from gateway.stores.reports import report
from tests.stores.written_calls import NOW_S, Books, Tried, at, line, nano

TERMS = ReportTerms("Asia/Shanghai", "CNY", NOW_S)
SHOT_1 = Place(project="night-market", episode="1", shot="1", task="video")
SHOT_2 = SHOT_1._replace(shot="2")
DRAFT = Place(project="night-market", task="draft")


@pytest.fixture(scope="module")
def production(shared_ledger_url: str) -> str:
    with Books(shared_ledger_url) as books:
        usd = ("USD",)
        books.call("c1", at("2026-11-21 23:59"), Tried((line("5"),)), place=SHOT_1,
                   baseline=(nano("1"), *usd))  # fmt: skip
        books.call("c2", at("2026-11-22 00:00"), Tried((line("5"),)), place=SHOT_1)
        cut = Tried((line("2", "unknown"),), outcome="upstream_cut", estimated=True)
        books.call("c3", at("2026-11-22 10:00"), cut, place=SHOT_2)
        first = Tried((line("0.5", "unknown"),), outcome="upstream_cut", estimated=True)
        second = Tried((line("0.1"),), provider="overseas", currency="USD")
        books.call("c4", at("2026-11-22 11:00"), first, second, place=Place(task="draft"),
                   baseline=(nano("0.2"), *usd))  # fmt: skip
        rehearsed = Tried((line("3"),), provider="stand-in", rehearsal=True)
        books.call("c5", at("2026-11-22 12:00"), rehearsed, place=SHOT_1._replace(episode="2"),
                   baseline=(nano("1"), *usd))  # fmt: skip
        clamped = Tried((line("4"),), charged_nano=nano("1"))
        books.call("c6", at("2026-11-22 13:00"), clamped, place=DRAFT)
        lost = Tried((line("0.7", "unknown"),), outcome="internal", estimated=True)
        books.call("c7", at("2026-11-22 14:00"), lost, recovered=True,
                   place=Place(project="harbour", task="video"))  # fmt: skip
        books.hold("h1", DRAFT, "2")
        books.hold("q1", Place(project="harbour"), "9", expires_us=at("2027-01-01 00:00"))
    return shared_ledger_url


def ask(url: str, *by: str, **parameters: str) -> ReportResult:
    return report(url, parse_query([("by", ",".join(by)), *parameters.items()]), TERMS)


def spent(groups: list[Group]) -> dict[tuple[str | None, ...], int]:
    return {group.key: group.spent.converted("CNY").total for group in groups}


def test_the_total_is_what_was_charged_in_each_currency(production: str) -> None:
    book = ask(production).total.spent
    charged = {unit: amounts.total for unit, amounts in book.by_currency().items()}
    assert charged == {"CNY": nano("14.2"), "USD": nano("0.1")}
    assert book.converted("CNY").total == nano("14.91")
    assert (book.calls, book.succeeded, book.attempts) == (6, 4, 7)


@pytest.mark.parametrize(
    ("part", "yuan"),
    [
        ("settled", "11.71"),  # 5 + 5 + 1 + 0.71
        ("estimated", "2.5"),  # c3, and c4's first attempt
        ("recovered", "0.7"),
        ("clamped", "1"),
        ("retries", "0.5"),
        ("waste", "2.7"),  # c3 and c7
        ("unattributed", "1.21"),  # c4
        ("shots", "12"),  # c1, c2, c3
        ("retakes", "5"),  # c2
        ("compared", "6.21"),  # c1 and c4
    ],
)
def test_the_parts_of_the_total_are_shown_apart(production: str, part: str, yuan: str) -> None:
    assert getattr(ask(production).total.spent.converted("CNY"), part) == nano(yuan)


def test_rehearsals_have_a_book_of_their_own(production: str) -> None:
    rehearsed = ask(production).total.rehearsed
    assert (rehearsed.calls, rehearsed.retakes, len(rehearsed.shots)) == (1, 0, 1)
    assert rehearsed.converted("CNY").total == nano("3")
    assert rehearsed.baseline_nano("CNY") - rehearsed.converted("CNY").compared == nano("4.1")


def test_an_accepted_shot_costs_what_all_tries_at_shots_cost(production: str) -> None:
    book = ask(production).total.spent
    assert (len(book.shots), book.retakes) == (1, 1)  # shot 2 never succeeded
    assert book.per_shot_nano("CNY") == nano("12")


def test_savings_count_retries_and_leave_out_calls_without_a_baseline(production: str) -> None:
    book = ask(production).total.spent
    assert book.compared_calls == 2
    assert book.baseline_nano("CNY") == nano("8.52")  # $1.20
    saved = book.baseline_nano("CNY") - book.converted("CNY").compared
    assert saved == nano("2.31")


def test_a_rehearsal_without_a_price_saves_nothing(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        unpriced = Tried(currency="USD", rehearsal=True, price="")
        books.call("c1", at("2026-11-22 00:00"), unpriced, baseline=(nano("1"), "USD"))
    book = ask(sqlite_url).total.rehearsed
    assert (book.calls, book.compared_calls, book.baseline_nano("CNY")) == (1, 0, 0)


def test_a_retake_is_one_even_if_the_first_take_is_older_than_the_report(production: str) -> None:
    result = ask(production, since="2026-11-22")
    assert result.total.spent.retakes == 1
    assert result.total.spent.converted("CNY").retakes == nano("5")


def test_groups_come_with_the_largest_first_and_nobody_is_dropped(production: str) -> None:
    result = ask(production, "project", "task")
    assert list(spent(result.groups).items()) == [
        (("night-market", "video"), nano("12")),
        ((None, "draft"), nano("1.21")),
        (("night-market", "draft"), nano("1")),
        (("harbour", "video"), nano("0.7")),
    ]


def test_days_begin_at_midnight_of_the_configured_time_zone(production: str) -> None:
    assert spent(ask(production, "day").groups) == {
        ("2026-11-21",): nano("5"),
        ("2026-11-22",): nano("9.91"),
    }
    assert spent(ask(production, "month").groups) == {("2026-11",): nano("14.91")}


def test_a_provider_is_charged_with_its_attempts_and_credited_with_its_calls(
    production: str,
) -> None:
    groups = {group.key[0]: group.spent for group in ask(production, "provider").groups}
    assert groups["studio"].converted("CNY").total == nano("14.2")
    assert (groups["studio"].calls, groups["studio"].attempts) == (5, 6)
    assert (groups["overseas"].calls, groups["overseas"].attempts) == (1, 1)


@pytest.mark.parametrize(
    ("words", "yuan"),
    [
        ({"project": "night-market"}, "13"),
        ({"project": ""}, "1.21"),
        ({"task": "draft", "project": "night-market"}, "1"),
        ({"provider": "overseas"}, "0.71"),
        ({"outcome": "upstream_cut"}, "2"),
        ({"model": "writer"}, "14.91"),
        ({"since": "2026-11-22"}, "9.91"),
        ({"until": "2026-11-21"}, "5"),
        ({"since": "2026-11-22T10:00+08:00", "until": "2026-11-22T12:00+08:00"}, "3.21"),
    ],
)
def test_filters_leave_only_what_they_name(
    production: str, words: dict[str, str], yuan: str
) -> None:
    assert ask(production, **words).total.spent.converted("CNY").total == nano(yuan)


def test_several_values_of_a_word_are_alternatives(production: str) -> None:
    query = ReportQuery(where=(("project", "harbour"), ("project", "")))
    assert report(production, query, TERMS).total.spent.calls == 2


def test_what_is_held_is_told_apart_by_whether_a_quote_holds_it(production: str) -> None:
    held = ask(production).held
    assert held is not None
    assert {(one.for_quote, one.holds, one.nano) for one in held} == {
        (False, 1, nano("2")),
        (True, 1, nano("9")),
    }
    assert [one.nano for one in ask(production, project="harbour").held or ()] == [nano("9")]
    assert ask(production, model="writer").held is None


def test_each_sum_is_converted_at_the_rate_that_its_rows_were_written_with(
    sqlite_url: str,
) -> None:
    with Books(sqlite_url) as books:
        dollar = Tried((line("1"),), currency="USD")
        books.call("old", at("2026-11-01 00:00"), dollar, rate=ExchangeRate(7_000_000_000))
        books.call("new", at("2026-11-02 00:00"), dollar, rate=ExchangeRate(7_200_000_000))
    assert ask(sqlite_url).total.spent.converted("CNY").total == nano("14.2")


def test_large_amounts_are_converted_without_overflow(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        million = Tried((line("1000000"),), currency="USD")
        for number in range(3):
            books.call(f"c{number}", at("2026-11-01 00:00"), million)
    assert ask(sqlite_url).total.spent.converted("CNY").total == nano("21300000")


def test_json_has_every_amount_as_an_exact_string(production: str) -> None:
    told = json.loads(json.dumps(to_json(ask(production, "project"))))
    night_market = told["groups"][0]
    assert night_market["group"] == {"project": "night-market"}
    assert night_market["spent"]["by_currency"]["CNY"]["total"] == "13.00"
    assert told["total"]["spent"]["converted"]["total"] == "14.91"
    assert told["total"]["spent"]["shots"]["cost_per_accepted"] == "12.00"
    assert told["total"]["rehearsed"]["savings"]["saved"] == "4.10"
    assert {group["group"]["project"] for group in told["groups"]} == {
        "night-market", "harbour", None,
    }  # fmt: skip


def test_csv_has_a_row_for_each_group_and_sums_to_the_total(production: str) -> None:
    head, *rows = [text.split(",") for text in to_csv(ask(production, "project")).splitlines()]
    assert head == csv_columns(["project"])
    assert [row[0] for row in rows] == ["night-market", "(no project)", "harbour"]
    total, calls = head.index("total"), head.index("calls")
    assert sum(nano(row[total]) for row in rows) == nano("14.91")
    assert sum(int(row[calls]) for row in rows) == 6


def test_a_name_that_looks_like_a_formula_is_text_in_csv(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        place = Place(project="=1+1")
        books.call("c1", at("2026-11-22 00:00"), Tried((line("1"),)), place=place)
    assert to_csv(ask(sqlite_url, "project")).splitlines()[1].startswith("'=1+1,")


@pytest.mark.parametrize(
    ("text", "bound", "moment"),
    [
        ("2026-11-22", "since", "2026-11-22 00:00"),
        ("2026-11-22", "until", "2026-11-23 00:00"),
        ("2026-11", "since", "2026-11-01 00:00"),
        ("2026-12", "until", "2027-01-01 00:00"),
        ("2026-11-22T10:30", "until", "2026-11-22 10:30"),
        ("2026-11-22T02:30Z", "since", "2026-11-22 10:30"),
    ],
)
def test_times_are_read_in_the_configured_time_zone(text: str, bound: str, moment: str) -> None:
    assert moment_us(text, bound, TERMS) == at(moment)


def test_hours_and_days_count_back_from_now() -> None:
    assert moment_us("24h", "since", TERMS) == (NOW_S - 86_400) * 1_000_000
    assert moment_us("7d", "until", TERMS) == (NOW_S - 7 * 86_400) * 1_000_000


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("by", "projects", "project, season, episode"),
        ("since", "yesterday", "2026-11-01"),
        ("until", "2026-13", "24h or 7d"),
        ("colour", "red", "tenant, project"),
        ("day", "2026-11-22", "as filters"),
    ],
)
def test_a_wrong_parameter_is_answered_with_the_words_that_are_allowed(
    name: str, value: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match=allowed):
        parse_query([(name, value)])


def test_a_ledger_that_was_never_written_is_told_from_one_that_was(
    new_url: str,
) -> None:
    assert not has_ledger(new_url)
    with Books(new_url) as books:
        books.store.connection()
    assert has_ledger(new_url)


def test_a_database_that_cannot_be_reached_is_a_sentence() -> None:
    url = "postgresql://nobody@127.0.0.1:1/ledger?connect_timeout=2"
    with pytest.raises(CallError, match="the ledger's database cannot be used"):
        report(url, ReportQuery(), TERMS)
