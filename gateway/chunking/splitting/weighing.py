"""About how many tokens are many stretches of a text? Few calls of the counter, none of them long.

What is weighed here decides where cuts fall; every piece is counted exactly afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from gateway.chunking.tokens import Counter, estimate_tokens

LUMP_CHARS = 256
"""Short neighbours are counted as one, and share the sum by their length."""
SLICE_CHARS = 16_384
"""Longer stretches are counted in slices."""
_SLICES_AT_ONCE = 8
COUNTED_CHARS = 262_144
"""Of a longer text, only so much is counted to weigh it: every so many lumps one."""
_SAMPLES = 16
"""So many neighbours among those say how the estimates around them are to be corrected."""
_MARGIN = 1.02
"""On what is estimated."""


def weigh(
    text: str, starts: Sequence[int], ends: Sequence[int], counter: Counter, enough: int
) -> list[int]:
    """Tokens of each stretch, at least 1, rather too many than too few.

    Counting a long stretch stops where it has more than ``enough``.
    """
    weights = [0] * len(ends)
    short: list[tuple[int, int]] = []
    first = 0
    while first < len(ends):
        after = _lump(starts, ends, first)
        if ends[after - 1] - starts[first] > SLICE_CHARS:
            weights[first] = _weigh_long(text, starts[first], ends[first], counter, enough)
        else:
            short.append((first, after))
        first = after
    counts = _counts([text[starts[a] : ends[b - 1]] for a, b in short], counter)
    for (first, after), tokens in zip(short, counts, strict=True):
        chars = ends[after - 1] - starts[first]
        for number in range(first, after):
            weights[number] = max(1, -(-tokens * (ends[number] - starts[number]) // chars))
    return weights


def _counts(lumps: list[str], counter: Counter) -> list[int]:
    """Of each lump; where there are many, corrected estimates."""
    step = sum(map(len, lumps)) // COUNTED_CHARS + 1
    if step == 1:
        return counter.count_all(lumps)
    counted = counter.count_all(lumps[::step])
    guesses = [estimate_tokens(lump) for lump in lumps]
    for first in range(0, len(lumps), step * _SAMPLES):
        area = slice(first, first + step * _SAMPLES)
        found = counted[first // step : first // step + _SAMPLES]
        guessed = guesses[area]
        factor = sum(found) * _MARGIN / sum(guessed[::step])
        guesses[area] = [int(guess * factor) + 1 for guess in guessed]
    return guesses


def _lump(starts: Sequence[int], ends: Sequence[int], first: int) -> int:
    """Which stretch is the first that is not counted together with this one."""
    after = first + 1
    while (
        after < len(ends)
        and ends[after] - starts[first] <= LUMP_CHARS
        and starts[after] == ends[after - 1]
    ):
        after += 1
    return after


def _weigh_long(text: str, start: int, end: int, counter: Counter, enough: int) -> int:
    total = 0
    group = SLICE_CHARS * _SLICES_AT_ONCE
    for group_start in count(start, group):
        group_end = min(group_start + group, end)
        places = range(group_start, group_end, SLICE_CHARS)
        slices = [text[at : min(at + SLICE_CHARS, group_end)] for at in places]
        total += sum(counter.count_all(slices))
        if total > enough or group_end == end:
            break
    return max(1, total)
