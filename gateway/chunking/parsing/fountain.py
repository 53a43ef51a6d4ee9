"""The elements of Fountain that are not Chinese conventions as well.

After https://fountain.io/syntax (read 2026-11-23): scene headings and their numbers, cues in
capitals, the title page, and what is hidden (boneyard).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.chunking.script import Kind

from .forms import MARKS, Form, Heading, unwrap
from .scene_settings import End, end_of

_PREFIX = re.compile(
    r"(INT\.?/EXT|EXT\.?/INT|INT|EXT|EST|I/E|E/I)(?:[. /]|(?=[\u3400-\u9fff]))[. ]*(?=\S)", re.I
)
_SCENE_NUMBER = re.compile(r"#([^\s#]{1,12})#\s*$")
_MAX_SLUGLINE_CHARS = 200


def read_slugline(line: str) -> Heading | None:
    """``INT. LIFT - NIGHT #12A#``. The caller knows that a blank line stands before it."""
    if len(line) > _MAX_SLUGLINE_CHARS:
        return None
    if line[:1] not in MARKS and _PREFIX.match(line) is None:
        return None
    core = unwrap(_SCENE_NUMBER.sub("", line)).core
    match = _PREFIX.match(core)
    if match is None:
        return None
    rest = core[match.end() :]
    is_plain = core.upper() == core or (match[1].isupper() and not rest.endswith((".", "。")))
    if not is_plain and not _has_time(rest):
        return None
    return _heading(line, Form.SLUGLINE)


def _has_time(rest: str) -> bool:
    """``House - day``: in small letters only a time of day tells it from a sentence."""
    _, dash, last = rest.upper().rpartition("- ")
    return bool(dash) and end_of(f" {last}", times_only=True) is End.SETTING


def read_forced(line: str) -> Heading | None:
    """``.AT THE LIFT``; not ``...``."""
    core = line.strip()
    if len(core) < 2 or not core[1].isalnum() or len(core) > _MAX_SLUGLINE_CHARS:
        return None
    return _heading(core, Form.FORCED)


def _heading(line: str, form: Form) -> Heading:
    number = _SCENE_NUMBER.search(line)
    return Heading(Kind.SCENE, number[1].upper() if number else "", form)


_CUE = re.compile(r"[^a-z\r\n]*[A-Z][^a-z\r\n]*?(?=\s*(?:\([^()\r\n]*\)\s*)*\^?\s*$)")
_TRANSITION = re.compile(r"[^a-z]*\bTO:|FADE (?:IN|OUT)[.:]|FADE TO BLACK[.:]?|THE END\.?")
_MAX_CUE_CHARS = 60


def read_cue(line: str) -> str | None:
    """Who speaks, of a line in capitals; the caller knows what stands around it."""
    core = line.strip()
    if len(core) > _MAX_CUE_CHARS or core.endswith((".", "!", "?", ":")):
        return None
    match = _CUE.match(core)
    if match is None:
        return None
    return match[0].partition("(")[0].strip()


def is_transition(line: str) -> bool:
    """``CUT TO:``"""
    return len(line) <= _MAX_CUE_CHARS and _TRANSITION.fullmatch(line.strip()) is not None


_KEY = (
    r"(?:Title|Credit|Authors?|Source|Notes|Draft date|Date|Contact|Copyright|Revision"
    "|剧名|片名|书名|编剧|作者|导演|监制|出品|类型|题材|主题|集数|时长|字数|平台|版本|日期)"
)
_TITLE_PAGE = re.compile(
    rf"[\ufeff\s]{{0,64}}{_KEY}[ \t]*[:：][^\r\n]{{0,400}}(?:\r\n?|\n)"
    rf"(?:(?:{_KEY}[ \t]*[:：]|[ \t\u3000]{{3,}})[^\r\n]{{0,400}}(?:\r\n?|\n)){{0,100}}"
    r"(?:[ \t\u3000]{0,64}(?:\r\n?|\n)){0,100}",
    re.IGNORECASE,
)
"""Known keys, and indented lines that go on with them: nothing that could be a heading."""
_BLANK_LINE = re.compile(r"(?:\r\n?|\n)[ \t\u3000]*(?:\r\n?|\n)")


def title_page_end(text: str) -> int:
    """Where the title page ends; 0 if there is none."""
    match = _TITLE_PAGE.match(text)
    return match.end() if match else 0


_WINDOW_CHARS = 1 << 20
"""How far one search goes: a millisecond."""


def boneyards(text: str) -> Iterator[tuple[int, int]]:
    """What stands between ``/*`` and ``*/``, in order. One that is not closed is none."""
    end = 0
    while True:
        start = _find(text, "/*", end)
        end = _find(text, "*/", start + 2) + 2 if start >= 0 else -1
        if end < 2:
            return
        yield start, end


def _find(text: str, sign: str, start: int) -> int:
    while start < len(text):
        found = text.find(sign, start, start + _WINDOW_CHARS)
        if found >= 0:
            return found
        start += _WINDOW_CHARS - len(sign) + 1
    return -1


_NOTE_CHARS = 4096


def note_end(text: str, start: int) -> int:
    """Where the note at ``start`` ends; ``start`` if no ``]]`` comes before a blank line."""
    end = text.find("]]", start, start + _NOTE_CHARS)
    if end < 0 or _BLANK_LINE.search(text, start, end):
        return start
    return end + 2
