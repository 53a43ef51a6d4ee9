"""Reads a script as spans that join to it. Chinese short drama and Fountain, also mixed.

One regular expression takes a line at a time, by how it begins; only lines that may be headings,
cues in capitals or notes are looked at twice. Time and memory grow with the number of lines, and no
single call holds the interpreter for longer than a few thousand characters take.
"""

from __future__ import annotations

from collections import deque

from .parsing import fountain
from .parsing.forms import Form, Heading
from .parsing.headings import MAX_HEADING_CHARS, read_heading
from .parsing.lines import BLANKS, LINE, NAME_AT, Beginning, is_field, read_speech, speech
from .parsing.sequences import Found, decide
from .script import Conventions, Kind, Script, Span

_LOOK_BACK_CHARS = 256
_BOXES = ("【", "[", "［", "〖", "〔")
_NOTE_SIGNS = ("=", ">", "#", "※", "/*", "[[", "---", "***", "___", "——", "───", "━━")
_SAID, _PLAIN, _ACTION, _NOTE = (
    int(b) for b in (Beginning.SAID, Beginning.PLAIN, Beginning.ACTION, Beginning.NOTE)
)
_GOING_ON = (int(Beginning.MORE), int(Beginning.BLANK))


def parse(text: str, like: Conventions | None = None) -> Script:
    """The script that ``text`` is. Never fails; what is no script has no heading.

    ``like``: the conventions of the script of which ``text`` is a part, or an answer to a part.
    """
    reader = _Reader(text)
    reader.read()
    spans = reader.spans
    found, conventions = decide(reader.found, reader.is_field, like)
    for index, heading in found:
        span = spans[index]
        spans[index] = Span(heading.kind, span.start, span.end, heading.name)
    if found or conventions.contents:
        for index in range(found[0].span if found else len(spans)):
            spans[index] = spans[index]._replace(kind=Kind.FRONT, name="")
    return Script(text, tuple(spans), conventions)


