"""Long texts and nasty ones take time in line with their length, and few calls of the counter."""

from __future__ import annotations

import gc
import time

import pytest

from gateway.chunking.script import Kind, Script, Span
from gateway.chunking.splitter import split
from gateway.chunking.splitting.weighing import SLICE_CHARS

from .counting import PlainCounter

LINE = "雨夜，林溪走进病房。"


def text_alone(text: str) -> Script:
    return Script(text, (Span(Kind.FRONT, 0, len(text)),))


def headings_alone(kind: Kind, line: str, count: int) -> Script:
    size = len(line)
    spans = tuple(Span(kind, at * size, (at + 1) * size) for at in range(count))
    return Script(line * count, spans)


def actions_alone(count: int) -> Script:
    spans = tuple(Span(Kind.ACTION, at * 2, at * 2 + 2) for at in range(count))
    return Script("△\n" * count, spans)


NASTY = {
    "a line without a space": lambda n: text_alone("雨" * n),
    "a line of sentences": lambda n: text_alone(LINE * (n // len(LINE))),
    "lines": lambda n: text_alone((LINE + "\n") * (n // len(LINE))),
    "blank lines": lambda n: text_alone("\n" * n),
    "spaces": lambda n: text_alone(" " * n),
    "dots": lambda n: text_alone("." * n),
    "ellipses": lambda n: text_alone("…" * n),
    "opening quotes": lambda n: text_alone("“" * n),
    "one letter and its marks": lambda n: text_alone("e" + "\u0301" * n),
    "scenes without a body": lambda n: headings_alone(Kind.SCENE, "1-1\n", n // 4),
    "episodes without a body": lambda n: headings_alone(Kind.EPISODE, "第1集\n", n // 4),
    "lines of action without a word": lambda n: actions_alone(n // 2),
}


@pytest.mark.parametrize("name", NASTY)
def test_four_times_the_text_is_about_four_times_the_work(name: str) -> None:
    taken_s, calls = [], []
    for chars in (25_000, 100_000):
        source, counter = NASTY[name](chars), PlainCounter()
        gc.disable()  # what the tests before have left would be searched meanwhile
        began_s = time.process_time()
        pieces = split(source, 0, len(source.text), 800, counter)
        taken_s.append(time.process_time() - began_s)
        gc.enable()
        calls.append(counter.calls)
        assert all(piece.tokens <= 800 for piece in pieces)
        assert counter.chars < 4 * len(source.text) + 20_000
        assert counter.longest_chars <= SLICE_CHARS
    assert calls[1] < 5 * calls[0] + 20
    assert taken_s[1] < 12 * taken_s[0] + 0.05  # quadratic would be 16 times


def test_a_line_of_100_000_characters_without_a_space_is_cut_within_the_budget() -> None:
    source = text_alone("雨" * 100_000)
    pieces = split(source, 0, 100_000, 800, PlainCounter())
    assert len(pieces) == 125
    assert max(piece.tokens for piece in pieces) <= 800
