"""Numbers of headings, the same in whatever way they are written."""

from __future__ import annotations

NUMERAL = "(?:[0-9０-９]{1,4}|[零〇一二两三四五六七八九十百千壹贰叁肆伍陆柒捌玖拾佰仟]{1,9})"
"""A pattern: ``12``, ``１２``, ``十二``, ``一百零二``, ``一〇二``."""
DIGITS = "[0-9０-９]"

_VALUES = {
    written: value
    for value, all_written in enumerate(
        ("零〇", "一壹", "二两贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
    )
    for written in all_written
}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_WORDS = (
    "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN "
    "SIXTEEN SEVENTEEN EIGHTEEN NINETEEN TWENTY"
)
_ENGLISH = _WORDS.split()
ENGLISH_NUMERAL = "(?:" + "|".join(sorted(_ENGLISH, key=len, reverse=True)) + ")"
_ENGLISH_VALUES = {word: value for value, word in enumerate(_ENGLISH, 1)}


def number_of(written: str) -> int:
    """The number that ``NUMERAL`` or ``ENGLISH_NUMERAL`` matched."""
    if written.isdecimal():
        return int(written)
    if written.upper() in _ENGLISH_VALUES:
        return _ENGLISH_VALUES[written.upper()]
    if not any(sign in _UNITS for sign in written):
        return int("".join(str(_VALUES[sign]) for sign in written))
    total, digit = 0, 0
    for sign in written:
        if sign in _UNITS:
            total += (digit or 1) * _UNITS[sign]
            digit = 0
        else:
            digit = _VALUES[sign]
    return total + digit
