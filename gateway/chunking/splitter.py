"""Cuts a script into pieces that fit a budget of tokens, at the best seams there are.

Whole scenes are packed together. Only a scene that is larger than the budget by itself is opened:
at its blocks, then its lines, then its sentences, then between characters; what comes of it is
packed together with its neighbours. A text that is no script is one such scene.

Everything blocks for as long as it takes and is made for a worker thread: no step holds the
interpreter's lock for long, and the time grows in line with the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .script import Piece, Script, Seam
from .splitting.packing import Row, even_cut, pack
from .splitting.seams import (
    Finder,
    between_blocks,
    between_characters,
    between_lines,
    between_sections,
    between_sentences,
)
from .splitting.weighing import weigh
from .tokens import Counter

_STEPS_IN_BUDGET = 16
"""Between characters, cuts are possible in steps of so many characters to a budget of tokens."""
_MIN_STEP_CHARS = 16
"""Nothing that is seen as one character is longer, unless it is made to be."""
_CHARS_PER_TOKEN = 4
"""A text with more characters to a token than that is not counted whole to see if it fits."""


def split(
    script: Script, start: int, end: int, budget_tokens: int, counter: Counter
) -> list[Piece]:
    """The stretch from ``start`` to ``end`` (offsets in characters) as pieces that join to it.

    No piece has more than ``budget_tokens``, by an exact count of the piece, unless it is a single
    character. The last piece's seam is END.
    """
    if start >= end:
        return []
    return list(_Splitter(script, budget_tokens, counter).pieces(start, end, Seam.END))


class _Splitter:
    """One budget, one counter, one script."""

    def __init__(self, script: Script, budget: int, counter: Counter) -> None:
        self._script = script
        self._budget = budget
        self._counter = counter
        self._finders: tuple[Finder, ...] = (
            between_sections,
            between_blocks,
            between_lines,
            between_sentences,
            between_characters(_step_chars(budget)),
        )

    def pieces(self, start: int, end: int, seam: Seam) -> Iterator[Piece]:
        """The stretch, cut; ``seam`` is what stands behind it."""
        if end - start <= self._budget * _CHARS_PER_TOKEN:
            tokens = self._counter.count(self._script.text[start:end])
            if tokens <= self._budget or end - start == 1:
                yield Piece(start, end, tokens, seam)
                return
        row = self._row(start, end, seam)
        yield from self._counted(row, start, pack(row, self._budget))

    def _row(self, start: int, end: int, seam: Seam) -> Row:
        """Stretches that seem to fit: the largest that the kinds of seams allow."""
        row = Row([end], [seam], [self._budget + 1])
        for find in self._finders:
            if all(weight <= self._budget for weight in row.weights):
                break
            row = self._opened(row, start, find)
        return row

    def _opened(self, row: Row, start: int, find: Finder) -> Row:
        """The row with each stretch that is too large cut at all places of one kind."""
        ends: list[int] = []
        seams: list[Seam] = []
        weights: list[int] = []
        cut: list[int] = []
        before = start
        for end, seam, weight in zip(row.ends, row.seams, row.weights, strict=True):
            first = len(ends)
            if weight > self._budget:
                for place, kind in find(self._script, before, end):
                    ends.append(place)
                    seams.append(kind)
            ends.append(end)
            seams.append(seam)
            if len(ends) - first > 1:
                cut.extend(range(first, len(ends)))
            weights.extend([weight] * (len(ends) - first))
            before = end
        starts = [ends[number - 1] if number else start for number in cut]
        text, stops = self._script.text, [ends[number] for number in cut]
        found = weigh(text, starts, stops, self._counter, self._budget)
        for number, weight in zip(cut, found, strict=True):
            weights[number] = weight
        return Row(ends, seams, weights)

    def _counted(self, row: Row, start: int, places: Sequence[int]) -> Iterator[Piece]:
        """Pieces as packed; those that turn out too large are cut again."""
        firsts = [0, *places[:-1]]
        bounds = [
            (row.ends[first - 1] if first else start, row.ends[last - 1])
            for first, last in zip(firsts, places, strict=True)
        ]
        counts = self._counter.count_all([self._script.text[a:b] for a, b in bounds])
        for first, last, (a, b), tokens in zip(firsts, places, bounds, counts, strict=True):
            if tokens <= self._budget or b - a == 1:
                yield Piece(a, b, tokens, row.seams[last - 1])
            elif last - first == 1:
                yield from self.pieces(a, b, row.seams[last - 1])
            else:
                yield from self._halves(row, a, first, last)

    def _halves(self, row: Row, start: int, first: int, last: int) -> Iterator[Piece]:
        """What weighs less than it counts: the counter knows best, and sees both halves."""
        part = Row(row.ends[first:last], row.seams[first:last], row.weights[first:last])
        count = last - first
        yield from self._counted(part, start, [even_cut(part, 0, count) or count // 2, count])


def _step_chars(budget: int) -> int:
    """A step has up to four bytes a character, and must not be larger than the budget."""
    return max(budget // _STEPS_IN_BUDGET, min(_MIN_STEP_CHARS, budget // 4))
