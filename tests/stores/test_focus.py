"""The FOCUS export, held against what the specification and the ledger say."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import tracemalloc
from collections import defaultdict
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import NANO, AttemptRow, LedgerRow, Line, Place
from gateway.report import ReportQuery, ReportTerms
from gateway.stores.connections import connect
from gateway.stores.exports import export
from gateway.stores.focus import COLUMNS, focus_rows, shares_of
from gateway.stores.focus_prices import exact_decimal
from gateway.stores.queries import snapshot
from gateway.stores.reports import report
from gateway.stores.verify import verify
from tests.stores.written_calls import NOW_S, Books, Tried, at, line, nano

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName",
}  # fmt: skip
"""Those of FOCUS 1.2 that must always be there (feature level Mandatory, read 2026-11-22)."""
MAY_BE_EMPTY = {"ChargeClass", "BillingAccountName"}
NUMBER = re.compile(r"-?\d+(\.\d+)?")
PLACE = Place("studio-a", "night-market", "1", "3", "12", "4", "k1", "mei", "video")
STARTED_US = at("2026-12-01 07:30") + 250_000


def exported(url: str, form: str = "focus") -> str:
    text = io.StringIO()
    export(url, text, form, None, None)
    return text.getvalue()


def rows_of(url: str, form: str = "focus") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported(url, form))))


def product(row: dict[str, str], price: str) -> Decimal:
    with localcontext(prec=80):
        return Decimal(row[price]) * Decimal(row["PricingQuantity"])


def test_a_line_of_tokens_is_priced_by_the_thousand(ledger_url: str) -> None:
    with Books(ledger_url) as books:
        tokens = Line("input_tokens", 1834, 2 * NANO, 1_000_000)
        books.call("c1", STARTED_US, Tried((tokens,), currency="USD"), place=PLACE)
    (row,) = rows_of(ledger_url)
    assert tuple(row) == COLUMNS
    expected = {
        "ConsumedQuantity": "1834",
        "ConsumedUnit": "Tokens",
        "PricingQuantity": "1.834",
        "PricingUnit": "1000 Tokens",
        "ListUnitPrice": "0.002",
        "ListCost": "0.003668",
        "BilledCost": "0.003668",
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "SkuId": "studio/m-1/input_tokens",
        "SkuMeter": "Input Tokens",
        "SubAccountId": "night-market",
        "SubAccountType": "Project",
        "x_Shot": "4",
        "x_CnyPerUsd": "7.1",
        "x_ExchangeRateDate": "2026-11-20",
        "x_ExchangeRateSource": "the central bank",
        "x_PriceSource": "a price list (2026-11-22)",
        "x_RequestId": "c1",
        "x_Attempt": "1",
    }
    assert {name: row[name] for name in expected} == expected
    assert json.loads(row["Tags"]) == {
        "tenant": "studio-a", "project": "night-market", "season": "1", "episode": "3",
        "scene": "12", "shot": "4", "key": "k1", "user": "mei", "task": "video",
    }  # fmt: skip


def test_times_are_whole_seconds_in_utc_and_the_month_is_the_one_there(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried((line("1"),)), place=PLACE)
    (row,) = rows_of(sqlite_url)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (
        "2026-11-30T23:30:00Z",
        "2026-11-30T23:30:02Z",  # 0.25 s + 1.5 s, rounded up
    )
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
    )
    assert row["x_StartedAt"] == "2026-11-30T23:30:00.250000Z"


@pytest.mark.parametrize(
    ("bill", "consumed", "priced", "unit_price", "cost"),
    [
        (Line("video_ms", 5_200, 600_000_000, 1000), "5.2 Seconds", "5.2 Seconds", "0.6", "3.12"),
        (Line("images", 4, 200_000_000, 1), "4 Images", "4 Images", "0.2", "0.8"),
        (
            Line("characters", 1_250, 2 * NANO, 10_000),
            "1250 Characters", "1.25 1000 Characters", "0.2", "0.25",
        ),
        (Line("unknown", 1, 1_500_000_000, 1), "1 Units", "1 Units", "1.5", "1.5"),
        # 0.36 a minute is 0.006 a second.
        (Line("audio_ms", 500, 360_000_000, 60_000), "0.5 Seconds", "0.5 Seconds", "0.006",
         "0.003"),
        # 1 a minute is no decimal a second: one unit at what was billed, rounded up.
        (Line("audio_ms", 500, NANO, 60_000), "0.5 Seconds", "1 Units", "0.008333334",
         "0.008333334"),
    ],
)  # fmt: skip
def test_every_meter_has_its_unit(
    sqlite_url: str, bill: Line, consumed: str, priced: str, unit_price: str, cost: str
) -> None:
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried((bill,)), place=PLACE)
    (row,) = rows_of(sqlite_url)
    assert f"{row['ConsumedQuantity']} {row['ConsumedUnit']}" == consumed
    assert f"{row['PricingQuantity']} {row['PricingUnit']}" == priced
    assert (row["ListUnitPrice"], row["ListCost"]) == (unit_price, cost)


def test_a_rehearsal_is_billed_nothing_and_listed_at_what_it_would_cost(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried((line("3"),), rehearsal=True), place=PLACE)
    (row,) = rows_of(sqlite_url)
    assert (row["BilledCost"], row["ContractedCost"], row["ListCost"]) == ("0", "0", "3")
    assert row["x_Rehearsal"] == "true"


def test_a_clamped_attempt_bills_its_lines_until_nothing_is_left(sqlite_url: str) -> None:
    lines = (line("2", "input_tokens"), line("3", "output_tokens"))
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried(lines, charged_nano=nano("2.5")), place=PLACE)
    assert [row["BilledCost"] for row in rows_of(sqlite_url)] == ["2", "0.5"]


def test_the_baseline_stands_on_the_first_row_of_a_request_only(sqlite_url: str) -> None:
    never = Tried(currency=None, outcome="upstream_unreachable")
    lines = (line("1", "input_tokens"), line("1", "output_tokens"))
    with Books(sqlite_url) as books:
        again = Tried(lines, provider="overseas")
        books.call("c1", STARTED_US, never, again, place=PLACE, baseline=(nano("9"), "CNY"))
    rows = rows_of(sqlite_url)
    assert [row["x_BaselineCost"] for row in rows] == ["9", ""]
    assert [row["x_Attempt"] for row in rows] == ["2", "2"]  # nothing was billed for the first


def test_an_attempt_that_is_billed_without_lines_is_one_row(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried(), place=PLACE)
    (row,) = rows_of(sqlite_url)
    assert (row["x_Meter"], row["BilledCost"], row["PricingUnit"]) == ("requests", "0", "Requests")


def test_the_ledger_as_csv_has_its_rows_with_their_request(ledger_url: str) -> None:
    with Books(ledger_url) as books:
        lines = (line("1", "input_tokens"), line("2", "output_tokens"))
        books.call("c1", STARTED_US, Tried(lines, estimated=True), place=PLACE)
    rows = rows_of(ledger_url, "csv")
    assert [(row["meter"], row["cost_nano"]) for row in rows] == [
        ("input_tokens", str(NANO)),
        ("output_tokens", str(2 * NANO)),
    ]
    assert {row["project"] for row in rows} == {"night-market"}
    assert {row["attempt_estimated"] for row in rows} == {"true"}
    assert {row["started_at"] for row in rows} == {"2026-11-30T23:30:00.250000Z"}


def test_jsonl_has_an_object_for_each_request_whatever_became_of_it(ledger_url: str) -> None:
    with Books(ledger_url) as books:
        cut = Tried((line("1"),), outcome="upstream_cut", estimated=True)
        books.call("c1", STARTED_US, cut, Tried((line("2"),)), place=PLACE)
        books.call("c2", STARTED_US + 1, place=PLACE)
    first, second = [json.loads(text) for text in exported(ledger_url, "jsonl").splitlines()]
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["upstream_cut", "ok"]
    assert first["attempts"][1]["lines"][0]["cost_nano"] == 2 * NANO
    assert first["exchange_rate"]["cny_per_usd_nano"] == 7_100_000_000
    assert (second["id"], second["attempts"]) == ("c2", [])


def test_an_export_needs_no_more_memory_for_more_rows(sqlite_url: str) -> None:
    few, many = 400, 4000
    peaks = {}
    with Books(sqlite_url) as books:
        for number in range(many):
            books.call(f"c{number:05}", STARTED_US + number, Tried((line("1"),)), place=PLACE)
            if number + 1 in (few, many):
                peaks[number + 1] = peak_bytes(sqlite_url)
    assert peaks[many] < 3 * peaks[few]  # ten times the rows; a thousand are read at a time


def peak_bytes(url: str) -> int:
    """Of one export, whose first has warmed every cache."""
    for _ in range(2):
        with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
            tracemalloc.start()
            export(url, nowhere, "focus", None, None)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    return peak


@given(
    numerator=st.integers(-(10**30), 10**30),
    twos=st.integers(0, 30),
    fives=st.integers(0, 30),
)
def test_a_fraction_of_twos_and_fives_is_an_exact_decimal(
    numerator: int, twos: int, fives: int
) -> None:
    denominator = 2**twos * 5**fives
    text = exact_decimal(numerator, denominator)
    assert text is not None
    assert NUMBER.fullmatch(text)
    with localcontext(prec=120):
        assert Decimal(text) * denominator == numerator


def test_a_third_is_no_decimal() -> None:
    assert exact_decimal(1, 3) is None
    assert exact_decimal(2, 6) is None
    assert exact_decimal(3, 6) == "0.5"


def bills() -> st.SearchStrategy[Line]:
    meters = ("input_tokens", "output_tokens", "video_ms", "audio_ms", "images", "unknown", "odd")
    pers = (1, 7, 1000, 10_000, 60_000, 1_000_000)
    return st.builds(
        Line,
        st.sampled_from(meters),
        st.integers(0, 10_000_000),
        st.integers(0, 100_000_000_000),
        st.sampled_from(pers),
    )


@st.composite
def tries(draw: st.DrawFn) -> Tried:
    lines = draw(st.lists(bills(), max_size=3, unique_by=lambda bill: bill.meter))
    rehearsal = draw(st.booleans())
    one = Tried(
        tuple(lines),
        provider=draw(st.sampled_from(["studio", "overseas"])),
        currency=draw(st.sampled_from(["CNY", "USD"])),
        outcome=draw(st.sampled_from(["ok", "upstream_cut"])),
        estimated=draw(st.booleans()),
        rehearsal=rehearsal,
    )
    if rehearsal or not draw(st.booleans()):
        return one
    return one._replace(charged_nano=draw(st.integers(0, one.list_nano)))


@given(tried=tries())
def test_shares_of_an_attempt_add_up_to_its_cost(tried: Tried) -> None:
    lines = tuple(LedgerRow("c", 1, *bill, bill.cost_nano) for bill in tried.lines)
    attempt = AttemptRow("c", 1, "p", "m", "ok", 0, tried.rehearsal, "CNY", tried.cost_nano,
                         tried.list_nano, False, False, "")  # fmt: skip
    if lines:
        shares = shares_of(attempt, lines)
        assert sum(shares) == tried.cost_nano
        assert all(0 <= share <= row.cost_nano for share, row in zip(shares, lines, strict=True))


CALLS = st.lists(st.lists(tries(), max_size=3), min_size=1, max_size=6)
WHERE = st.sampled_from([None, "night-market", "harbour"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls=CALLS, projects=st.lists(WHERE, min_size=6, max_size=6))
def test_whatever_was_called_every_sum_is_the_ledgers(
    calls: list[list[Tried]], projects: list[str | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        with Books(url) as books:
            for number, (tried, project) in enumerate(zip(calls, projects, strict=False)):
                place = PLACE._replace(project=project)
                books.call(f"c{number}", STARTED_US + number, *tried, place=place)
        check_focus(url)
        check_report(url)
        assert verify(connect(url), NOW_S).named == []


def check_focus(url: str) -> None:
    billed: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
    with localcontext(prec=80):
        for row in rows_of(url):
            assert product(row, "ListUnitPrice") == Decimal(row["ListCost"])
            assert product(row, "ContractedUnitPrice") == Decimal(row["ContractedCost"])
            assert all(row[name] for name in MANDATORY - MAY_BE_EMPTY)
            billed[row["x_RequestId"], int(row["x_Attempt"])] += Decimal(row["BilledCost"])
    charged = connect(url).execute("SELECT request_id, number, cost_nano FROM attempts")
    assert billed == {(id_, number): Decimal(cost) / NANO for id_, number, cost in charged}


def check_report(url: str) -> None:
    query = ReportQuery(by=("project", "provider", "day"))
    result = report(url, query, ReportTerms("Asia/Shanghai", "CNY", NOW_S))
    due = dict(
        connect(url).execute(
            "SELECT currency, SUM(cost_nano) FROM attempts GROUP BY currency "
            "HAVING SUM(cost_nano) > 0"
        )
    )
    books = [result.total.spent, *(group.spent for group in result.groups)]
    totals = [{u: a.total for u, a in book.by_currency().items() if a.total} for book in books]
    assert totals[0] == due
    summed: defaultdict[str, int] = defaultdict(int)
    for total in totals[1:]:
        for unit, amount in total.items():
            summed[unit] += amount
    assert summed == due


def test_every_mandatory_column_of_the_specification_is_there() -> None:
    assert set(COLUMNS) >= MANDATORY
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_rows_have_no_other_columns_than_the_head_names(sqlite_url: str) -> None:
    with Books(sqlite_url) as books:
        books.call("c1", STARTED_US, Tried((line("1"),)), place=PLACE, baseline=(1, "CNY"))
    from gateway.stores.entries import read_entries

    with snapshot(sqlite_url) as connection:
        (entry,) = read_entries(connection)
        assert {name for row in focus_rows(entry) for name in row} <= set(COLUMNS)
