"""What targets are compared by when a strategy asks for the cheapest."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.assembly import UNKNOWN_PRICE_NANO, View
from gateway.config_prices import TokenPriceConfig
from gateway.money.prices import PriceBook
from gateway.routing.latency import Latency
from gateway.routing.strategies import cheapest
from gateway.schema import Target

CNY_PER_USD = Decimal("8")


def price(currency: str) -> TokenPriceConfig:
    """10 for a million tokens in and a quarter of a million out."""
    return TokenPriceConfig(
        currency=currency, input_per_mtok=Decimal(6), output_per_mtok=Decimal(16)
    )


PRICES: dict[str, TokenPriceConfig | str] = {
    "studio/dollars": price("USD"),
    "studio/yuan": price("CNY"),
    "studio/euros": price("EUR"),
    "studio/gratis": TokenPriceConfig(free=True),
}
# A stand-in that somebody has priced: were the price believed, it would go before everything.
STAND_IN = Target("studio", "gratis", "public", rehearsal=True)


def target(model: str) -> Target:
    return Target("studio", model, "public")


@pytest.fixture
def view() -> View:
    return View(PriceBook.load(overrides=PRICES), Latency(), CNY_PER_USD)


def test_a_price_in_dollars_is_compared_as_it_is(view: View) -> None:
    assert view.price_nano(target("dollars")) == 10 * 10**9


def test_a_price_in_yuan_is_converted_at_the_configured_rate(view: View) -> None:
    assert view.price_nano(target("yuan")) == 10 * 10**9 // 8


def test_a_price_in_a_currency_without_a_rate_counts_as_unknown(view: View) -> None:
    assert view.price_nano(target("euros")) == UNKNOWN_PRICE_NANO


def test_a_target_that_nobody_prices_counts_as_unknown(view: View) -> None:
    assert view.price_nano(target("nobody-lists-this")) == UNKNOWN_PRICE_NANO


def test_a_stand_in_counts_as_unknown_even_with_a_price(view: View) -> None:
    assert view.price_nano(STAND_IN) == UNKNOWN_PRICE_NANO


def test_unknown_prices_go_last_in_the_order_of_the_file(view: View) -> None:
    targets = [STAND_IN, target("euros"), target("dollars"), target("yuan"), target("gratis")]
    assert cheapest(targets, view) == [
        target("gratis"),
        target("yuan"),
        target("dollars"),
        STAND_IN,
        target("euros"),
    ]
