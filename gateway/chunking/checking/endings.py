"""Does a text stop before its source does, although nobody says that it was cut?

Two signs: it ends within a sentence where the source does not, or it follows the source line by
line and then lacks the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .squeezing import squeezed_lines

CLOSED_SHARE = 0.6
"""So many of the other lines have to end with a sign for the last one to be missed: some write
without any."""
LEAST_LINES = 4
"""Fewer lines may all be put into one."""
LOST_SHARE = 0.3
"""So many of the last lines are gone: whoever tightens a scene takes lines from its middle, too."""
KEPT_SHARE = 0.8
"""Length of what is there by that of the same lines of the source: they were not tightened."""

_CLOSING = frozenset("。！？!?.…~～—）)】]》>」』”\"’'|*_♪♫")
_SIGNS = re.compile(r"[\W_]+")
_LEAD = re.compile(
    r"[*_>#\-【\[]*(?P<name>[^：:（(】\]*]{1,16})[】\]*_]*(?:[（(][^）)]{0,40}[）)])?[*_]*[：:]"
)
_SAID, _ACTION = "：", "△▲∆Δ▵"


def cut_short(source: str, body: str) -> str:
    """How it can be told, for people; empty if it cannot. The time is linear."""
    old, new = squeezed_lines(source), squeezed_lines(body)
    if not old or not new:
        return ""
    return _within_a_sentence(old, new) or _before_the_end(old, new)


def _within_a_sentence(old: Sequence[str], new: Sequence[str]) -> str:
    last = new[-1]
    if last[-1] in _CLOSING or old[-1][-1] not in _CLOSING or last in old:
        return ""
    if not all(_is_mostly_closed(lines[:-1]) for lines in (old, new)):
        return ""
    if _letters(new) >= _letters(old):
        return ""
    return f"it ends in the middle of a sentence: …{last[-30:]}"


def _is_mostly_closed(lines: Sequence[str]) -> bool:
    """Names in capitals on lines of their own aside."""
    closed = [line[-1] in _CLOSING for line in lines if not line.isupper()]
    return sum(closed) >= CLOSED_SHARE * len(closed)


def _before_the_end(old: Sequence[str], new: Sequence[str]) -> str:
    lost = len(old) - len(new)
    if len(old) < LEAST_LINES or lost < LOST_SHARE * len(old):
        return ""
    same = old[: len(new)]
    if [_lead(line) for line in new] != [_lead(line) for line in same]:
        return ""
    if _letters(new) < KEPT_SHARE * _letters(same):
        return ""
    return f"it ends after {len(new)} of {len(old)} lines"


def _lead(line: str) -> str:
    """Who speaks, or the sign of an action."""
    match = _LEAD.match(line)
    if match is not None:
        return match["name"] + _SAID
    return line[0] if line[0] in _ACTION else ""


def _letters(lines: Sequence[str]) -> int:
    return sum(len(_SIGNS.sub("", line)) for line in lines)
