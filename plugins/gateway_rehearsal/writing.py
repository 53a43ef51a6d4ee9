"""Writes what a studio asks for: a scene, a shot list, notes, a polish, a table of who is who.

Every text is picked from hand-written sentences by dice that the prompt itself has loaded, so
the same prompt reads the same for ever. Where the prompt brings a script, its own lines are used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson

from .chinese import CHINESE
from .dice import Dice
from .english import ENGLISH
from .prompt import Prompt
from .voices import Voice

_HEADING = re.compile(r"(?:INT|EXT)[./ ]|第.{1,6}[集场幕]|\d+-\d+\s|.{0,12}[内外]景")
_CUE = re.compile(r"([A-Z][A-Z .'-]{1,24})(?:\s*\(.*\))?$")
_CHINESE_SPEECH = re.compile(r"([\u3400-\u9fff·]{1,6})(?:[（(].{0,12}[)）])?[：:]\s*\S")
_CAST_LIST = ("人物", "场景", "时间", "地点", "画面", "声音", "故事梗概")
_LINES_BETWEEN_BEATS = 6
_INSTRUCTION_CHARS = 200
"""A single line that is longer is a text, not a wish for one."""


def voice_of(prompt: Prompt) -> Voice:
    return CHINESE if prompt.chinese else ENGLISH


def draft(prompt: Prompt, dice: Dice) -> str:
    voice = voice_of(prompt)
    a, b = dice.pick(voice.casts)
    heading, opening, hook = dice.pick(voice.scenes)
    parts = [action(voice, opening, a, b)]
    beats = dice.deal(voice.beats, 2)
    for said, answered in dice.deal(voice.exchanges, 3 + dice.roll(3)):
        parts += [speech(voice, a, *said), speech(voice, b, *answered)]
        if beats and dice.roll(2):
            parts.append(action(voice, beats.pop(), a, b))
    parts.append(action(voice, hook, a, b))
    return voice.scene.format(
        topic=prompt.topic(voice.untitled),
        heading=heading,
        a=a,
        b=b,
        body="\n\n".join(parts),
    )


def action(voice: Voice, sentence: str, a: str, b: str) -> str:
    return voice.action.format(text=sentence.format(a=a, b=b))


def speech(voice: Voice, name: str, mood: str, line: str) -> str:
    return voice.speech.format(name=name, mood=mood, line=line)


def storyboard(prompt: Prompt, dice: Dice) -> str:
    voice = voice_of(prompt)
    pictures = script_lines(prompt)[:8] or dice.deal(voice.pictures, 5 + dice.roll(2))
    durations_s = [1.5 + dice.roll(6) / 2 for _ in pictures]
    shots = [
        voice.shot.format(
            number=number,
            size=dice.pick(voice.sizes),
            move=dice.pick(voice.moves),
            duration_s=duration_s,
            picture=picture,
            sound=dice.pick(voice.sounds),
        )
        for number, (picture, duration_s) in enumerate(zip(pictures, durations_s, strict=True), 1)
    ]
    return voice.board.format(
        topic=prompt.topic(voice.untitled),
        shots="\n".join(shots),
        count=len(shots),
        total_s=sum(durations_s),
    )


def review(prompt: Prompt, dice: Dice) -> str:
    voice = voice_of(prompt)
    lines = script_lines(prompt) or [prompt.topic(voice.untitled)]
    quoted = dice.deal([line[:60] for line in lines], 3)
    concerns = dice.deal(voice.concerns, len(quoted))
    return voice.review.format(
        topic=prompt.topic(voice.untitled),
        score=f"{6 + dice.roll(7) / 2:.1f}",
        strengths=numbered(dice.deal(voice.strengths, 2)),
        concerns=numbered(
            concern.format(line=line) for concern, line in zip(concerns, quoted, strict=True)
        ),
        next_step=dice.pick(voice.next_steps),
    )


def polish(prompt: Prompt, dice: Dice) -> str:
    """The prompt's script, every line kept, with a beat now and then where a scene needs air."""
    if not brings_script(prompt):
        return draft(prompt, dice)
    voice = voice_of(prompt)
    polished: list[str] = []
    since_beat = 0
    for line in prompt.script.split("\n"):
        polished.append(line.rstrip())
        since_beat += bool(line.strip())
        if not line.strip() and since_beat >= _LINES_BETWEEN_BEATS:
            polished += [voice.action.format(text=dice.pick(voice.beats)), ""]
            since_beat = 0
    return "\n".join(polished)


def rewrite(prompt: Prompt, dice: Dice) -> str:
    """The prompt's script, tightened: every line kept, the fillers in it gone."""
    if not brings_script(prompt):
        return draft(prompt, dice)
    fillers = re.compile("|".join(map(re.escape, voice_of(prompt).fillers)))
    return fillers.sub("", prompt.script)


def extract(prompt: Prompt, dice: Dice) -> str:
    return orjson.dumps(facts_of(prompt), option=orjson.OPT_INDENT_2).decode()


def facts_of(prompt: Prompt) -> dict[str, Any]:
    """Who speaks how often, and where: found in the prompt, not invented."""
    voice = voice_of(prompt)
    lines = [line.strip() for line in prompt.script.splitlines() if line.strip()]
    speeches: Counter[str] = Counter()
    for line in lines:
        if _HEADING.match(line):
            continue
        speaker = _CHINESE_SPEECH.match(line) or _CUE.match(line)
        if speaker and speaker[1] not in _CAST_LIST:
            speeches[speaker[1].strip()] += 1
    return {
        "title": prompt.topic(voice.untitled),
        "language": voice.code,
        "scenes": [line for line in lines if _HEADING.match(line)],
        "characters": [{"name": name, "speeches": n} for name, n in speeches.most_common()],
        "lines": len(lines),
    }


def brings_script(prompt: Prompt) -> bool:
    """Whether there is a script to work on, be it the smallest piece of one: a heading alone."""
    lines = [line for line in prompt.script.splitlines() if line.strip()]
    if len(lines) != 1:
        return bool(lines)
    return len(lines[0]) > _INSTRUCTION_CHARS or bool(_HEADING.match(lines[0].lstrip()))


def script_lines(prompt: Prompt) -> list[str]:
    """The lines of the script in the prompt that say something; none if it brings no script."""
    lines = [line.strip(" △\t\r") for line in prompt.script.splitlines()]
    lines = [line for line in lines if line and not _HEADING.match(line) and not _CUE.match(line)]
    return lines if len(lines) > 1 else []


def numbered(items: Any) -> str:
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


WRITERS: dict[str, Callable[[Prompt, Dice], str]] = {
    "draft": draft,
    "polish": polish,
    "review": review,
    "rewrite": rewrite,
    "storyboard": storyboard,
    "extract": extract,
}
