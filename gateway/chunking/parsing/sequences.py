"""Which of the possible headings are headings? The whole script tells.

A form counts when its numbers go on from one to the next. In a script that surely uses a form, what
goes on with its numbers belongs to it, and what repeats one does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.chunking.script import Conventions, Kind

from .forms import Form, Heading

_LEAST = 3
_SHARE = 0.8
_STEP = 2
"""Numbers may leave one out."""
_FIELDS = 8
"""How many lines such as ``时间：日`` a scene heading may have below it."""


class Found(NamedTuple):
    """A heading, or what may be one, and which span it is."""

    span: int
    heading: Heading


def decide(
    found: Sequence[Found], is_field: Callable[[int], bool], known: Conventions | None
) -> tuple[list[Found], Conventions]:
    """The headings, and the conventions that they follow.

    ``is_field(index)``: whether a span is a line such as ``时间：日`` below a heading. ``known``:
    the conventions of the script that this text is a part of.
    """
    if all(item.heading.is_certain for item in found):
        taken = list(found)
    else:
        judge = _Judge(found, is_field, known)
        taken = judge.take(judge.forms())
    contents = _contents(taken, known)
    taken = taken[contents:]
    headings = frozenset(
        (item.heading.form.value, item.heading.name)
        for item in taken
        if not item.heading.is_certain
    )
    return taken, Conventions(headings, contents)


class _Judge:
    def __init__(
        self, found: Sequence[Found], is_field: Callable[[int], bool], known: Conventions | None
    ) -> None:
        self._found = found
        self._is_field = is_field
        self._known = known
        self._names: dict[Form, set[str]] = defaultdict(set)
        self._first: dict[Form, tuple[int, ...]] = {}
        for item in found:
            if item.heading.is_certain:
                self._names[item.heading.form].add(item.heading.name)
                self._first.setdefault(item.heading.form, item.heading.order)
        self._is_fountain = bool(self._names.keys() & {Form.SLUGLINE, Form.FORCED})
        self._has_scenes = any(i.heading.is_certain and i.heading.kind is Kind.SCENE for i in found)

    def forms(self) -> frozenset[Form]:
        """The forms whose uncertain headings may count."""
        seen: dict[Form, list[int]] = defaultdict(list)
        for item in self._found:
            if not item.heading.is_certain and item.heading.order:
                seen[item.heading.form].append(item.span)
        everything = frozenset(seen)
        if self._known is not None:
            return everything
        kept: dict[Form, int] = defaultdict(int)
        for item in self.take(everything):
            kept[item.heading.form] += not item.heading.is_certain
        return frozenset(f for f in seen if self._is_used(f, seen[f], kept[f]))

    def _is_used(self, form: Form, seen: list[int], kept: int) -> bool:
        if self._names[form]:
            return True
        if kept < _LEAST or kept < _SHARE * len(seen):
            return False
        if form is not Form.ITEM:
            return True
        side_by_side = sum(b - a == 1 for a, b in pairwise(seen))
        return not self._has_scenes and side_by_side <= (1 - _SHARE) * len(seen)

    def take(self, forms: frozenset[Form]) -> list[Found]:
        """What counts, if the uncertain ones of these forms may."""
        taken: list[Found] = []
        last: dict[Form, tuple[int, ...]] = {}
        for position, item in enumerate(self._found):
            heading = item.heading
            if not heading.is_certain and not self._counts(position, taken, last, forms):
                continue
            taken.append(item)
            if heading.kind is Kind.EPISODE and Form.ITEM not in self._first:
                last.pop(Form.ITEM, None)
            if heading.order:
                last[heading.form] = heading.order
        return taken

    def _counts(
        self,
        position: int,
        taken: list[Found],
        last: dict[Form, tuple[int, ...]],
        forms: frozenset[Form],
    ) -> bool:
        item = self._found[position]
        heading = item.heading
        if heading.form in (Form.PLACE, Form.SETTING):
            return not taken or not self._stands_below(item.span, taken[-1])
        if heading.form is Form.SECTION:
            return self._opens(position, bool(taken))
        if heading.form not in forms or heading.name in self._names[heading.form]:
            return False
        if self._known and (heading.form.value, heading.name) not in self._known.headings:
            return False
        if heading.form in last:
            return _follows(last[heading.form], heading.order)
        return heading.form not in self._first or _follows(heading.order, self._first[heading.form])

    def _stands_below(self, index: int, above: Found) -> bool:
        """Whether only fields stand between a line and the scene heading above it."""
        return (
            above.heading.kind is Kind.SCENE
            and index - above.span <= _FIELDS
            and all(self._is_field(between) for between in range(above.span + 1, index))
        )

    def _opens(self, position: int, is_inside: bool) -> bool:
        """Whether a section of Fountain is an act: it stands among scenes, or right before one."""
        if self._known and (Form.SECTION.value, "") in self._known.headings:
            return True
        if not self._is_fountain:
            return False
        after = self._found[position + 1 : position + 2]
        return is_inside or any(
            f.heading.is_certain and f.span == self._found[position].span + 1 for f in after
        )


def _follows(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    if before[:-1] == after[:-1]:
        return 0 < after[-1] - before[-1] <= _STEP
    return 0 < after[0] - before[0] <= _STEP and after[-1] == 1


def _contents(taken: Sequence[Found], known: Conventions | None) -> int:
    """How many of the first headings are a list of the episodes that come later."""
    length = 0
    for item in taken:
        if item.heading.kind is not Kind.EPISODE or item.span != taken[0].span + length:
            break
        length += 1
    if known is not None:
        return known.contents if known.contents <= length else 0
    later = {item.heading.name for item in taken[length:] if item.heading.kind is Kind.EPISODE}
    # The last of the run may be the first episode itself, if nothing stands between.
    while length and taken[length - 1].heading.name not in later:
        length -= 1
        later.add(taken[length].heading.name)
    listed = taken[:length]
    return length if length >= _LEAST and all(i.heading.name in later for i in listed) else 0
