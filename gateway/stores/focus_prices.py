"""Quantities and prices as FOCUS writes them: exact decimals, whose product is the cost."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

from gateway.ledger import NANO, LedgerRow

WITHOUT_METER = "requests"
"""The meter of an attempt with a bill that has no lines: one request at what it cost, mostly 0."""


class Unit(NamedTuple):
    """How a meter is written: ``divisor`` of its units make one consumed unit, and the price is
    for ``block`` consumed units."""

    name: str
    divisor: int = 1
    block: int = 1

    @property
    def pricing_name(self) -> str:
        return self.name if self.block == 1 else f"{self.block} {self.name}"


UNITS = {
    "images": Unit("Images"),
    "input_images": Unit("Images"),
    "video_clips": Unit("Clips"),
    "characters": Unit("Characters", block=1000),
    WITHOUT_METER: Unit("Requests"),
}
TOKENS = Unit("Tokens", block=1000)
SECONDS = Unit("Seconds", divisor=1000)
OTHER = Unit("Units")


class Price(NamedTuple):
    quantity: str
    unit: str
    unit_price: str
    cost: str


def price_of(line: LedgerRow, unit: Unit) -> Price:
    """A unit price and a quantity whose product is the cost, in exact decimals."""
    units_priced = unit.divisor * unit.block
    unit_price = exact_decimal(line.rate_nano * units_priced, line.per * NANO)
    cost = exact_decimal(line.quantity * line.rate_nano, line.per * NANO)
    quantity = exact_decimal(line.quantity, units_priced)
    if unit_price is None or cost is None or quantity is None:
        # Such as a price by the minute for milliseconds: no decimal is a third.
        whole = decimal(line.cost_nano)
        return Price("1", OTHER.name, whole, whole)
    return Price(quantity, unit.pricing_name, unit_price, cost)


def unit_of(meter: str) -> Unit:
    if meter.endswith("_tokens"):
        return TOKENS
    if meter.endswith("_ms"):
        return SECONDS
    return UNITS.get(meter, OTHER)


@lru_cache(maxsize=4096)
def exact_decimal(numerator: int, denominator: int) -> str | None:
    """A fraction in decimal digits, without exponent; None if it never ends."""
    common = gcd(numerator, denominator)
    numerator, denominator = numerator // common, denominator // common
    twos, rest = _without_factor(denominator, 2)
    fives, rest = _without_factor(rest, 5)
    if rest != 1:
        return None
    places = max(twos, fives)
    digits = f"{abs(numerator) * 10**places // denominator:0{places + 1}d}"
    sign = "-" if numerator < 0 else ""
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _without_factor(number: int, factor: int) -> tuple[int, int]:
    """How often a factor is in a number, and what is left without it."""
    count = 0
    while number % factor == 0:
        number //= factor
        count += 1
    return count, number


def decimal(nano: int) -> str:
    text = exact_decimal(nano, NANO)
    assert text is not None
    return text
