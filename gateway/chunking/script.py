"""The words of this room: a script as spans, sections and pieces. Offsets count characters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple


class Kind(StrEnum):
    """What a span is."""

    FRONT = "front matter"
    """Title, characters, instructions: whatever stands before the first heading."""
    EPISODE = "episode"
    SCENE = "scene"
    ACTION = "action"
    CUE = "cue"
    """Who speaks, on a line of its own."""
    DIALOGUE = "dialogue"
    NOTE = "note"
    """Subtitles, flashbacks, transitions, remarks."""


class Span(NamedTuple):
    """A stretch of whole lines, blank lines behind them included."""

    kind: Kind
    start: int
    end: int
    name: str = ""
    """Of a heading: its number, the same in whatever way it is written (``3``, ``3-2``, ``S01``,
    ``1A``; empty if it has none). Of a cue or dialogue: who speaks."""


class Section(NamedTuple):
    """A heading and what follows it, up to the next heading; or what stands before the first."""

    start: int
    heading_end: int
    """Where the heading's span ends; ``start`` if there is none."""
    end: int
    kind: Kind
    """EPISODE, SCENE or FRONT."""
    name: str
    """The heading's."""


class Conventions(NamedTuple):
    """What only a whole script tells. A part of it, or an answer to one, is read by them, too."""

    headings: frozenset[tuple[str, str]] = frozenset()
    """Form and name of headings that might be text, but are headings here."""
    contents: int = 0
    """How many entries the list of episodes has that stands before the first of them."""


PLAIN = Conventions()


@dataclass(frozen=True)
class Script:
    """A text and its spans, which join to it: every character is in exactly one."""

    text: str
    spans: tuple[Span, ...]
    conventions: Conventions = PLAIN

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """They join to the text, too."""
        heads = [span for span in self.spans if span.kind in (Kind.EPISODE, Kind.SCENE)]
        found = []
        first = heads[0].start if heads else len(self.text)
        if first:
            found.append(Section(0, 0, first, Kind.FRONT, ""))
        ends = [span.start for span in heads[1:]] + [len(self.text)]
        for span, end in zip(heads, ends, strict=False):
            found.append(Section(span.start, span.end, end, span.kind, span.name))
        return tuple(found)

    @property
    def is_script(self) -> bool:
        """Whether there is any heading."""
        return any(section.kind is not Kind.FRONT for section in self.sections)


class Seam(StrEnum):
    """Where a piece ends, the best place first."""

    END = "end"
    EPISODE = "episode"
    SCENE = "scene"
    ACTION = "action"
    """Before a line of action, or at a blank line."""
    TURN = "turn"
    """Between two turns of dialogue, or two lines."""
    SENTENCE = "sentence"
    CHARACTER = "character"


class Piece(NamedTuple):
    """A stretch of a script that goes into one part. Pieces join to what was split."""

    start: int
    end: int
    tokens: int
    seam: Seam
    """How it ends."""
