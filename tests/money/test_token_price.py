"""What a call costs, to the nano-unit."""

from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config_prices import TokenPriceConfig
from gateway.money.tables import compile_price
from gateway.money.token_price import SUBSTITUTES, Phase, Tier, TokenPrice, base_tier, fill_rates
from gateway.schema import TOKEN_CLASSES, Usage

NOW_S = 1_795_348_800.5


counts = st.integers(0, 2_000_000)
usages = st.builds(Usage, **dict.fromkeys(TOKEN_CLASSES, counts))
rates = st.tuples(*(st.integers(0, 10**12) for _ in TOKEN_CLASSES))


def price(**fields):
    return compile_price(TokenPriceConfig(**fields))


def beijing_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()


GPT = price(input_per_mtok="1.25", cache_read_per_mtok="0.125", output_per_mtok="10")
DEEPSEEK = price(
    currency="CNY",
    input_per_mtok="1",
    output_per_mtok="4",
    windows=[
        {
            "time_zone": "Asia/Shanghai",
            "weekdays": [1, 2, 3, 4, 5],
            "hours": ["09:00-12:00", "14:00-18:00"],
            "except_dates": ["2026-10-01..2026-10-07"],
            "input_per_mtok": "2",
            "output_per_mtok": "8",
        }
    ],
)


def exact_nano(usage: Usage, of_rates: tuple[int, ...]) -> Fraction:
    nano_mtok = sum(
        getattr(usage, name) * rate for name, rate in zip(TOKEN_CLASSES, of_rates, strict=True)
    )
    return Fraction(nano_mtok, 1_000_000)


def test_a_call_costs_what_the_hand_calculation_says():
    # 1000 x 1.25 + 400 x 0.125 + (200 + 100) x 10 = 4300 dollars for a million such calls.
    usage = Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=200, reasoning_tokens=100)
    assert str(GPT.cost(usage, NOW_S)) == "0.004300000"


def test_a_part_of_a_nano_unit_is_charged_as_a_whole_one():
    # One token at 0.003625 dollars a million is 3.625 nano-dollars.
    cached = price(input_per_mtok="0.435", cache_read_per_mtok="0.003625", output_per_mtok="0.87")
    assert cached.cost(Usage(cache_read_tokens=1), NOW_S).nano == 4
    assert cached.cost(Usage(cache_read_tokens=8), NOW_S).nano == 29


def test_the_cost_is_in_the_currency_of_the_price():
    assert DEEPSEEK.cost(Usage(input_tokens=1), NOW_S).currency == "CNY"


def test_nothing_used_costs_nothing():
    assert GPT.cost(Usage(), NOW_S).nano == 0


def test_a_negative_count_is_no_credit():
    assert GPT.cost(Usage(input_tokens=-1_000, output_tokens=1), NOW_S).nano == 10_000


@given(usages, rates)
def test_the_cost_is_the_exact_sum_with_each_line_rounded_up(usage, of_rates):
    named = dict(zip(TOKEN_CLASSES, of_rates, strict=True))
    one = TokenPrice("USD", (Phase((base_tier(fill_rates(named)),)),), "")
    exact = exact_nano(usage, of_rates)
    lines = one.lines(usage, NOW_S)
    assert one.cost(usage, NOW_S).nano == sum(line.cost_nano for line in lines)
    assert exact <= one.cost(usage, NOW_S).nano < exact + max(1, len(lines))


@given(usages, st.sampled_from(TOKEN_CLASSES), st.integers(1, 1000))
def test_more_tokens_of_any_class_never_cost_less(usage, name, more):
    longer = Usage(**{**usage.classes(), name: getattr(usage, name) + more})
    assert GPT.cost(usage, NOW_S) <= GPT.cost(longer, NOW_S)


@given(usages, usages)
def test_two_calls_cost_what_they_cost_as_one_but_for_a_nano_unit(first, second):
    both = Usage(**{name: getattr(first, name) + getattr(second, name) for name in TOKEN_CLASSES})
    apart = GPT.cost(first, NOW_S).nano + GPT.cost(second, NOW_S).nano
    assert 0 <= apart - GPT.cost(both, NOW_S).nano <= 1


def test_every_token_class_has_a_price_as_soon_as_input_and_output_have():
    filled = fill_rates({"input_tokens": 7, "output_tokens": 9})
    as_input = dict(zip(TOKEN_CLASSES, filled, strict=True))
    assert as_input == {
        name: 9 if "output" in name or "reasoning" in name else 7 for name in TOKEN_CLASSES
    }


@pytest.mark.parametrize(("name", "substitute"), SUBSTITUTES.items())
def test_a_class_that_is_priced_apart_does_not_cost_what_its_substitute_costs(name, substitute):
    filled = fill_rates({"input_tokens": 7, "output_tokens": 9, name: 1, substitute: 5})
    by_class = dict(zip(TOKEN_CLASSES, filled, strict=True))
    assert (by_class[name], by_class[substitute]) == (1, 5)


TIERED = price(
    input_per_mtok="1",
    output_per_mtok="10",
    tiers=[
        {"above_input_tokens": 1000, "input_per_mtok": "2", "output_per_mtok": "20"},
        {"above_input_tokens": 5000, "input_per_mtok": "4", "output_per_mtok": "40"},
    ],
)


