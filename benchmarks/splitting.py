"""Cutting scripts: what survives the cut, how fast it goes, and what other ways of cutting do.

Scripts are those of the tests' writer, which knows every heading that it wrote.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from semantic_text_splitter import TextSplitter

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind, Piece, Script
from gateway.chunking.splitter import split
from gateway.chunking.tokens import Counter, counter_for
from gateway.lifetime import calm_garbage_collector
from gateway.schema import Target
from tests.chunking.scripts import STYLES, write_with_headings

SCRIPT_BYTES = 500_000
LONG_BYTES = 10_000_000
EPISODES = 60
BUDGETS = (800, 4000)
RACE_BUDGET = 800
ROUNDS = 5
WORDS_PER_TOKEN = 0.75
"""What users of the naive way reckon with."""
OVERLAP = 0.1
GPT = Target("benchmark", "gpt-4.1", "gpt-4.1")

Figures = dict[str, Any]
Bounds = Sequence[tuple[int, int]]


class Source(NamedTuple):
    """A script, and where its headings begin, by the word of who wrote it."""

    text: str
    headings: tuple[int, ...]
    scenes: tuple[tuple[int, int], ...]
    names: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        return len(self.text.encode())


class Characters:
    """A counter that costs nothing, so that the splitter itself shows."""

    name = "characters"

    def count(self, text: str) -> int:
        return len(text)

    def count_all(self, texts: Sequence[str]) -> list[int]:
        return list(map(len, texts))


def measure() -> Figures:
    """Everything, in about a minute."""
    counter = counter_for(GPT)
    source = write("mixed", SCRIPT_BYTES)
    cold_s = _timed(lambda: _daobo(source.text, RACE_BUDGET, counter))
    return {
        "styles": [_quality(style, counter) for style in STYLES],
        "cold_s": cold_s,
        "race_bytes": source.size_bytes,
        "race_budget": RACE_BUDGET,
        "race": _race(source, counter),
        "long": _long(counter),
    }


def write(style: str, size_bytes: int) -> Source:
    """A script of about so many bytes in ``EPISODES`` episodes."""
    text, headings = write_with_headings(style, episodes=EPISODES, scenes=1, scene_chars=300)
    scenes = max(1, size_bytes // len(text.encode()))
    text, headings = write_with_headings(style, episodes=EPISODES, scenes=scenes, scene_chars=300)
    starts, at = [], 0
    for heading in headings:
        at = _line_at(text, heading.line, at)
        starts.append(at)
        at += len(heading.line)
    bounds = pairwise([*starts, len(text)])
    kinds = [heading.kind for heading in headings]
    scenes_at = [b for b, kind in zip(bounds, kinds, strict=True) if kind == Kind.SCENE]
    names = tuple(heading.name for heading in headings)
    return Source(text, tuple(starts), tuple(scenes_at), names)


def _line_at(text: str, line: str, start: int) -> int:
    """Where the next line begins that is this one."""
    at = text.index(line, start)
    while (at and text[at - 1] != "\n") or text[at + len(line) : at + len(line) + 1] != "\n":
        at = text.index(line, at + 1)
    return at


# What survives


def _quality(style: str, counter: Counter) -> Figures:
    source = write(style, SCRIPT_BYTES)
    script = parse(source.text)
    found = [
        _survival(source, script, split(script, 0, len(source.text), budget, counter))
        for budget in BUDGETS
    ]
    worst = {name: min(each[name] for each in found) for name in found[0]}
    return {"style": style, "bytes": source.size_bytes, "scenes": len(source.scenes), **worst}


def _survival(source: Source, script: Script, pieces: Sequence[Piece]) -> dict[str, float]:
    """Shares of 1. ``recall``: scenes that are whole in one piece; ``precision``: pieces that
    begin at a heading; ``order``: headings that are where they belong when the pieces are read one
    after the other; ``join``: 1 if the pieces are the script, byte for byte."""
    bounds = [(piece.start, piece.end) for piece in pieces]
    begins = [start for start, _ in bounds[1:]]
    real = set(source.headings)
    joined = "".join(source.text[start:end] for start, end in bounds)
    read = [
        section.name
        for start, end in bounds
        for section in script.sections
        if start <= section.start < end and section.kind is not Kind.FRONT
    ]
    right = sum(a == b for a, b in zip(read, source.names, strict=False))
    return {
        "recall": 1 - _cut_scenes(source, bounds) / len(source.scenes),
        "precision": sum(start in real for start in begins) / len(begins) if begins else 1.0,
        "order": right / max(len(read), len(source.names)),
        "join": float(joined.encode() == source.text.encode()),
    }


def _cut_scenes(source: Source, bounds: Bounds) -> int:
    """Scenes that no piece has as a whole. What is blank at a scene's end may be missing."""
    ends = [start + len(source.text[start:end].rstrip()) for start, end in source.scenes]
    scenes = list(zip((start for start, _ in source.scenes), ends, strict=True))
    whole, at = 0, 0
    for start, end in scenes:
        while at < len(bounds) - 1 and bounds[at][1] < end:
            at += 1
        whole += bounds[at][0] <= start and end <= bounds[at][1]
    return len(scenes) - whole


