"""The numbers of a text by value, and which of them an answer has changed.

``三百万``, ``300万`` and ``3,000,000`` are one value. Numerals of one character (``一``) are as
often words as numbers, so they count only in front of a unit that makes them a fact (``三岁``);
elsewhere they excuse a digit that stands for them and ask nothing themselves.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

Value = Decimal | str
"""A run of more digits than a quantity has (a card's number) is compared as it is written."""

MAX_DIGITS = 18
MAX_SHOWN = 5

_DIGITS = {char: value for value, char in enumerate("〇一二三四五六七八九")} | {
    **dict(zip("零壹贰叁肆伍陆柒捌玖", range(10), strict=True)),
    "两": 2,
    "俩": 2,
    "仨": 3,
}
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_NUMERAL = "".join([*_DIGITS, *_TENS, *_MYRIADS])
_FACTS = "元块岁年月号日级倍斤米楼层亿万克吨秒"
"""Behind one numeral these make a fact of it: an age, a price, a date."""
_WIDE = str.maketrans("０１２３４５６７８９，．", "0123456789,.")
_UNIT_VALUES = {**_TENS, **_MYRIADS}
_UNITS = "".join(_UNIT_VALUES)
_GROUPED = "[0-9０-９]{1,3}(?:[,，][0-9０-９]{3})+(?![0-9０-９])"
_LATIN = f"(?:{_GROUPED}|[0-9０-９]+)(?:[.．][0-9０-９]+)?"
_NUMBER = re.compile(
    rf"{_LATIN}(?:[{_UNITS}]+(?:[0-9]+(?:\.[0-9]+)?)?)*"
    rf"|[{_NUMERAL}]{{2,}}(?:点[{''.join(_DIGITS)}]+(?![钟半])[{_UNITS}]*)?"
    rf"|[{_NUMERAL}](?:点[{''.join(_DIGITS)}]+(?![钟半])[{_UNITS}]*|(?=[{_FACTS}]))"
)
_SINGLES = {char: Decimal(value) for char, value in {**_DIGITS, "十": 10}.items()}
_SINGLE = re.compile(f"[{''.join(_SINGLES)}]")
_LATIN_WITH_UNITS = re.compile(rf"([0-9,.]+)([{_UNITS}]*)")


class Numbers(NamedTuple):
    """``firm``: value → how often; ``written``: value → how; ``loose``: what may stand for one."""

    firm: Counter[Value]
    written: dict[Value, str]
    loose: Counter[Value]


def numbers_of(text: str) -> Numbers:
    """All numbers of a text, in the order in which they first stand there."""
    found = Numbers(Counter(), {}, Counter())
    at = 0
    for match in _NUMBER.finditer(text):
        written = match[0]
        value = _chinese(written) if written[0] in _NUMERAL else _latin(written)
        if value is not None:
            found.firm[value] += 1
            found.written.setdefault(value, written)
            found.loose.update(_singly(text[at : match.start()]))
            at = match.end()
    found.loose.update(_singly(text[at:]))
    return found


def changed_numbers(source: str, answer: str) -> str:
    """What became of the numbers, for people: ``300万 → 200万``; empty if all stand."""
    if _NUMBER.findall(source) == _NUMBER.findall(answer):
        return ""
    before, after = numbers_of(source), numbers_of(answer)
    lost = before.firm - after.firm - after.loose
    new = after.firm - before.firm - before.loose
    if not lost and not new:
        return ""
    olds = _spelled(lost, before.written)
    news = _spelled(new, after.written)
    count = max(len(olds), len(news))
    olds += ["nothing"] * (count - len(olds))
    news += ["nothing"] * (count - len(news))
    shown = [f"{old} → {new}" for old, new in zip(olds, news, strict=True)][:MAX_SHOWN]
    return "; ".join(shown) + (f"; {count - MAX_SHOWN} more" if count > MAX_SHOWN else "")


def _spelled(values: Counter[Value], written: dict[Value, str]) -> list[str]:
    return [written[value][:40] for value in values.elements()]


def _singly(text: str) -> Iterable[Value]:
    return (_SINGLES[char] for char in _SINGLE.findall(text))


def _latin(written: str) -> Value:
    """Digits, and the Chinese units behind them."""
    total = Decimal(0)
    unit = 1
    for digits, units in _LATIN_WITH_UNITS.findall(written.translate(_WIDE)):
        digits = digits.replace(",", "")
        if len(digits) + len(units) > MAX_DIGITS:
            return written.lstrip("0")
        colloquial = unit // 10 if unit > 10 and not units and len(digits) == 1 else 1
        unit = math.prod(_UNIT_VALUES[char] for char in units)
        total += Decimal(digits) * unit * colloquial
    return total


def _chinese(written: str) -> Value | None:
    """A numeral's value; None for what only looks like one (``千万``, ``七八``, ``一一``)."""
    whole, _, fraction = written.partition("点")
    if fraction:
        return _with_fraction(whole, fraction)
    if all(char in _DIGITS for char in whole):
        return _digit_by_digit(whole)
    if len(whole) > MAX_DIGITS:
        return whole
    return _by_units(whole)


def _digit_by_digit(whole: str) -> Value | None:
    """``二〇二六``. Two digits beside each other are about so many, or a turn of phrase."""
    if len(whole) == 2 or "两" in whole[1:]:
        return None
    digits = "".join(str(_DIGITS[char]) for char in whole)
    return Decimal(digits) if len(digits) <= MAX_DIGITS else digits.lstrip("0")


def _with_fraction(whole: str, fraction: str) -> Value | None:
    digits = fraction.rstrip("百千万萬亿億")
    value = _chinese(whole)
    if not isinstance(value, Decimal) or len(fraction) > MAX_DIGITS:
        return None
    value += Decimal("0." + "".join(str(_DIGITS[char]) for char in digits))
    for unit in fraction[len(digits) :]:
        value *= _UNIT_VALUES[unit]
    return value


def _by_units(whole: str) -> Decimal | None:
    """``三百万``, ``一万五``. None where digits and units do not make a number."""
    total = section = 0
    digit: int | None = None
    smallest = 10**9
    """Of the units in this section; each has to be smaller than the one before."""
    last_unit = 0
    for char in whole:
        if char in _DIGITS:
            if digit:
                return None
            digit, last_unit = _DIGITS[char], last_unit if _DIGITS[char] else 0
        elif char in _TENS:
            unit = _TENS[char]
            if unit >= smallest or (not digit and (unit != 10 or section)):
                return None
            section += (digit or 1) * unit
            smallest = last_unit = unit
            digit = None
        else:
            unit = _MYRIADS[char]
            section += digit or 0
            if not section:
                if not total:
                    return None
                total *= unit
            else:
                total = (total + section) * unit if unit == 10**8 else total + section * unit
            section, digit, smallest, last_unit = 0, None, 10**9, unit
    colloquial = last_unit // 10 if digit and last_unit > 10 else 1
    return Decimal(total + section + (digit or 0) * colloquial)
