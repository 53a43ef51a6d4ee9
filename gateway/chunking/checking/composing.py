"""Puts a section's new text into the old one's place: its heading, its edges, its line ends."""

from __future__ import annotations

import re

from .asked import Asked
from .squeezing import edges, with_newlines

_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)+")


def composed(asked: Asked, index: int, base: str, body: str) -> str:
    """The text of section ``index``. ``base``: the part of its source that ``body`` is about."""
    section = asked.sections[index]
    heading = asked.script.text[section.start : section.heading_end]
    front, core, tail = edges(base)
    newline = asked.newline or "\n"
    blank = _BLANK_LINES.match(body)
    new = with_newlines(body[blank.end() if blank else 0 :].rstrip(), newline)
    if not heading:
        return front + new.strip() + tail
    if not core:
        front, tail = "", edges(heading)[2]
    if edges(heading)[2] == "":
        heading += newline
    lead = front[: len(front) - len(front.rsplit("\n", 1)[-1])] if "\n" in front else ""
    return heading + lead + new + tail