@pytest.mark.parametrize(
    ("input_tokens", "nano"),
    # One output token of 10, 20 or 40 dollars a million, and all of the input at that tier.
    [(0, 10_000), (1000, 1_010_000), (1001, 2_022_000), (5000, 10_020_000), (5001, 20_044_000)],
)
def test_a_longer_prompt_moves_the_whole_call_to_a_higher_tier(input_tokens, nano):
    usage = Usage(input_tokens=input_tokens, output_tokens=1)
    assert TIERED.cost(usage, NOW_S).nano == nano


def test_cached_input_counts_for_the_tier():
    usage = Usage(input_tokens=1, cache_read_tokens=999, audio_input_tokens=1)
    assert TIERED.cost(usage, NOW_S).nano == 1001 * 2000


@pytest.mark.parametrize(
    ("local_time", "peak"),
    [
        ("2026-11-23T08:59:59", False),  # a Monday
        ("2026-11-23T09:00:00", True),
        ("2026-11-23T11:59:59", True),
        ("2026-11-23T12:00:00", False),
        ("2026-11-23T13:59:59", False),
        ("2026-11-23T14:00:00", True),
        ("2026-11-23T18:00:00", False),
        ("2026-11-27T17:59:59", True),  # Friday
        ("2026-11-28T10:00:00", False),  # Saturday
        ("2026-11-29T10:00:00", False),  # Sunday, 02:00 UTC
        ("2026-09-30T10:00:00", True),
        ("2026-10-01T10:00:00", False),  # a Thursday, and a holiday
        ("2026-10-07T10:00:00", False),
        ("2026-10-08T10:00:00", True),
    ],
)
def test_peak_hours_are_those_of_beijing_on_working_days(local_time, peak):
    cost = DEEPSEEK.cost(Usage(input_tokens=1), beijing_s(local_time))
    assert cost.nano == (2000 if peak else 1000)


def test_the_last_fraction_of_a_second_before_the_peak_is_off_peak():
    just_before = beijing_s("2026-11-23T09:00:00") - 0.001
    assert DEEPSEEK.cost(Usage(input_tokens=1), just_before).nano == 1000


@pytest.mark.parametrize(("hour", "night"), [(21, False), (22, True), (0, True), (2, False)])
def test_a_window_may_pass_midnight(hour, night):
    at_night = price(
        input_per_mtok="2",
        output_per_mtok="2",
        windows=[
            {
                "time_zone": "Asia/Shanghai",
                "hours": ["22:00-02:00"],
                "input_per_mtok": "1",
                "output_per_mtok": "1",
            }
        ],
    )
    moment_s = beijing_s(f"2026-11-23T{hour:02}:00:00")
    assert at_night.cost(Usage(input_tokens=1), moment_s).nano == (1000 if night else 2000)


def test_a_free_model_says_so():
    free = price(free=True)
    assert free.free
    assert free.cost(Usage(input_tokens=10**9, output_tokens=10**9), NOW_S).nano == 0


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "both needed"),
        ({"input_per_mtok": "1"}, "both needed"),
        ({"input_per_mtok": "0", "output_per_mtok": "0"}, "free: true"),
        ({"free": True, "input_per_mtok": "1"}, "not both"),
        ({"input_per_mtok": 0.1, "output_per_mtok": "1"}, "quoted string"),
        ({"input_per_mtok": "-1", "output_per_mtok": "1"}, "greater than or equal to 0"),
        ({"input_per_mtok": "NaN", "output_per_mtok": "1"}, "finite"),
        ({"input_per_mtok": "0.0000000001", "output_per_mtok": "1"}, "9 decimal places"),
        ({"input_per_mtok": "1", "output_per_mtok": "1", "currency": "dollar"}, "pattern"),
    ],
)
def test_a_price_that_is_not_clear_is_refused(fields, complaint):
    with pytest.raises(ValidationError, match=complaint):
        TokenPriceConfig(**fields)


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        ({"hours": ["9:00-12:00"]}, "pattern"),
        ({"hours": ["09:00-09:00"]}, "no time at all"),
        ({"time_zone": "Asia/Hengdian"}, "no time zone"),
        ({"weekdays": [0]}, "greater than or equal to 1"),
        ({"except_dates": ["2026-02-30"]}, "day"),
        ({"except_dates": ["2026-02-10..2026-02-01"]}, "ends before"),
    ],
)
def test_a_window_that_cannot_be_is_refused(window, complaint):
    rates_of_window = {"input_per_mtok": "1", "output_per_mtok": "1"}
    with pytest.raises(ValidationError, match=complaint):
        TokenPriceConfig(**rates_of_window, windows=[window | rates_of_window])


def test_tiers_out_of_order_are_refused():
    tier = {"input_per_mtok": "1", "output_per_mtok": "1"}
    with pytest.raises(ValidationError, match="ascend"):
        TokenPriceConfig(
            **tier, tiers=[tier | {"above_input_tokens": 2}, tier | {"above_input_tokens": 1}]
        )


def test_rates_for_too_few_classes_are_no_tier():
    with pytest.raises(ValueError, match="not the rates"):
        Tier(-1, (1, 2, 3))
