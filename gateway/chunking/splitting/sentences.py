"""Where a sentence ends, and where one may cut between two characters without harm."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_ENDING = re.compile(
    r"""(?<![。！？…!?.])(?P<stops>[。！？…!?.]++)[”’」』）】》〉)\]"']*+(?P<space>\s*+)"""
)
"""Possessive, and begun only where a run of stops begins: linear for whatever comes."""
_ABBREVIATION = re.compile(r"(?:^|[\s(“\"'])[A-Z][a-z]{0,2}$")
_WIDE_STOPS = frozenset("。！？…")
_WINDOW_CHARS = 16_384
"""So much is searched at once: a search holds the interpreter's lock from its start to its end."""
_BREATHS = re.compile(r"[\s，、；：,;:—]")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
_MAX_CLUSTER_CHARS = 32
"""Further than that no cluster is followed: there is no end to marks that one can pile up."""


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Offsets between ``start`` and ``end`` behind a sentence, its closing quotes and the space
    after them."""
    at = start
    while at < end:
        window_end = min(at + _WINDOW_CHARS, end)
        resume = window_end
        for match in _ENDING.finditer(text, at, window_end):
            if match.end() == window_end < end and match.start() > at:
                resume = match.start()
            elif match.end() < end and _is_end(text, match):
                yield match.end()
        at = resume


def _is_end(text: str, match: re.Match[str]) -> bool:
    """``3.5`` has no end in it, nor has ``Mr. Lin``."""
    stops = match["stops"]
    if not _WIDE_STOPS.isdisjoint(stops):
        return True
    if not match["space"]:
        return stops != "." and ord(text[match.end()]) > 0x2E7F
    before = text[max(0, match.start() - 5) : match.start()]
    return stops != "." or not _ABBREVIATION.search(before)


def harmless_cut(text: str, start: int, at: int) -> int:
    """An offset in (start, at], as late as possible: behind a comma or a space in the latter half
    of the stretch, else between two characters as readers see them."""
    middle = (start + at) // 2
    for position in range(at, max(middle, at - _MAX_CLUSTER_CHARS), -1):
        if _BREATHS.match(text[position - 1]) and not _BREATHS.match(text[position]):
            return position
    for position in range(at, max(start, at - _MAX_CLUSTER_CHARS), -1):
        if not _is_inside_cluster(text, position):
            return position
    return at


def _is_inside_cluster(text: str, at: int) -> bool:
    """Whether what stands before and behind is seen as one: a letter and its accents, an emoji of
    several, a flag, a line end of two characters."""
    before, after = text[at - 1], text[at]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if after in _JOINERS or before == "\u200d" or unicodedata.category(after)[0] == "M":
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    return _is_flag_letter(after) and _flag_letters_before(text, at) % 2 == 1


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_letters_before(text: str, at: int) -> int:
    first = at
    while first and at - first < _MAX_CLUSTER_CHARS and _is_flag_letter(text[first - 1]):
        first -= 1
    return at - first