# How fast, beside others


def _race(source: Source, counter: Counter) -> list[Figures]:
    """Each way of cutting on the same text, by turns."""
    text, budget = source.text, RACE_BUDGET
    ways: dict[str, Callable[[], list[str]]] = {
        "Daobo, tokens": lambda: _daobo(text, budget, counter),
        "Daobo, characters": lambda: _daobo(text, budget, Characters()),
        "semantic-text-splitter, tokens": lambda: _semantic(text, budget, counter.count),
        "semantic-text-splitter, characters": lambda: _semantic(text, budget, None),
        "words": lambda: _words(text, budget),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(_timed(way))
    return [
        {
            "way": name,
            "mb_per_s": source.size_bytes / 1e6 / statistics.median(times[name]),
            **_damage(source, way(), counter if "characters" not in name else Characters()),
        }
        for name, way in ways.items()
    ]


def _daobo(text: str, budget: int, counter: Counter) -> list[str]:
    script = parse(text)
    pieces = split(script, 0, len(text), budget, counter)
    return [text[piece.start : piece.end] for piece in pieces]


def _semantic(text: str, budget: int, count: Callable[[str], int] | None) -> list[str]:
    if count is None:
        return TextSplitter(budget, trim=False).chunks(text)
    return TextSplitter.from_callback(count, budget, trim=False).chunks(text)


def _words(text: str, budget: int) -> list[str]:
    words = text.split()
    size = int(budget * WORDS_PER_TOKEN)
    step = int(size * (1 - OVERLAP))
    return [" ".join(words[at : at + size]) for at in range(0, max(1, len(words)), step)]


def _damage(source: Source, chunks: list[str], counter: Counter) -> Figures:
    """What came of the script. Chunks of words are looked for by what is not blank in them."""
    joined = "".join(chunks)
    is_whole = joined == source.text
    if is_whole:
        ends = [0]
        for chunk in chunks:
            ends.append(ends[-1] + len(chunk))
        cut = _cut_scenes(source, list(pairwise(ends)))
    else:
        solid = ["".join(chunk.split()) for chunk in chunks]
        scenes = ["".join(source.text[start:end].split()) for start, end in source.scenes]
        cut = sum(not any(scene in chunk for chunk in solid) for scene in scenes)
    once = " ".join(source.text.split())
    return {
        "pieces": len(chunks),
        "over_budget": sum(n > RACE_BUDGET for n in counter.count_all(chunks)),
        "cut_scenes": cut,
        "scenes": len(source.scenes),
        "lost_bytes": 0 if is_whole else source.size_bytes - len(once.encode()),
        "doubled_bytes": 0 if is_whole else len(joined.encode()) - len(once.encode()),
    }


def _long(counter: Counter) -> Figures:
    """Ten megabytes, step by step, in an interpreter that is set as ``daobo serve`` sets it."""
    calm_garbage_collector()
    source = write("mixed", LONG_BYTES)
    parse_s, split_s, pack_s = [], [], []
    for _ in range(3):
        began_s = time.perf_counter()
        script = parse(source.text)
        parsed_s = time.perf_counter()
        split(script, 0, len(source.text), 4000, counter)
        parse_s.append(parsed_s - began_s)
        split_s.append(time.perf_counter() - parsed_s)
        pack_s.append(_timed(lambda: split(script, 0, len(source.text), 4000, Characters())))  # noqa: B023
    return {
        "bytes": source.size_bytes,
        "parse_s": min(parse_s),
        "split_s": min(split_s),
        "pack_s": min(pack_s),
    }


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
