"""What a test asks of a script that was read."""

from __future__ import annotations

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind, Script


def read_lossless(text: str) -> Script:
    """The script, whose spans and sections join to the text."""
    script = parse(text)
    for stretches in (script.spans, script.sections):
        assert "".join(text[s.start : s.end] for s in stretches) == text
        assert [s.start for s in stretches[1:]] == [s.end for s in stretches[:-1]]
        assert all(s.start < s.end for s in stretches)
    return script


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(span.kind, span.name) for span in parse(text).spans]


def names(text: str) -> list[str]:
    return [section.name for section in parse(text).sections if section.kind is not Kind.FRONT]


def found(script: Script) -> list[tuple[str, str, str]]:
    """Kind, name and line of each heading, to compare with what the writer wrote."""
    return [
        (s.kind.value, s.name, script.text[s.start : s.heading_end].strip())
        for s in script.sections
        if s.kind is not Kind.FRONT
    ]
