"""What is still open of a part: stretches of sections, and answers that are in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.chunking.script import Script, Section
from gateway.chunking.verify import Checked
from gateway.journey import Journey
from gateway.schema import Target


class Reply(NamedTuple):
    """A model's answer to a stretch."""

    journey: Journey
    target: Target
    text: str
    model: str
    """What the answer says that it is from."""
    before: str | None
    """What it was told of the answer before it."""


class Doubt(NamedTuple):
    """A section's text that may be used if a second one is no better."""

    text: str
    why: str
    reply: Reply


class Stretch(NamedTuple):
    """Sections that are asked for together, or a piece of one."""

    start: int
    end: int
    tokens: int
    depth: int = 0
    """How often it was made smaller."""
    asks: int = 0
    """How often this very stretch was asked for in vain."""
    without: frozenset[str] = frozenset()
    """Names of targets whose answers were of no use."""
    doubts: Mapping[int, Doubt] = {}
    """By where their sections start; all of it is in doubt, or nothing."""


def doubts_of(checked: Checked, sections: Sequence[Section], reply: Reply) -> dict[int, Doubt]:
    """Texts that may be merged and are not beyond doubt, by where their sections start."""
    found = {}
    for fault in checked.faults:
        if fault.section is None or fault.is_mended:
            continue
        text = checked.texts[fault.section]
        if text is not None:
            found[sections[fault.section].start] = Doubt(text, fault.detail, reply)
    return found


def with_bare_headings(checked: Checked, script: Script, sections: Sequence[Section]) -> Checked:
    """A heading without a text is never lost; between two sections that are, it is asked for again
    so that they can be asked for together."""
    texts = list(checked.texts)
    for at in range(1, len(sections) - 1):
        section = sections[at]
        is_bare = not script.text[section.heading_end : section.end].strip()
        if is_bare and texts[at - 1] is None and checked.texts[at + 1] is None:
            texts[at] = None
    return checked._replace(texts=tuple(texts))


def runs(sections: Sequence[Section], doubts: Mapping[int, Doubt]) -> Iterator[list[Section]]:
    """Neighbours together; those that are in doubt apart."""
    run: list[Section] = []
    for section in sections:
        if run and (
            run[-1].end != section.start or (run[-1].start in doubts) != (section.start in doubts)
        ):
            yield run
            run = []
        run.append(section)
    if run:
        yield run
