"""What a part is told of the rest of the script: to be read, never to be answered.

Rules for the answer first; then reference material between two marks whose name is random, so that
nothing in a script can pass for the end of it. Written in Chinese for a Chinese script, else in
English. The rules and the opening are always there; all else keeps to an allowance of tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gateway.chunking.checking.front import closing_start, instructions_in
from gateway.chunking.script import Kind, Script, Section
from gateway.chunking.tokens import Counter
from gateway.config_chunking import ChunkingConfig

from .characters import Character, characters_in
from .context_words import CHINESE, ENGLISH, Words

ALLOWANCE_TOKENS = 600
ALLOWANCE_SHARE = 0.15
"""Of the budget of a part: what the reference material takes at most, the smaller of the two."""
OPENING_TOKENS = 300
"""A longer opening is not repeated with each part."""
HEADING_CHARS = 200
MIN_END_CHARS = 8
"""Less of a line's end says nothing."""
CHARS_PER_TOKEN = 8
"""More than any text has: so much is looked at to fill an allowance."""


@dataclass(frozen=True)
class Context:
    """Writes the context of each part of one script. ``fence`` names the marks."""

    script: Script
    config: ChunkingConfig
    counter: Counter
    budget_tokens: int
    fence: str

    @cached_property
    def most_tokens(self) -> int:
        """No context has more."""
        rules = self.words.rules(self._purpose)
        marks = self._fenced(self.words.labels)
        fixed = self.counter.count(rules) + self.counter.count(marks)
        wishes = self.counter.count(self.opening) + self.counter.count(self.closing)
        return fixed + wishes + self.allowance_tokens

    @property
    def allowance_tokens(self) -> int:
        return min(ALLOWANCE_TOKENS, int(self.budget_tokens * ALLOWANCE_SHARE))

    def block(self, start: int, end: int, before: str | None) -> str:
        """The context of the part from ``start`` to ``end``. ``before``: what stands before it,
        where that is not the source's own text."""
        rules = self.words.rules(self._purpose)
        reference = "\n\n".join(self._reference(start, end, before))
        return f"{rules}\n\n{self._fenced(reference)}" if reference else rules

    def for_join(self, *, is_last: bool) -> str:
        """The context of a request that makes one answer of several."""
        rules = self.words.join_last if is_last else self.words.join
        wishes = "\n\n".join(self._wishes(0, 0, is_opening_told=True))
        return f"{rules}\n\n{self._fenced(wishes)}" if wishes else rules

    def answers(self, texts: Sequence[str]) -> str:
        """Answers one after the other, for such a request."""
        label = self.words.answer
        return "\n\n".join(f"{label.format(at)}\n{text}" for at, text in enumerate(texts, 1))

    def _reference(self, start: int, end: int, before: str | None) -> Iterator[str]:
        """Paragraphs, each with a label. What matters most takes of the allowance first."""
        words, config = self.words, self.config.context
        left = _Allowance(self.counter, self.allowance_tokens)
        inside = left.line(self._heading_around(start))
        following = left.line(self._heading_at(end)) if config.next_heading else ""
        bible = left.lines(self._bible(start, end)) if config.bible else ""
        lines = left.tail(self._before(start, before))
        yield from self._wishes(start, end, is_opening_told=start > 0)
        for label, text in (
            ("bible", bible), ("inside", inside), ("before", lines), ("following", following),
        ):  # fmt: skip
            if text:
                yield words.labelled(label, text)

    def _wishes(self, start: int, end: int, *, is_opening_told: bool) -> Iterator[str]:
        """What the whole text begins and ends with, where it may say what is to be done."""
        if is_opening_told and self.opening:
            yield self.words.labelled("opening", self.opening)
        if self.closing and end <= closing_start(self.script.text):
            yield self.words.labelled("closing", self.closing)

    def _bible(self, start: int, end: int) -> list[str]:
        if not start or not self._characters:
            return []
        part = self.script.text[start:end].casefold()
        return [c.line for c in self._characters if c.is_in(part)]

    def _before(self, start: int, before: str | None) -> list[str]:
        if before is None:
            reach = self.allowance_tokens * CHARS_PER_TOKEN
            before = self.script.text[max(0, start - reach) : start]
        lines = [line for line in before.splitlines() if line.strip()]
        wanted = self.config.context.last_lines
        return lines[-wanted:] if wanted else []

    def _heading_around(self, start: int) -> str:
        """Of the scene in whose middle the part begins."""
        section = self._section(start)
        return self._heading(section) if section and section.start < start else ""

    def _heading_at(self, end: int) -> str:
        """Of the scene that begins where the part ends."""
        section = self._section(end)
        return self._heading(section) if section and section.start == end else ""

    def _heading(self, section: Section) -> str:
        heading = self.script.text[section.start : section.heading_end]
        return heading.strip()[:HEADING_CHARS]

    def _section(self, at: int) -> Section | None:
        found = bisect_right(self._starts, at) - 1
        return self.script.sections[found] if found >= 0 else None

    @cached_property
    def _starts(self) -> list[int]:
        return [section.start for section in self.script.sections]

    @cached_property
    def _front(self) -> str:
        sections = self.script.sections
        if not sections or sections[0].kind is not Kind.FRONT:
            return ""
        return self.script.text[: sections[0].end]

    @cached_property
    def opening(self) -> str:
        """What stands before the first heading, if that is short; else what it says that is to be
        done, or its first paragraph."""
        front = self._front.strip()
        whole = []
        if self.script.is_script:
            whole = [front, "".join(instructions_in(front)).strip()]
        first = front[: OPENING_TOKENS * CHARS_PER_TOKEN].split("\n\n")[0].strip()
        for text in (*whole, first):
            if text and self._is_short(text) and text != self.script.text.strip():
                return text
        return ""

    @cached_property
    def closing(self) -> str:
        """What is asked for behind the script, if that is short."""
        text = self.script.text[closing_start(self.script.text) :].strip()
        return text if self._is_short(text) else ""

    def _is_short(self, text: str) -> bool:
        reach = OPENING_TOKENS * CHARS_PER_TOKEN
        return len(text) < reach and self.counter.count(text) <= OPENING_TOKENS

    @cached_property
    def _characters(self) -> list[Character]:
        """None where the opening is repeated as a whole: it has them."""
        return [] if self.opening == self._front.strip() else characters_in(self._front)

    @cached_property
    def words(self) -> Words:
        return CHINESE if _is_chinese(self.script.text) else ENGLISH

    @property
    def _purpose(self) -> str:
        if self.config.mode == "reduce":
            return "reduce"
        return "script" if self.config.keeps_scenes else "text"

    def _fenced(self, text: str) -> str:
        name = f"reference-{self.fence}"
        return f"{self.words.reference.format(name=name)}\n<{name}>\n{text}\n</{name}>"


