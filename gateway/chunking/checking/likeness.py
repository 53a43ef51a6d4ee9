"""How alike two texts are, by the pairs of characters that they have in common."""

from __future__ import annotations

from itertools import pairwise

Pair = tuple[str, str]

ALIKE = 0.3
"""Share of pairs of characters that a section and its polished self have in common at least. Two
scenes of one script share 0.1 to 0.2, a thorough rewriting keeps 0.4."""
MORE_ALIKE = 1.5
"""So many times more like another section than like its own is what a text has to be to be
taken for the other's."""
MIN_ALIKE_PAIRS = 20
"""Shorter texts say nothing about where they belong."""

PROBES, PROBE_CHARS, LATIN_PROBE_CHARS = 24, 3, 9
"""Pieces of a text that are looked for in another one, before all of both is compared."""


def is_plainly_of(text: str, source: str) -> bool:
    """Whether half of some pieces of a text stand in its source as they are."""
    chars = LATIN_PROBE_CHARS if text[:PROBES].isascii() else PROBE_CHARS
    if len(text) < PROBES * chars:
        return False
    step = len(text) // PROBES
    starts = range(0, PROBES * step, step)
    return sum(text[at : at + chars] in source for at in starts) * 2 >= PROBES


def pairs_of(text: str) -> frozenset[Pair]:
    """Which two characters stand beside each other in a text without white space."""
    return frozenset(pairwise(text))


def likeness(pairs: frozenset[Pair], others: frozenset[Pair]) -> float:
    """The share of the pairs of both texts that are in both: 0 to 1."""
    if min(len(pairs), len(others)) < MIN_ALIKE_PAIRS:
        return 1.0 if pairs == others else 0.0
    return 2 * len(pairs & others) / (len(pairs) + len(others))
