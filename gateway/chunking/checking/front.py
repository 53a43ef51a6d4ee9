"""What stands around the scenes: front matter, which is kept, and instructions.

Whoever pastes a script behind ``请润色下面的剧本：`` wants the script back, not the instruction.
So a line that tells a model what to do, and the list behind it, may be missing from an answer. A
title or a list of characters may not.
"""

from __future__ import annotations

from .phrases import CLOSING, INSTRUCTION, LIST_ITEM, TRANSLATION, TRANSLATION_ASKED
from .squeezing import lines_of, squeezed

MAX_INSTRUCTION_CHARS = 600
"""Longer lines are prose."""
MAX_CLOSING_CHARS = 1_500
"""Instructions behind a script are looked for in so much of its end."""
MAX_FRONT_CHARS = 20_000
"""Instructions are looked for in so much of a text."""


def instructions_in(front: str) -> list[str]:
    """The lines of a front that tell a model what to do."""
    return _sorted_out(front)[0]


def without_instructions(front: str) -> str:
    """The front matter alone; empty if there is none."""
    instructions, rest = _sorted_out(front)
    if not instructions:
        return front
    return rest.lstrip() if squeezed(rest) else ""


def asks_for_translation(front: str) -> bool:
    return any(TRANSLATION.search(line) for line in instructions_in(front))


def asks_elsewhere_for_translation(message: str) -> bool:
    """The same of a message that stands beside the script."""
    return TRANSLATION_ASKED.search(message) is not None


def closing_start(text: str) -> int:
    """Where instructions behind a script begin, list items below them included; its length if
    there are none."""
    offset = max(0, len(text) - MAX_CLOSING_CHARS)
    lines = list(lines_of(text[offset:]))
    start = len(text)
    for line in reversed(lines[1:]):
        if not line[0].strip():
            continue
        if len(line[0]) <= MAX_INSTRUCTION_CHARS and CLOSING.match(line[0]):
            start = offset + line.start()
        elif not LIST_ITEM.match(line[0]):
            break
    return start


def _sorted_out(front: str) -> tuple[list[str], str]:
    """Instructions, and the rest. A list belongs to the line above it."""
    instructions: list[str] = []
    rest: list[str] = []
    is_within = False
    for line in front[:MAX_FRONT_CHARS].splitlines(keepends=True):
        is_short = len(line) <= MAX_INSTRUCTION_CHARS
        if not line.strip():
            (rest if not is_within else instructions).append(line)
        elif is_short and (INSTRUCTION.match(line) or (is_within and LIST_ITEM.match(line))):
            instructions.append(line)
            is_within = True
        else:
            rest.append(line)
            is_within = False
    return instructions, "".join(rest) + front[MAX_FRONT_CHARS:]
