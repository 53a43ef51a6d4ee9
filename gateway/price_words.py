"""Amounts, hours and sources of prices in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from .money.token_price import EVERY_DAY, Window

SYMBOLS = {"CNY": "¥", "USD": "$"}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def describe_window(window: Window) -> str:
    """``Mon-Fri 09:00-12:00, 14:00-18:00 Asia/Shanghai, but on 40 dates``."""
    if window.from_s:
        return f"since {datetime.fromtimestamp(window.from_s, UTC):%Y-%m-%d}"
    days = "" if window.weekdays == EVERY_DAY else f"{_days(sorted(window.weekdays))} "
    hours = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in window.hours)
    but = f", but on {len(window.except_dates)} dates" if window.except_dates else ""
    return f"{days}{hours} {window.time_zone}{but}"


def _days(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{WEEKDAYS[numbers[0] - 1]}-{WEEKDAYS[numbers[-1] - 1]}"
    return ", ".join(WEEKDAYS[number - 1] for number in numbers)


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second % 3600 // 60:02}"


def total(nano: int, currency: str) -> str:
    return money(nano, currency, decimals=4)


def money(nano: int, currency: str, decimals: int = 2) -> str:
    """At least so many decimals, and as many as there are: ``¥0.016``."""
    amount = Decimal(nano).scaleb(-9).normalize()
    exponent = amount.as_tuple().exponent
    places = max(decimals, -exponent) if isinstance(exponent, int) else decimals
    return f"{SYMBOLS.get(currency, currency + ' ')}{amount:.{places}f}"


def where(source: str) -> str:
    """A source in the width of a column: of an address, the host and the date."""
    address, _, date = source.partition(" (")
    return f"{urlsplit(address).netloc} {date.rstrip(')')}" if "://" in address else source
