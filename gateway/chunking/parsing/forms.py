"""What a heading is, in which forms it is written, and what stands around it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.chunking.script import Kind

from .lines import BLANKS


class Form(StrEnum):
    """In which way a heading is written; headings of one form are numbered together."""

    EPISODE = "第3集"
    COUNTED = "第3场"
    PAIR = "1-1"
    LETTERED = "S01"
    ITEM = "20、"
    PLACE = "场景："
    SETTING = "内景"
    SLUGLINE = "INT."
    FORCED = "."
    SECTION = "#"


class Heading(NamedTuple):
    kind: Kind
    name: str
    form: Form
    is_certain: bool = True
    order: tuple[int, ...] = ()
    """Its number, to compare with that of the heading before."""


class Unwrapped(NamedTuple):
    """What stands inside mark-up."""

    core: str
    is_marked: bool
    """All of the line is in it."""


_PAIRS = {"【": "】", "［": "］", "[": "]", "〖": "〗", "「": "」", "《": "》", "〔": "〕"}
_RULES = "-—=~－─━*"
_BULLETS = "◆■●★☆▶◇□"

MARKS = frozenset(f"#*_{_RULES}{_BULLETS}{''.join(_PAIRS)}")
"""What mark-up begins with."""


def unwrap(line: str) -> Unwrapped:
    """Takes ``#``, ``**``, brackets and rules from around a line."""
    core, is_marked = line.strip(BLANKS), False
    if core[:1] not in MARKS and "**" not in core:
        return Unwrapped(core, False)
    if core.startswith("#"):
        core, is_marked = core.strip("#").strip(BLANKS), True
    if "**" in core or core.startswith(("*", "__")):
        is_marked = is_marked or (core.startswith(("*", "__")) and core.endswith(("*", "__")))
        core = core.replace("*", "").replace("__", "").strip(BLANKS)
    if core and core[0] in _RULES and core[-1] in _RULES:
        core, is_marked = core.strip(_RULES).strip(BLANKS), True
    core = core.lstrip(_BULLETS).strip(BLANKS) if core and core[0] in _BULLETS else core
    if core and core[0] in _PAIRS:
        inside, _, behind = core[1:].partition(_PAIRS[core[0]])
        is_marked = is_marked or not behind
        core = f"{inside.strip(BLANKS)} {behind}".strip(BLANKS)
    return Unwrapped(core, is_marked)
