"""Where a script may be cut: one function for each kind of place, the best kind first.

Each yields the places strictly between two offsets, in order, with the seam that a cut there would
be. All of them look at every character a fixed number of times at most.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

from gateway.chunking.script import Kind, Script, Seam, Section, Span

from .sentences import harmless_cut, sentence_ends

Place = tuple[int, Seam]
Finder = Callable[[Script, int, int], Iterator[Place]]

_HEADINGS = (Kind.EPISODE, Kind.SCENE)
_NOT_LAST = (*_HEADINGS, Kind.CUE)
"""What says who or where is never parted from what is said or done there."""
_MAX_HEADINGS_TOGETHER = 3
"""A season, its first episode, and that one's first scene."""


def between_sections(script: Script, start: int, end: int) -> Iterator[Place]:
    """Before each heading; the first scene of an episode stays with the episode's heading."""
    sections = script.sections
    first = max(1, bisect_right(sections, start, key=_start))
    last = bisect_left(sections, end, key=_start)
    together = 1
    for number in range(first, last):
        section = sections[number]
        if together < _MAX_HEADINGS_TOGETHER and _opens(script.text, sections[number - 1], section):
            together += 1
            continue
        together = 1
        yield section.start, _seam_before(section.kind)


def _start(piece: Section | Span) -> int:
    return piece.start


def _opens(text: str, before: Section, section: Section) -> bool:
    """Whether the section is the first thing of an episode, or of a season."""
    if before.kind is not Kind.EPISODE:
        return False
    is_bare = before.heading_end >= before.end or text[before.heading_end : before.end].isspace()
    return section.kind is Kind.SCENE or is_bare


def _seam_before(kind: Kind) -> Seam:
    return Seam.EPISODE if kind is Kind.EPISODE else Seam.SCENE


def between_blocks(script: Script, start: int, end: int) -> Iterator[Place]:
    """Before a line of action, and behind a blank line."""
    for before, span in _spans(script, start, end):
        if before is not None and before.kind not in _NOT_LAST:
            if span.kind in _HEADINGS:
                yield span.start, _seam_before(span.kind)
            elif span.kind is Kind.ACTION or _ends_blank(script.text, before, start):
                yield span.start, Seam.ACTION
        yield from (
            (at, Seam.ACTION)
            for at, is_after_blank in _line_starts(script.text, span, start, end)
            if is_after_blank
        )


def between_lines(script: Script, start: int, end: int) -> Iterator[Place]:
    """Between two turns of dialogue, or two lines of anything else."""
    for before, span in _spans(script, start, end):
        if before is not None and before.kind not in _NOT_LAST:
            yield span.start, Seam.TURN
        yield from ((at, Seam.TURN) for at, _ in _line_starts(script.text, span, start, end))


def between_sentences(script: Script, start: int, end: int) -> Iterator[Place]:
    """Behind ``。！？……`` and the quotes that close there."""
    return ((at, Seam.SENTENCE) for at in sentence_ends(script.text, start, end))


def between_characters(step_chars: int) -> Finder:
    """Every so many characters, or a little earlier where that spares a word or a character that
    is made of several."""

    def find(script: Script, start: int, end: int) -> Iterator[Place]:
        step = max(1, min(step_chars, (end - start) // 2))
        at = start + step
        while at < end:
            at = harmless_cut(script.text, at - step, at)
            yield at, Seam.CHARACTER
            at += step

    return find


def _spans(script: Script, start: int, end: int) -> Iterator[tuple[Span | None, Span]]:
    """Each span that has something in the stretch, with the one before it if that has, too."""
    first = bisect_right(script.spans, start, key=_start) - 1
    last = bisect_left(script.spans, end, key=_start)
    if first < last:
        yield None, script.spans[first]
    yield from pairwise(islice(script.spans, first, last))


def _line_starts(text: str, span: Span, start: int, end: int) -> Iterator[tuple[int, bool]]:
    """Where lines begin within a span, blank ones left out, and whether a blank one precedes."""
    if span.kind in _NOT_LAST:
        return
    last, is_after_blank = min(span.end, end), False
    at = text.find("\n", max(span.start, start), last) + 1
    while 0 < at < last:
        line_end = text.find("\n", at, last) + 1 or last
        if text[at:line_end].isspace():
            is_after_blank = True
        else:
            yield at, is_after_blank
            is_after_blank = False
        at = line_end


def _ends_blank(text: str, span: Span, start: int) -> bool:
    """Whether a blank line ends the span: a line end, and nothing but space before the next."""
    line_end = text.rfind("\n", max(span.start, start), span.end)
    if line_end < 0:
        return False
    line_start = text.rfind("\n", max(span.start, start), line_end) + 1
    return line_start > 0 and (line_start == line_end or text[line_start:line_end].isspace())
