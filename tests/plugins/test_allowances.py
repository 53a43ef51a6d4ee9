"""What each bundled translation reads of its vendor's rate headers."""

from __future__ import annotations

from collections.abc import Mapping

from gateway import Allowance, Allowances, ProviderSettings
from gateway_anthropic import Anthropic
from gateway_anthropic.request import Settings
from gateway_openai import OpenAI

MESSAGES = {
    "date": "Mon, 23 Nov 2026 08:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-11-23T08:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1900000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-23T08:00:03Z",
    "anthropic-ratelimit-output-tokens-limit": "400000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-23T08:00:30Z",
}


def read(headers: Mapping[str, str]) -> Allowances | None:
    return Anthropic(Settings(type="anthropic")).read_allowances(headers)


def test_anthropics_moments_and_of_its_token_limits_the_tightest() -> None:
    assert read(MESSAGES) == Allowances(Allowance(4000, 3999, 1.0), Allowance(400_000, 0, 30.0))


def test_anthropics_answer_without_limits_tells_nothing() -> None:
    assert read({"date": MESSAGES["date"], "retry-after": "3"}) is None


def test_openais_spans() -> None:
    headers = {"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}
    openai = OpenAI(ProviderSettings(type="openai"))
    assert openai.read_allowances(headers) == Allowances(tokens=Allowance(7, 7, 360.0))