class _Reader:
    """Goes through the lines once; what may be a heading is kept for the whole to decide."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.spans: list[Span] = []
        self.found: list[Found] = []
        self._speaker = ""
        self._boneyards = fountain.boneyards(text)
        self._never = (len(text) + 1, len(text) + 1)
        self._hidden_later: deque[tuple[int, int]] = deque()
        self._hidden_start, self._hidden_end = next(self._boneyards, self._never)

    def is_field(self, index: int) -> bool:
        """Whether a span is a line such as ``时间：日``."""
        return is_field(self._text, self.spans[index].start, self.spans[index].end)

    def read(self) -> None:
        add, new = self.spans.append, tuple.__new__  # half the time of Span(...)
        heard: dict[str, tuple[Kind, str]] = {}
        for match in LINE.finditer(self._text, self._front()):
            start, end = match.span()
            what = match.lastindex
            if start >= self._hidden_start and self._hides(start):
                add(Span(Kind.NOTE, start, end))
            elif what == _SAID and not self._speaker:
                name = match[NAME_AT]
                kind, name = heard.get(name) or heard.setdefault(name, speech(name))
                add(new(Span, (kind, start, end, name)))
            elif what == _ACTION:
                add(new(Span, (Kind.ACTION, start, end, "")))
                self._speaker = ""
            elif what == _PLAIN and not self._speaker:
                add(new(Span, (Kind.ACTION, start, end, "")))
            elif what == _NOTE:
                add(Span(Kind.NOTE, start, end))
                self._speaker = ""
            else:
                self._read_slowly(what, start, end)

    def _read_slowly(self, what: int | None, start: int, end: int) -> None:
        if what in _GOING_ON:
            self._lengthen(start, end)
        elif what == _PLAIN:
            self._below_cue(start, end)
        else:
            self._examine(start, end)

    def _front(self) -> int:
        end = fountain.title_page_end(self._text)
        if end:
            self.spans.append(Span(Kind.FRONT, 0, end))
        return end

    def _hides(self, start: int) -> bool:
        """Whether a line begins within a boneyard or a note."""
        while start >= self._hidden_end:
            later = self._hidden_later
            following = later.popleft() if later else next(self._boneyards, self._never)
            self._hidden_start, self._hidden_end = following
        return start >= self._hidden_start

    def _lengthen(self, start: int, end: int) -> None:
        if self.spans:
            last = self.spans[-1]
            self.spans[-1] = Span(last.kind, last.start, end, last.name)
        elif end > start:
            self.spans.append(Span(Kind.ACTION, start, end))

    def _below_cue(self, start: int, end: int) -> None:
        """A line below a cue: what is said, up to a blank line."""
        if self._is_apart(start):
            self._speaker = ""
        kind = Kind.DIALOGUE if self._speaker else Kind.ACTION
        self.spans.append(Span(kind, start, end, self._speaker))

    def _examine(self, start: int, end: int) -> None:
        """A line that needs a second look."""
        cut = self._text[start : min(end, start + MAX_HEADING_CHARS + 2)]
        line = cut.split("\n", 1)[0].split("\r", 1)[0]
        is_short = len(line) <= MAX_HEADING_CHARS
        line = line.strip(BLANKS)
        heading = read_heading(line) if is_short else None
        is_apart = False
        if heading is None or not heading.is_certain:
            is_apart = self._is_apart(start)
            if heading is None and is_short:
                heading = _fountain_heading(line, is_apart)
        if heading is not None:
            self.found.append(Found(len(self.spans), heading))
            if heading.is_certain:
                self._speaker = ""
                self.spans.append(Span(heading.kind, start, end, heading.name))
                return
        if is_apart:
            self._speaker = ""
        kind, name = self._ordinary(line, start, end, is_apart)
        self.spans.append(Span(kind, start, end, name))

    def _ordinary(self, core: str, start: int, end: int, is_apart: bool) -> tuple[Kind, str]:
        """What a line is if it is no heading, and who speaks."""
        name = _cue_name(core) if is_apart else ""
        if name and end < len(self._text) and _line_ends(self._text[start:end]) == 1:
            self._speaker = name
            return Kind.CUE, name
        if core.startswith("[["):
            self._hide_note(start, end)
        if core.startswith(_NOTE_SIGNS) or fountain.is_transition(core):
            return Kind.NOTE, ""
        is_other = core.startswith("!") or self._speaker.isupper()
        said = None if is_other else read_speech(self._text, start, end)
        if said is not None:
            self._speaker = said[1] if said[0] is Kind.CUE else ""
            return said
        if core.startswith(_BOXES):
            return Kind.NOTE, ""
        if self._speaker or core.startswith("~"):
            return Kind.DIALOGUE, self._speaker
        return Kind.ACTION, ""

    def _hide_note(self, start: int, end: int) -> None:
        """A note of several lines hides what stands in it."""
        note_end = fountain.note_end(self._text, start)
        if note_end > end:
            self._hidden_later.appendleft((self._hidden_start, self._hidden_end))
            self._hidden_start, self._hidden_end = start, note_end

    def _is_apart(self, start: int) -> bool:
        """Whether a blank line or a heading stands before a line, or nothing."""
        if self.found and self.found[-1].span == len(self.spans) - 1:
            return True
        if self._text[start - 2 : start] == "\n\n":
            return True
        before = self._text[max(0, start - _LOOK_BACK_CHARS) : start]
        ends = before[len(before.rstrip(BLANKS + "\r\n")) :]
        if len(ends) == len(before):
            return True
        return _line_ends(ends) > 1


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _fountain_heading(line: str, is_apart: bool) -> Heading | None:
    first = line[:1]
    if first == "#":
        heading = fountain.read_slugline(line)
        is_act = heading is None and not line.startswith("##")
        return Heading(Kind.EPISODE, "", Form.SECTION, False) if is_act else heading
    if not is_apart or first in "!@~>/":
        return None
    return fountain.read_forced(line) if first == "." else fountain.read_slugline(line)


def _cue_name(core: str) -> str:
    if core.startswith("@"):
        return core[1:].partition("(")[0].partition("（")[0].strip(" \t\u3000^")
    return fountain.read_cue(core) or ""
