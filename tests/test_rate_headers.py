"""When to come back and what is left, in every spelling that providers use."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rate_headers import (
    ABSURD_S,
    read_allowances,
    read_reset_s,
    read_retry_after_s,
    read_span_s,
)
from gateway.schema import Allowance, Allowances

DATE = {"date": "Mon, 23 Nov 2026 08:00:00 GMT"}
SENT = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after": "Mon, 23 Nov 2026 08:01:30 GMT", **DATE}, 90),
        ({"retry-after": "Mon, 23 Nov 2026 07:59:00 GMT", **DATE}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 08:01:30 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e99"}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after": "Mon, 99 Nov 2026 08:01:30 GMT", **DATE}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], wait_s: float | None) -> None:
    assert read_retry_after_s(headers) == wait_s


@pytest.mark.parametrize(
    ("value", "reset_s"),
    [
        ("12", 12),
        ("8.64s", 8.64),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("1d2h", 93_600),
        ("2026-11-23T08:00:30Z", 30),
        ("2026-11-23T16:00:30+08:00", 30),
        ("2026-11-23T07:00:00Z", 0),
        (str(int(SENT.timestamp()) + 30), 30),
        (str((int(SENT.timestamp()) + 30) * 1000), 30),
        ("", None),
        ("6 minutes", None),
        ("6m 0s", None),
        ("9999999d", None),
        ("-1s", None),
    ],
)
def test_resets(value: str, reset_s: float | None) -> None:
    assert read_reset_s(value, DATE) == (None if reset_s is None else pytest.approx(reset_s))


def test_a_moment_without_the_answers_own_date_says_nothing() -> None:
    assert read_reset_s("2026-11-23T08:00:30Z", {}) is None


@given(st.timedeltas(timedelta(0), timedelta(days=300)))
def test_a_span_in_the_spelling_of_go_is_read_back(span: timedelta) -> None:
    hours, rest = divmod(span, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    text = f"{hours}h{minutes}m{rest.total_seconds():.6f}s"
    assert read_span_s(text) == pytest.approx(span.total_seconds(), abs=1e-6)


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_stands_there_is_a_bounded_wait_or_nothing(value: str, date: str) -> None:
    for found in (
        read_retry_after_s({"retry-after": value, "date": date}),
        read_retry_after_s({"retry-after-ms": value}),
        read_reset_s(value, {"date": date}),
    ):
        assert found is None or (math.isfinite(found) and found >= 0)
    span_s = read_span_s(value)
    assert span_s is None or 0 <= span_s < ABSURD_S


def test_openais_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "28000",
        "x-ratelimit-reset-tokens": "4s",
    }
    assert read_allowances(headers) == Allowances(
        Allowance(500, 499, 0.12), Allowance(30_000, 28_000, 4.0)
    )


def test_an_answer_without_them_tells_nothing() -> None:
    assert read_allowances({"content-type": "application/json"}) is None


@pytest.mark.parametrize("remaining", ["many", "", "1e3", "９", "1" * 16, "3.5"])
def test_a_count_that_is_none_tells_nothing(remaining: str) -> None:
    headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": "1s"}
    assert read_allowances(headers) == Allowances(None, None)


def test_less_than_nothing_is_nothing() -> None:
    headers = {"x-ratelimit-remaining-tokens": "-20", "x-ratelimit-reset-tokens": "1s"}
    assert read_allowances(headers) == Allowances(tokens=Allowance(0, 0, 1.0))
