"""Headers that tell what a limit leaves."""

import pytest

from gateway.schema import NO_ALLOWANCES, Allowance, Allowances
from gateway.server.allowances import allowance_headers, allowance_lines, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0001, "1ms"),
        (0.02, "20ms"),
        (0.9991, "1s"),
        (1.0, "1s"),
        (1.2, "2s"),
        (59.01, "1m0s"),
        (360.0, "6m0s"),
        (3725.0, "1h2m5s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_only_what_is_limited_has_headers() -> None:
    assert list(allowance_headers(NO_ALLOWANCES)) == []
    tokens = Allowances(tokens=Allowance(1000, 20, 58.8))
    assert dict(allowance_headers(tokens)) == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "20",
        "x-ratelimit-reset-tokens": "59s",
    }


def test_a_head_has_the_same_headers_one_a_line() -> None:
    allowances = Allowances(Allowance(60, 59, 1.0), Allowance(1000, 20, 58.8))
    for found in (allowances, Allowances(tokens=allowances.tokens), NO_ALLOWANCES):
        lines = "\r\n".join(allowance_lines(found)).splitlines()
        assert lines == [f"{name}: {text}" for name, text in allowance_headers(found)]
