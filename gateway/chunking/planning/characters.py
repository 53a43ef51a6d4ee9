"""The script's own list of characters: 人物表, 角色介绍, Characters."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARACTERS = 200
MAX_LINE_CHARS = 160
_TITLE = re.compile(
    r"^[ \t#*【\[]*(?:(?:主要|出场|登场)?(?:人物|角色)(?:表|小传|介绍|设定|简介|关系|列表|一览)?"
    r"|(?:main )?characters|cast(?: list| of characters)?|dramatis personae)"
    r"[ \t】\]*]*[:：]?[ \t*]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ENTRY = re.compile(
    r"^[ \t\-*•·]*(?:\d{1,3}[.、)）])?[ \t*]*"
    r"(?P<name>[^\W\d_][\w·.' ]{0,30}?)[ \t*]*(?:[：:（(，,|—–]|[ \t]-[ \t])"
)


class Character(NamedTuple):
    """One entry of the list."""

    name: str
    line: str

    def is_in(self, casefolded: str) -> bool:
        """Whether a text names them, by the whole name or a Western first name."""
        name = self.name.casefold()
        first = name.split()[0]
        return name in casefolded or (first.isascii() and len(first) > 2 and first in casefolded)


def characters_in(front: str) -> list[Character]:
    """The entries below the list's title, a line each; further lines belong to the entry above.
    The list ends at a line behind an empty one that is no entry."""
    title = _TITLE.search(front)
    if title is None:
        return []
    found: list[Character] = []
    after_gap = False
    for line in front[title.end() :].splitlines():
        text = line.strip()
        entry = _ENTRY.match(line)
        if entry and len(found) < MAX_CHARACTERS:
            found.append(Character(entry["name"].strip(), text[:MAX_LINE_CHARS]))
        elif text and after_gap and found:
            break
        elif text and found:
            name, line_so_far = found[-1]
            found[-1] = Character(name, f"{line_so_far} {text}"[:MAX_LINE_CHARS])
        after_gap = not text
    return found
