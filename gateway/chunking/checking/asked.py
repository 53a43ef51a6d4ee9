"""What was asked for: a stretch of a script, made ready to be compared with an answer."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from gateway.chunking.script import Kind, Script, Section

from .front import closing_start
from .likeness import Pair, pairs_of
from .squeezing import (
    first_line,
    lines_of,
    newline_of,
    skeleton,
    squeezed,
    squeezed_lines,
    with_newlines,
)

Key = tuple[str, str]
"""What makes a heading the same in a script and in an answer: its kind and name, or its words."""

FOLLOWING = 2
"""Headings behind the stretch that an answer may run on to: an episode's and its first scene's."""


def key_of(kind: Kind, name: str, heading: str) -> Key:
    return (kind.value, name) if name else ("", skeleton(first_line(heading)))


@dataclass(frozen=True)
class Asked:
    """The sections of a stretch. What is costly is worked out once, and only if it is needed."""

    script: Script
    sections: tuple[Section, ...]
    context: str
    is_translation: bool = False
    """Another message than the script's asks for another language."""

    @cached_property
    def source(self) -> str:
        return self.script.text[self.sections[0].start : self.sections[-1].end]

    @cached_property
    def plain(self) -> str:
        """The source with ``\\n`` at the end of its lines."""
        return with_newlines(self.source, "\n")

    @cached_property
    def closing_start(self) -> int:
        """Where the script ends, and wishes about it begin."""
        return closing_start(self.script.text)

    @cached_property
    def newline(self) -> str | None:
        return newline_of(self.source)

    @cached_property
    def bodies(self) -> tuple[str, ...]:
        """The text of each section without its heading."""
        return tuple(self.script.text[s.heading_end : s.end] for s in self.sections)

    @cached_property
    def squeezed_bodies(self) -> tuple[str, ...]:
        return tuple(squeezed(body) for body in self.bodies)

    @cached_property
    def squeezed_source(self) -> str:
        return squeezed(self.source)

    @cached_property
    def pairs(self) -> _PairsByIndex:
        """The pairs of characters of each section."""
        return _PairsByIndex(self.squeezed_bodies)

    @property
    def begins_inside(self) -> bool:
        """Whether the text before the first heading belongs to the stretch."""
        return self.sections[0].heading_end == self.sections[0].start

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """Of each section; a first one without a heading has that of the scene it belongs to."""
        return tuple(
            self._key(self._whole(self.sections[0]) if index == 0 else section)
            for index, section in enumerate(self.sections)
        )

    @cached_property
    def following(self) -> tuple[Key, ...]:
        """Of the sections behind."""
        first = self._section_at(self.sections[-1].end - 1) + 1
        return tuple(self._key(s) for s in self.script.sections[first : first + FOLLOWING])

    @cached_property
    def preceding(self) -> Key | None:
        """Of the section before, or of the one in whose middle the stretch begins."""
        index = self._section_at(self.sections[0].start - 1) if self.sections[0].start else -1
        return self._key(self.script.sections[index]) if index >= 0 else None

    @cached_property
    def headings(self) -> dict[str, Key]:
        """The skeleton of each heading within the stretch and beside it; of a cut one, both."""
        first = self._section_at(self.sections[0].start)
        last = self._section_at(self.sections[-1].end - 1)
        around = self.script.sections[max(first - 1, 0) : last + 1 + FOLLOWING]
        found = {}
        keys = [*map(self._key, around), *self.keys]
        for section, key in zip([*around, *self.sections], keys, strict=True):
            if section.heading_end > section.start:
                line = first_line(self.script.text[section.start : section.heading_end])
                found[skeleton(line)] = key
        found.pop("", None)
        return found

    @cached_property
    def plain_lines(self) -> frozenset[str]:
        """Skeletons of the lines that are no headings."""
        return frozenset(skeleton(line[0]) for body in self.bodies for line in lines_of(body))

    @cached_property
    def own_lines(self) -> frozenset[str]:
        return frozenset(squeezed_lines(self.source))

    @cached_property
    def first_bones(self) -> frozenset[str]:
        """What headings begin with."""
        return frozenset(bones[:1] for bones in self.headings)

    @cached_property
    def context_lines(self) -> frozenset[str]:
        """Lines that were for reading only."""
        return frozenset(squeezed_lines(self.context)) - self.own_lines

    def _key(self, section: Section) -> Key:
        heading = self.script.text[section.start : section.heading_end]
        return key_of(section.kind, section.name, heading)

    def _whole(self, section: Section) -> Section:
        return self.script.sections[self._section_at(section.start)]

    def _section_at(self, at: int) -> int:
        return bisect_right(self.script.sections, at, key=lambda section: section.start) - 1


class _PairsByIndex(dict[int, frozenset[Pair]]):
    """Worked out when they are first asked for."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts

    def __missing__(self, index: int) -> frozenset[Pair]:
        self[index] = pairs_of(self._texts[index])
        return self[index]
