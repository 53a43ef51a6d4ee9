"""Texts made comparable: without white space, lines without their decoration."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_INVISIBLE = ("\ufeff", "\u200b", "\u200c", "\u200e", "\u200f", "\u2060")
"""Marks without a width. The joiner U+200D is not among them: it makes one emoji out of several."""
_DECORATION = ("*", "#", "_", ">", "`")
_BEFORE_BONES = "".join([*_DECORATION, *_INVISIBLE, " \t\v\f\x85\xa0\u2002\u2003\u3000"])
_LINE = re.compile(r"[^\r\n]+")
_EDGE = re.compile(r"[\s\ufeff]*")
_NEWLINE = re.compile(r"\r\n|\r|\n")
MAX_HEADING_CHARS = 300


def squeezed(text: str) -> str:
    """Without white space and invisible marks."""
    text = "".join(text.split())
    for mark in _INVISIBLE:
        text = text.replace(mark, "")
    return text


def squeezed_lines(text: str) -> list[str]:
    """The lines of a text, each without white space; lines that have nothing else are left out."""
    for mark in _INVISIBLE:
        text = text.replace(mark, "")
    lines = _NEWLINE.sub("\n", text) if "\r" in text else text
    return [bare for line in lines.split("\n") if (bare := "".join(line.split()))]


def skeleton(line: str) -> str:
    """A heading as it is recognised: full-width or half-width, in bold, with ``#`` in front."""
    line = squeezed(unicodedata.normalize("NFKC", line)).casefold()
    for mark in _DECORATION:
        line = line.replace(mark, "")
    return line


def first_bone(line: str) -> str:
    """The first character of its skeleton; the cheap half of a comparison."""
    bare = line.lstrip(_BEFORE_BONES)[:1]
    return unicodedata.normalize("NFKC", bare).casefold()[:1] if bare else ""


def lines_of(text: str) -> Iterator[re.Match[str]]:
    """Lines that are not empty, without their ends."""
    return _LINE.finditer(text)


def first_line(text: str) -> str:
    """The first line that is not blank."""
    return next((match[0] for match in _LINE.finditer(text) if match[0].strip()), "")


def edges(text: str) -> tuple[str, str, str]:
    """White space in front (and a byte order mark), the text, white space behind."""
    begun = _EDGE.match(text)
    front = begun[0] if begun else ""
    core = text[len(front) :].rstrip()
    return front, core, text[len(front) + len(core) :]


def newline_of(text: str) -> str | None:
    """How most lines of a text end; None if there is one only."""
    windows = text.count("\r\n")
    unix = text.count("\n") - windows
    old = text.count("\r") - windows
    most, newline = max((windows, "\r\n"), (unix, "\n"), (old, "\r"), key=lambda pair: pair[0])
    return newline if most else None


def with_newlines(text: str, newline: str | None) -> str:
    """Every line end as ``newline``, if that is known."""
    if newline is None or (newline == "\n" and "\r" not in text):
        return text
    return _NEWLINE.sub(newline, text)
