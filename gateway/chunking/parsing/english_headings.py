"""Headings that are words: EPISODE 3, SCENE 12: THE LIFT, ACT TWO."""

from __future__ import annotations

import re

from gateway.chunking.script import Kind

from .forms import Form, Heading
from .lines import BLANKS
from .numerals import ENGLISH_NUMERAL, number_of

_MAX_TITLE_CHARS = 80
_ENGLISH = re.compile(
    r"(EPISODE|EP\.?|SCENE|SC\.?|ACT)[ \t]*(?:NO\.?|#|:)?[ \t]*"
    rf"(?:([0-9]{{1,4}})([A-Z]?)|({ENGLISH_NUMERAL}))(?![A-Za-z0-9])(.*)",
    re.DOTALL | re.IGNORECASE,
)


def read_english(core: str, is_marked: bool) -> Heading | None:
    """What a line is, its mark-up taken off."""
    match = _ENGLISH.match(core)
    if match is None or not core[0].isupper() or not _is_english_title(match[5]):
        return None
    number = number_of(match[2] or match[4])
    kind = Kind.SCENE if match[1].upper().startswith("SC") else Kind.EPISODE
    form = Form.COUNTED if kind is Kind.SCENE else Form.EPISODE
    return Heading(kind, f"{number}{(match[3] or '').upper()}", form, True, (number,))


def _is_english_title(rest: str) -> bool:
    title = rest.strip(BLANKS)
    if not title:
        return True
    if len(title) > _MAX_TITLE_CHARS or re.search(r"[.!?。！？；;，][\"”]?$", title):
        return False
    if title[0] in ":：.-–—|(（《「":
        return True
    return rest[0] in BLANKS and title.upper() == title and not re.search("[，。]", title)
