"""Writes short-drama scripts: original text out of a small grammar, the same for the same seed.

The writer knows what it wrote: ``write_with_headings`` returns every heading beside the text, so
that a test of the parser has an oracle that is no parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from .script_words import (
    ENGLISH_LINES,
    ENGLISH_NAMES,
    ENGLISH_PLACES,
    MENTIONS,
    NAMES,
    PLACES,
    chinese_line,
    hanzi,
)


class Setting(NamedTuple):
    """Where a scene plays, and its numbers."""

    episode: int
    scene: int
    running: int
    """Counts scenes through all episodes."""
    place: str
    time: str
    inside: str
    """内 or 外"""
    english_place: str
    title: str


class Heading(NamedTuple):
    kind: str
    """``episode`` or ``scene``"""
    name: str
    line: str


Styler = Callable[[Setting], Heading]


def _episode(line: Callable[[Setting], str]) -> Styler:
    return lambda s: Heading("episode", str(s.episode), line(s))


def _scene(name: Callable[[Setting], str], line: Callable[[Setting], str]) -> Styler:
    return lambda s: Heading("scene", name(s), line(s))


def _pair(s: Setting) -> str:
    return f"{s.episode}-{s.scene}"


def _number(s: Setting) -> str:
    return str(s.scene)


def _running(s: Setting) -> str:
    return str(s.running)


def _nothing(s: Setting) -> str:
    return ""


def _slug(s: Setting) -> str:
    inside = "INT." if s.inside == "内" else "EXT."
    return f"{inside} {s.english_place} - {'DAY' if s.time == '日' else 'NIGHT'}"


def _full(number: int) -> str:
    return "".join(chr(ord(digit) + 0xFEE0) for digit in str(number))


_PLAIN = _episode(lambda s: f"第{s.episode}集")
_HANZI = _episode(lambda s: f"第{hanzi(s.episode)}集：{s.title}")

_STYLES: dict[str, tuple[Styler, Styler]] = {
    "spaced": (_PLAIN, _scene(_pair, lambda s: f"{_pair(s)} {s.time} {s.inside} {s.place}")),
    "tight": (
        _episode(lambda s: f"第{s.episode}集 {s.title}"),
        _scene(_pair, lambda s: f"{_pair(s)}{s.time} {s.inside} {s.place}"),
    ),
    "comma": (_HANZI, _scene(_pair, lambda s: f"{_pair(s)} {s.place}，{s.time}")),
    "wide dash": (
        _episode(lambda s: f"第{_full(s.episode)}集"),
        _scene(_pair, lambda s: f"{s.episode}－{s.scene} {s.time} {s.inside} {s.place}"),
    ),
    "long dash": (
        _PLAIN,
        _scene(_pair, lambda s: f"{s.episode}—{s.scene} {s.place} {s.time} {s.inside}"),
    ),
    "bold": (
        _episode(lambda s: f"**第{s.episode}集 {s.title}**"),
        _scene(_pair, lambda s: f"**{_pair(s)} {s.time} {s.inside} {s.place}**"),
    ),
    "hanzi": (
        _HANZI,
        _scene(_number, lambda s: f"第{hanzi(s.scene)}场 {s.place} {s.time} {s.inside}"),
    ),
    "scene word": (
        _episode(lambda s: f"# 第{s.episode}集"),
        _scene(_number, lambda s: f"场景{s.scene}：{s.place} {s.time} {s.inside}"),
    ),
    "scene hanzi": (
        _episode(lambda s: f"【第{hanzi(s.episode)}集】"),
        _scene(_number, lambda s: f"场景{hanzi(s.scene)}"),
    ),
    "bracket": (
        _episode(lambda s: f"【第{s.episode}集】"),
        _scene(_nothing, lambda s: f"【场景：{s.place} {s.time} {s.inside}】"),
    ),
    "asterism": (_PLAIN, _scene(_nothing, lambda s: f"※ {s.place} - {s.time}")),
    "sluglines": (
        _episode(lambda s: f"# 第{s.episode}集 {s.title}"),
        _scene(
            lambda s: f"S{s.scene:02}",
            lambda s: f"## S{s.scene:02} | {s.inside}景 · {s.place} | {s.time}",
        ),
    ),
    "list": (_PLAIN, _scene(_running, lambda s: f"{s.running}、{s.place} {s.inside} {s.time}")),
    "english": (
        _episode(lambda s: f"EPISODE {s.episode}"),
        _scene(_running, lambda s: f"SCENE {s.running}: {s.english_place}"),
    ),
    "fountain": (
        _episode(lambda s: f"EPISODE {s.episode}"),
        _scene(_nothing, _slug),
    ),
    "numbered fountain": (
        _episode(lambda s: f"# EPISODE {s.episode}"),
        _scene(lambda s: f"{s.running}A", lambda s: f"{_slug(s)} #{s.running}A#"),
    ),
    "forced": (_PLAIN, _scene(_nothing, lambda s: f".{s.place} - {s.time}")),
}
_ENGLISH = frozenset({"english", "fountain", "numbered fountain"})
_BLANK_BEFORE = frozenset({"fountain", "numbered fountain", "forced"})

STYLES: tuple[str, ...] = (*_STYLES, "mixed")


def write_script(
    style: str,
    episodes: int = 3,
    scenes: int = 4,
    seed: int = 0,
    scene_chars: int = 300,
    newline: str = "\n",
) -> str:
    """A script of ``episodes`` times ``scenes``, each of at least ``scene_chars`` characters."""
    return write_with_headings(style, episodes, scenes, seed, scene_chars, newline)[0]


def write_with_headings(
    style: str,
    episodes: int = 3,
    scenes: int = 4,
    seed: int = 0,
    scene_chars: int = 300,
    newline: str = "\n",
) -> tuple[str, list[Heading]]:
    """… and its headings, in the order of the text: kind, name, and the line as it stands there."""
    random = Random(f"{style} {seed}")
    headings: list[Heading] = []
    lines = list(_front(random, style))
    for episode in range(1, episodes + 1):
        names = list(_STYLES)
        chosen = names[(episode - 1 + seed) % len(names)] if style == "mixed" else style
        for scene in range(1, scenes + 1):
            setting = _setting(random, episode, scene, (episode - 1) * scenes + scene)
            for styler in _STYLES[chosen][0 if scene == 1 else 1 :]:
                heading = styler(setting)
                headings.append(heading)
                lines += [heading.line, ""] if chosen in _ENGLISH else [heading.line]
            lines += _scene_body(random, chosen, scene_chars)
    return newline.join(lines) + newline, headings


def _setting(random: Random, episode: int, scene: int, running: int) -> Setting:
    return Setting(
        episode,
        scene,
        running,
        random.choice(PLACES),
        random.choice("日夜"),
        random.choice("内外"),
        random.choice(ENGLISH_PLACES),
        random.choice(("重逢", "雨夜来客", "她回来了", "三百万的赌约", "真相", "谁在说谎")),
    )


def _front(random: Random, style: str) -> Iterator[str]:
    if style in _ENGLISH:
        yield from ("Title: The Silver Lift", "Author: The Writers' Room", "")
        return
    yield f"《{random.choice(PLACES)}的秘密》"
    yield ""
    yield f"人物：{'、'.join(NAMES[:6])}"
    for name in NAMES[:3]:
        yield f"{name}：{random.randint(22, 60)}岁，从第3集起才说真话。"
    yield ""


def _scene_body(random: Random, style: str, chars: int) -> list[str]:
    lines: list[str] = []
    size = 0
    write = _english_lines if style in _ENGLISH else _chinese_lines
    if style not in _ENGLISH and random.random() < 0.7:
        lines.append(f"人物：{'、'.join(random.sample(NAMES, 2))}")
    while size < chars:
        for line in write(random, style):
            lines.append(line)
            size += len(line) + 1
    if lines[-1]:
        lines.append("")
    return lines


def _chinese_lines(random: Random, style: str) -> Iterator[str]:
    if random.random() < 0.06:
        yield random.choice(MENTIONS)
        return
    if random.random() < 0.05:
        yield "【闪回】"
        yield chinese_line(random)
        yield chinese_line(random)
        yield "【闪回结束】"
        return
    yield chinese_line(random)
    if random.random() < 0.1:
        yield ""


def _english_lines(random: Random, style: str) -> Iterator[str]:
    if random.random() < 0.5:
        yield random.choice(ENGLISH_LINES)
    else:
        yield random.choice(ENGLISH_NAMES)
        if random.random() < 0.3:
            yield "(quietly)"
        yield random.choice(ENGLISH_LINES)
    yield ""
