"""The work of reading grows with the text, whatever stands in it; no clock is asked."""

import sys

import pytest

from gateway.chunking.parsing.lines import LINE
from gateway.chunking.screenplay import parse

LONG_WORK = {
    "no line end": "林晚",
    "blank lines": "\n",
    "spaces": " ",
    "spaced blank lines": "  \n",
    "returns": "\r",
    "openings": "/*",
    "notes": "[[\n",
    "notes closed late": "[[x\n",
    "brackets": "【",
    "stars": "**",
    "hashes": "#",
    "colons": "：",
    "parentheses": "林（",
    "places": "场景：a\n",
    "places below a scene": "第1场\n场景：a\n时间：日\n",
    "pairs": "1-1\n",
    "items": "1、a\n",
    "contents": "第1集\n",
    "capitals": "A ",
    "cues": "A\nb\n\n",
    "digits": "9",
    "sections": "# a\n",
    "dashes": "※ - ",
}


@pytest.mark.parametrize("unit", LONG_WORK.values(), ids=LONG_WORK)
def test_work_grows_with_the_text(unit):
    """Calls counted, not seconds: eight times the text is eight times the work."""
    little, much = (_calls(unit * count) for count in (1_000, 8_000))
    assert much < 8.5 * little + 500


def _calls(text):
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        script = parse(text)
    finally:
        sys.setprofile(None)
    assert "".join(text[s.start : s.end] for s in script.spans) == text
    return count


def test_no_match_is_longer_than_a_few_thousand_characters():
    for unit in LONG_WORK.values():
        text = unit * 30_000
        longest = max(match.end() - match.start() for match in LINE.finditer(text))
        assert longest <= 64 + 4096 + 200 * 202 + 200
