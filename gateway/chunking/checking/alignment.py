"""Which section of an answer is which of the source.

Sections are matched by their headings in order, what is left over by heading alone (they were
swapped), and the rest by place, if their texts say so (they were renumbered).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind

from .asked import Asked, Key, key_of
from .likeness import ALIKE, MORE_ALIKE, Pair, is_plainly_of, likeness, pairs_of
from .phrases import RULE
from .squeezing import MAX_HEADING_CHARS, first_bone, lines_of, skeleton, squeezed

MAX_NAMESAKE_PAIRS = 100
"""Of sections with the same heading in a part, each compared with each."""


@dataclass(frozen=True)
class Found:
    """A section of an answer."""

    key: Key
    body: str

    @cached_property
    def squeezed(self) -> str:
        return squeezed(self.body)

    @cached_property
    def pairs(self) -> frozenset[Pair]:
        return pairs_of(self.squeezed)


class Division(NamedTuple):
    head: str
    """What stands before the first heading."""
    found: list[Found]


@dataclass
class Alignment:
    """``of[i]``: which of the answer's sections is the source's section i; None: it is missing."""

    of: list[int | None]
    renumbered: set[int] = field(default_factory=set)
    """Sections that are under another heading."""

    @property
    def swapped(self) -> Iterator[int]:
        """Sections that came behind one that they should be in front of."""
        latest = -1
        for index, at in enumerate(self.of):
            if at is not None and at < latest:
                yield index
            latest = max(latest, -1 if at is None else at)


def divide(answer: str, asked: Asked, is_cut: bool) -> Division:
    """The answer at its headings: those that a parser finds, and those of the source.

    A line that the source has as an ordinary one is no heading here either. Lines across the page
    between sections are no text, unless the source has such lines. The last line of an answer that
    ``is_cut`` may be half of anything, and is no heading.
    """
    heads = list(_heads(answer, asked, is_cut))
    if not heads:
        return Division(_without_rules(answer, asked), [])
    ends = [start for start, _, _ in heads[1:]] + [len(answer)]
    found = [
        Found(key, _without_rules(answer[body:end], asked))
        for (_, body, key), end in zip(heads, ends, strict=True)
    ]
    return Division(_without_rules(answer[: heads[0][0]], asked), found)


def _without_rules(text: str, asked: Asked) -> str:
    """Without a line across the page at either end that is not the source's."""
    first, _, rest = text.lstrip("\n").partition("\n")
    if RULE.match(first) and squeezed(first) not in asked.own_lines:
        text = rest
    rest, _, last = text.rstrip().rpartition("\n")
    if RULE.match(last) and squeezed(last) not in asked.own_lines:
        text = rest
    return text


def _heads(answer: str, asked: Asked, is_cut: bool) -> Iterator[tuple[int, int, Key]]:
    """Where each heading starts, where the text behind it does, and what it is."""
    spans = {
        span.start: span
        for span in parse(answer, asked.script.conventions).spans
        if span.kind in (Kind.EPISODE, Kind.SCENE)
    }
    for line in lines_of(answer):
        if is_cut and line.end() == len(answer):
            break
        span = spans.get(line.start())
        if span is None and not _may_be_heading(line[0], asked):
            continue
        bones = skeleton(line[0])
        key = asked.headings.get(bones)
        if span is None and (key is None or bones in asked.plain_lines):
            continue
        if key is None and bones in asked.plain_lines:
            continue
        if key is None and span is not None:
            key = key_of(span.kind, span.name, line[0])
        assert key is not None
        yield line.start(), line.end() if span is None else span.end, key


def _may_be_heading(line: str, asked: Asked) -> bool:
    return len(line) <= MAX_HEADING_CHARS and first_bone(line) in asked.first_bones


def align(asked: Asked, found: Sequence[Found], first: int) -> Alignment:
    """``first``: 1 if the source's first section is not looked for among those with a heading."""
    wanted = asked.keys[first:]
    aligned = Alignment([None] * len(asked.sections))
    for index, at in _in_order(wanted, [section.key for section in found]):
        aligned.of[first + index] = at
    _by_key(aligned, asked, found, first)
    _by_likeness(aligned, asked, found, first)
    _by_place(aligned, asked, found, first)
    _below_bare_headings(aligned, asked, found, first)
    return aligned


