"""Reads an answer against the sections that were asked for, and decides about each of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from gateway.chunking.script import Kind

from .alignment import Division, Found, align, divide
from .asked import Asked, Key
from .composing import composed
from .faults import Checked, Fault, FaultKind
from .front import (
    asks_elsewhere_for_translation,
    asks_for_translation,
    instructions_in,
    without_instructions,
)
from .likeness import ALIKE, MORE_ALIKE, is_plainly_of, likeness
from .mending import shown
from .soundness import LONGEST, SHORTEST, findings
from .squeezing import lines_of, squeezed, squeezed_lines

MIN_WHOLE_CHARS = 400
"""From this length on, the sections together get no slack."""
MAX_HEAD_SHARE = 0.3
"""Text before a heading that was repeated is words to the user if it is so much shorter."""
_MAX_COMPARED = 8
_NO_KEY = ("", "")


class Reading:
    """One answer, without its wrapping. ``cut``: why it ended early; None: it did not."""

    def __init__(self, asked: Asked, text: str, cut: FaultKind | None) -> None:
        self._asked = asked
        self._cut = cut
        self._faults: list[Fault] = []
        self._bad: set[int] = set()
        """Sections that are not to be merged."""
        division = divide(text, asked, cut is not None)
        self._found = division.found
        head, first = self._head_of(division)
        self._head = Found(_NO_KEY, head)
        aligned = align(asked, self._found, first)
        self._of = aligned.of
        self._aligned = aligned
        self._has_head = first == 1
        self._dropped: set[int] = set()
        """Sections of the answer that nobody asked for, and that are certain not to be missed."""

    @property
    def is_of_no_use(self) -> bool:
        """Whether it has none of the headings that were asked for."""
        return all(at is None for at in self._of)

    def checked(self) -> Checked:
        """The verdict."""
        self._name_swaps()
        self._sort_out_surplus()
        self._name_cut()
        texts = [self._text_of(index) for index in range(len(self._of))]
        self._find_merged()
        self._weigh_all()
        return Checked(
            tuple(None if i in self._bad else text for i, text in enumerate(texts)),
            tuple(dict.fromkeys(self._faults)),
        )

    def _fault(self, kind: FaultKind, detail: str, section: int | None = None) -> None:
        """Something that is not certain. The section is asked for again."""
        self._faults.append(Fault(kind, detail, section, False))
        if section is not None:
            self._bad.add(section)

    def _mended(self, kind: FaultKind, detail: str, section: int | None = None) -> None:
        self._faults.append(Fault(kind, detail, section, True))

    def _head_of(self, division: Division) -> tuple[str, int]:
        """The text of a first section without a heading, and 1; or 0 if there is none."""
        asked = self._asked
        if not asked.begins_inside:
            if squeezed(division.head):
                what = f"in front of the first heading: {shown(division.head)}"
                self._mended(FaultKind.PREAMBLE, what)
            return "", 0
        head = self._without_repeated(division.head)
        if not self._has_own_heading(squeezed(head)):
            return head, 1
        if squeezed(head):
            self._mended(FaultKind.PREAMBLE, f"in front of its heading: {shown(head)}")
        return "", 0

    def _has_own_heading(self, head: str) -> bool:
        """Whether a scene that goes on came with its heading again, behind words of no weight."""
        keys, found = self._asked.keys, self._found
        if self._asked.sections[0].kind is Kind.FRONT or not found or found[0].key != keys[0]:
            return False
        is_slight = len(head) <= MAX_HEAD_SHARE * len(found[0].squeezed)
        return not head or (is_slight and keys[0] not in keys[1:])

    def _without_repeated(self, head: str) -> str:
        """Without the lines of the context that the answer begins with: those before the part."""
        end = size = 0
        for line in lines_of(head):
            bones = squeezed(line[0])
            if bones and bones not in self._asked.context_lines:
                break
            end, size = line.end(), size + len(bones)
        if size < 8:
            return head
        self._mended(FaultKind.LEAKED, f"lines before the part came again: {shown(head[:end])}", 0)
        return head[end:].lstrip("\n")

    def _name_swaps(self) -> None:
        for index in sorted(self._aligned.renumbered):
            self._mended(FaultKind.RENUMBERED, "it has another heading", index)
        for index in self._aligned.swapped:
            self._mended(FaultKind.SWAPPED, "it came at another place", index)

    def _sort_out_surplus(self) -> None:
        """What becomes of the answer's sections that are none of the source's."""
        matched = {at: index for index, at in enumerate(self._of) if at is not None}
        first, last = min(matched, default=0), max(matched, default=-1)
        for at, section in enumerate(self._found):
            if at in matched:
                continue
            if at > last and section.key in self._asked.following:
                self._mended(FaultKind.EXTRA, "it went on to what comes next in the script")
                self._dropped.update(range(at, len(self._found)))
                return
            if at < first and section.key == self._asked.preceding:
                self._mended(FaultKind.EXTRA, "it began with the section before")
                self._dropped.add(at)
            elif not self._is_double(at, section, matched):
                self._blame(at, matched)

    def _is_double(self, at: int, section: Found, matched: dict[int, int]) -> bool:
        """Whether a section came before, or comes again. One of them may be empty."""
        same = self._places.get(section.key, [])
        after = bisect_left(same, at)
        near = [m for m in same[max(after - 1, 0) : after + 1] if m in matched]
        if not near:
            return False
        nearest = min(near, key=lambda m: abs(m - at))
        index = matched[nearest]
        one, other = self._found[nearest].squeezed, section.squeezed
        is_torn = self._cut is not None and at == len(self._found) - 1 and one.startswith(other)
        if one == other or not other or is_torn:
            self._mended(FaultKind.DOUBLED, "it came twice, the same", index)
            self._dropped.add(at)
        elif not one:
            self._mended(FaultKind.DOUBLED, "its heading came twice", index)
            self._of[index] = at
        else:
            self._fault(FaultKind.DOUBLED, "it came twice, and not the same", index)
        return True

    @cached_property
    def _taken(self) -> list[int]:
        """Which of the answer's sections are the source's, in the order of the answer."""
        return sorted(at for at in self._of if at is not None)

    @cached_property
    def _places(self) -> dict[Key, list[int]]:
        """Which of the answer's sections have a heading and were taken, by heading, in order."""
        places: dict[Key, list[int]] = {}
        for at in self._taken:
            places.setdefault(self._found[at].key, []).append(at)
        return places

    def _blame(self, at: int, matched: dict[int, int]) -> None:
        """A section of the model's own may be a piece of the one before it."""
        earlier = bisect_left(self._taken, at)
        before = self._taken[earlier - 1] if earlier else None
        name = "".join(self._found[at].key)[:60]
        if before is not None:
            self._fault(FaultKind.EXTRA, f"a section of its own behind it: {name}", matched[before])
        elif self._has_head:
            self._fault(FaultKind.EXTRA, f"a section of its own behind it: {name}", 0)
        else:
            self._mended(FaultKind.EXTRA, f"a section of its own in front: {name}")

    def _name_cut(self) -> None:
        """Of an answer that ended early, the last section is not whole, and the rest not there."""
        if self._cut is None:
            return
        last = len(self._found) - 1
        reached = self._of.index(last) if last in self._of else None
        if last < 0 and self._has_head:
            reached = 0
        if reached is not None and self._asked.squeezed_bodies[reached]:
            self._fault(self._cut, "the answer ended within it", reached)
        end = max((i for i, at in enumerate(self._of) if at is not None), default=0)
        for index in range(len(self._of)):
            if index >= end and not self._is_there(index):
                self._fault(self._cut, "the answer ended before it", index)
        if not any(fault.kind is self._cut for fault in self._faults):
            is_mended = last in self._dropped or reached is not None
            self._faults.append(Fault(self._cut, "the answer ended early", None, is_mended))

    def _is_there(self, index: int) -> bool:
        return self._body(index) is not None

    def _body(self, index: int) -> Found | None:
        """What the answer has for a section; None if nothing."""
        if index == 0 and self._has_head:
            return self._head if self._head.squeezed else None
        at = self._of[index]
        return None if at is None else self._found[at]

    def _text_of(self, index: int) -> str | None:
        section, body = self._asked.sections[index], self._body(index)
        source = self._asked.script.text[section.start : section.end]
        if index in self._bad:
            return None
        if section.kind is Kind.FRONT and self._has_head and not self.is_of_no_use:
            return self._front(body or self._head)
        if body is None and self._is_certain(index):
            if section.heading_end > section.start:
                self._mended(FaultKind.MISSING, "its heading was missing", index)
            return source
        if body is None:
            self._fault(FaultKind.MISSING, "it did not come", index)
            return None
        if body.squeezed == self._asked.squeezed_bodies[index]:
            return source
        if not section.heading_end > section.start and not self._asked.squeezed_bodies[index]:
            self._mended(FaultKind.PREAMBLE, f"in front of the first heading: {shown(body.body)}")
            return source
        base = self._asked.bodies[index]
        if section.kind is Kind.FRONT:
            base = self._base(body)
            if body.squeezed == squeezed(base):
                return base
        if section.end > self._asked.closing_start:
            base = self._without_closing(index, base, body)
            if not squeezed(base) and section.heading_end == section.start:
                self._mended(FaultKind.EPILOGUE, f"an answer to wishes alone: {shown(body.body)}")
                return ""
            if body.squeezed == squeezed(base):
                return self._asked.script.text[section.start : section.heading_end] + base
        is_sound = self._judge(index, base, body) and self._is_in_place(index, body)
        return composed(self._asked, index, base, body.body) if is_sound else None

    def _is_certain(self, index: int) -> bool:
        """Whether a missing section has no text, and is not just a piece of what is missing."""
        is_last = index == len(self._of) - 1
        is_followed = is_last or self._is_there(index + 1)
        section = self._asked.sections[index]
        has_heading = section.heading_end > section.start
        return not self._asked.squeezed_bodies[index] and (is_followed or not has_heading)

    def _judge(self, index: int, base: str, body: Found) -> bool:
        """Whether a text may be merged. Changed numbers are named, and may."""
        is_sound = True
        for kind, detail in findings(
            self._asked, base, body.body, is_translated=self._is_translated
        ):
            if kind is FaultKind.NUMBERS:
                if is_sound:
                    self._faults.append(Fault(kind, detail, index, False))
                continue
            self._fault(kind, detail, index)
            is_sound = False
        return is_sound

    def _is_in_place(self, index: int, body: Found) -> bool:
        """Whether a text is like its own source rather than like that of another section."""
        asked = self._asked
        namesakes = self._missing_by_key.get(asked.keys[index], [])[:_MAX_COMPARED]
        others = [i for i in (index - 1, index + 1, *namesakes) if 0 <= i < len(self._of)]
        if not others:
            return True
        if not namesakes and is_plainly_of(body.squeezed, asked.squeezed_bodies[index]):
            return True
        own = likeness(asked.pairs[index], body.pairs)
        for other in others:
            alike = likeness(asked.pairs[other], body.pairs)
            if other != index and alike >= ALIKE and alike > MORE_ALIKE * own:
                self._fault(FaultKind.MISPLACED, "it is more like another section", index)
                return False
        return True

    @cached_property
    def _missing_by_key(self) -> dict[Key, list[int]]:
        """The missing sections with each heading."""
        missing: dict[Key, list[int]] = {}
        for index, key in enumerate(self._asked.keys):
            if not self._is_there(index):
                missing.setdefault(key, []).append(index)
        return missing

    @cached_property
    def _is_translated(self) -> bool:
        """Whether there is a wish for another language."""
        closing = self._asked.script.text[self._asked.closing_start :]
        if self._asked.is_translation or asks_elsewhere_for_translation(closing):
            return True
        first = self._asked.script.sections[0]
        text = self._asked.script.text[: min(first.end, 2_000)]
        return first.kind is Kind.FRONT and asks_for_translation(text)

    def _base(self, body: Found) -> str:
        """The front that a text is to be compared with: without instructions, if it has none."""
        source = self._asked.bodies[0]
        instructions = [squeezed(line) for line in instructions_in(source)]
        has_instructions = any(line and line in body.squeezed for line in instructions)
        rest = without_instructions(source)
        return source if has_instructions or not rest else rest

    def _without_closing(self, index: int, base: str, body: Found) -> str:
        """What a text is to be compared with: without the wishes behind the script, if it has none
        of them."""
        start = self._asked.closing_start - self._asked.sections[index].end
        wishes = base[start:]
        has_wishes = any(line in body.squeezed for line in squeezed_lines(wishes))
        return base if has_wishes or not base.endswith(wishes) else base[:start]

    def _front(self, body: Found) -> str:
        """A front, where other sections are behind it. What is lost of it is the source's."""
        source = self._asked.bodies[0]
        rest = without_instructions(source)
        new = body.squeezed
        if new == self._asked.squeezed_bodies[0]:
            return source
        if new == squeezed(rest):
            return rest
        if not squeezed(rest):
            self._mended(FaultKind.PREAMBLE, f"in front of the first heading: {shown(body.body)}")
            return rest
        base = self._base(body)
        for kind, detail in findings(
            self._asked, base, body.body, is_translated=self._is_translated
        ):
            if kind is not FaultKind.NUMBERS:
                self._mended(FaultKind.FRONT, f"it is the source's: {kind.value}, {detail}", 0)
                return rest
            self._faults.append(Fault(kind, detail, 0, False))
        return composed(self._asked, 0, base, body.body)

    def _find_merged(self) -> None:
        """A section that has grown by one that is missing beside it, or has lines of it."""
        indices = range(len(self._of))
        for order in (indices, reversed(indices)):
            whole, distance = None, 0
            for index in order:
                distance += 1
                if self._is_there(index):
                    whole, distance = index, 0
                elif whole is None or whole in self._bad or distance > _MAX_COMPARED:
                    continue
                elif self._holds(whole, index):
                    self._fault(FaultKind.MERGED, "it holds the text of one that is missing", whole)

    def _holds(self, index: int, missing: int) -> bool:
        lost = self._asked.squeezed_bodies[missing]
        body = self._body(index)
        if not lost or body is None:
            return False
        grown = len(body.squeezed) - len(self._asked.squeezed_bodies[index])
        if grown >= SHORTEST * len(lost):
            return True
        lines = set(squeezed_lines(body.body)) - set(self._lines_of(index))
        return any(line in lines for line in self._lines_of(missing))

    def _lines_of(self, index: int) -> Iterator[str]:
        """Lines of a section that are long enough to be known again."""
        return (line for line in squeezed_lines(self._asked.bodies[index]) if len(line) >= 8)

    def _weigh_all(self) -> None:
        """Many short sections may not all use their slack."""
        lengths = {
            index: (len(self._asked.squeezed_bodies[index]), len(body.squeezed))
            for index in range(len(self._of))
            if index not in self._bad and (body := self._body(index)) is not None
        }
        lengths = {i: (old, new) for i, (old, new) in lengths.items() if old}
        old = sum(old for old, _ in lengths.values())
        new = sum(new for _, new in lengths.values())
        if old < MIN_WHOLE_CHARS or self._is_translated or SHORTEST * old <= new <= LONGEST * old:
            return
        kind = FaultKind.SHORT if new < old else FaultKind.LONG
        for index, (before, after) in lengths.items():
            is_front = self._asked.sections[index].kind is Kind.FRONT
            if not is_front and not SHORTEST * before <= after <= LONGEST * before:
                self._fault(kind, f"{after} characters for {before}, as in the others", index)
