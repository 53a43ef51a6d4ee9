"""What stands before the first heading: front matter, which is kept, and instructions.

Whoever pastes a script behind ``请润色下面的剧本：`` wants the script back, not the instruction.
So a line that tells a model what to do, and the list behind it, may be missing from an answer. A
title or a list of characters may not.
"""

from __future__ import annotations

from .phrases import INSTRUCTION, LIST_ITEM, TRANSLATION
from .squeezing import squeezed

MAX_INSTRUCTION_CHARS = 600
"""Longer lines are prose."""
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