def _in_order(wanted: Sequence[Key], got: Sequence[Key]) -> Iterator[tuple[int, int]]:
    """Pairs that are the same and in the same order; on either side the nearer one is gone to."""
    where_wanted, where_got = _positions(wanted), _positions(got)
    i = j = 0
    while i < len(wanted) and j < len(got):
        if wanted[i] == got[j]:
            yield i, j
            i, j = i + 1, j + 1
            continue
        k = _next(where_wanted.get(got[j]), i)
        m = _next(where_got.get(wanted[i]), j)
        if k is None and m is None:
            i, j = i + 1, j + 1
        elif m is None or (k is not None and k - i <= m - j):
            i = k if k is not None else i
        else:
            j = m


def _positions(keys: Sequence[Key]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return found


def _next(positions: list[int] | None, after: int) -> int | None:
    if not positions:
        return None
    at = bisect_right(positions, after)
    return positions[at] if at < len(positions) else None


def _by_place(aligned: Alignment, asked: Asked, found: Sequence[Found], first: int) -> None:
    """As many sections as there should be, under other headings: by place, if that is likelier."""
    places = [i for i in range(first, len(aligned.of)) if aligned.of[i] != i - first]
    if not places or len(found) != len(asked.sections) - first:
        return
    here = there = 0.0
    for index in places:
        pairs = asked.pairs[index]
        alike = likeness(pairs, found[index - first].pairs)
        if alike < ALIKE:
            return
        here += alike
        at = aligned.of[index]
        there += 0.0 if at is None else likeness(pairs, found[at].pairs)
    if here < MORE_ALIKE * there:
        return
    for index in places:
        aligned.of[index] = index - first
        aligned.renumbered.add(index)


def _by_key(aligned: Alignment, asked: Asked, found: Sequence[Found], first: int) -> None:
    """Sections that are left over on both sides and have one heading, that nothing else has."""
    taken = set(aligned.of)
    counts = _positions(asked.keys[first:])
    left = _positions([section.key for section in found])
    for index in range(first, len(aligned.of)):
        key = asked.keys[index]
        if aligned.of[index] is not None or len(counts[key]) > 1:
            continue
        places = [at for at in left.get(key, ()) if at not in taken]
        if len(places) == 1:
            aligned.of[index] = places[0]


def _below_bare_headings(
    aligned: Alignment, asked: Asked, found: Sequence[Found], first: int
) -> None:
    """An episode's heading, and below it the text of its first scene, whose own heading is gone."""
    for index in range(first, len(aligned.of) - 1):
        at = aligned.of[index]
        if at is None or asked.squeezed_bodies[index] or aligned.of[index + 1] is not None:
            continue
        if likeness(asked.pairs[index + 1], found[at].pairs) >= ALIKE:
            aligned.of[index], aligned.of[index + 1] = None, at
            aligned.renumbered.add(index + 1)


def _by_likeness(aligned: Alignment, asked: Asked, found: Sequence[Found], first: int) -> None:
    """Sections with one heading (``场景1`` of each episode) are told apart by their texts, if it is
    not plain from their order."""
    places = _positions([section.key for section in found])
    for key, wanted in _positions(asked.keys[first:]).items():
        got = places.get(key, [])
        indices = [first + i for i in wanted]
        if len(indices) < 2 or not got or len(indices) * len(got) > MAX_NAMESAKE_PAIRS:
            continue
        if [aligned.of[index] for index in indices] == got and all(
            found[at].squeezed == asked.squeezed_bodies[index]
            or is_plainly_of(found[at].squeezed, asked.squeezed_bodies[index])
            for index, at in zip(indices, got, strict=True)
        ):
            continue
        texts = [found[at].pairs for at in got]
        alike = [[likeness(asked.pairs[index], text) for text in texts] for index in indices]
        _tell_apart(aligned, indices, got, alike)


def _tell_apart(
    aligned: Alignment, indices: Sequence[int], got: Sequence[int], alike: Sequence[Sequence[float]]
) -> None:
    """Gives each of the source's namesakes the text that is most like it; order settles a tie."""
    chosen: dict[int, int] = {}
    rows, columns = range(len(indices)), range(len(got))
    in_order = {i: aligned.of[index] for i, index in enumerate(indices)}
    ranked = sorted(
        ((i, j) for i in rows for j in columns if alike[i][j] >= ALIKE),
        key=lambda pair: (-alike[pair[0]][pair[1]], in_order[pair[0]] != got[pair[1]], pair),
    )
    for i, j in ranked:
        if i not in chosen and j not in chosen.values():
            chosen[i] = j
    for i in rows:
        at = in_order[i]
        if i not in chosen and at is not None and got.index(at) not in chosen.values():
            chosen[i] = got.index(at)
    for i in rows:
        aligned.of[indices[i]] = got[chosen[i]] if i in chosen else None