class _Allowance:
    """Tokens that are left for reference material."""

    def __init__(self, counter: Counter, tokens: int) -> None:
        self._counter = counter
        self._left = tokens

    def line(self, text: str) -> str:
        """The text if there is room for it, else nothing."""
        if not text:
            return ""
        tokens = self._counter.count(text) + 1
        if tokens > self._left:
            return ""
        self._left -= tokens
        return text

    def lines(self, lines: list[str]) -> str:
        """The first of them, as many as there is room for."""
        return "\n".join(filter(None, map(self.line, lines)))

    def tail(self, lines: list[str]) -> str:
        """The last of them; of the first that is too long, its end."""
        kept: list[str] = []
        for line in reversed(lines):
            fitting = self.line(line) or self.line(self._end_of(line))
            if fitting:
                kept.insert(0, fitting)
            if fitting != line:
                break
        return "\n".join(kept)

    def _end_of(self, line: str) -> str:
        """About as much of its end as there is room for."""
        line = line[-self._left * CHARS_PER_TOKEN :] if self._left > 0 else ""
        tokens = self._counter.count(line) + 2
        end = line[len(line) - len(line) * max(0, self._left - 2) // tokens :]
        return end if len(end) >= MIN_END_CHARS else ""


def _is_chinese(text: str) -> bool:
    """Whether a tenth of its beginning and middle are Chinese characters."""
    middle = len(text) // 2
    sample = "".join((text[:2000] + text[middle : middle + 2000]).split())
    return sum("\u4e00" <= char <= "\u9fff" for char in sample) * 10 > len(sample)
