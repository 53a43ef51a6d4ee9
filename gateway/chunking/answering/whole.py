"""What all parts of one call have in common while they are being answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.chunking.checking.front import closing_start, without_instructions
from gateway.chunking.merge import Ordering
from gateway.chunking.script import Kind, Section
from gateway.chunking.threads import Threads
from gateway.journey import Journey
from gateway.schema import Target

from .asking import Asking
from .kept_parts import KeptParts
from .tally import Tally, label

if TYPE_CHECKING:
    from gateway.chunking.planning.cutting import Cut

T = TypeVar("T")
MAX_WASTED_PER_PART = 2
LEAST_WASTED = 16
"""Requests of no use at all that a call may make before it asks for nothing a second time: so many
for each of its parts, but at least these."""
TAIL_CHARS = 4000
"""Of an answer, what the next part is told from."""


@dataclass
class Whole:
    """One cut call."""

    journey: Journey
    cut: Cut
    asking: Asking
    kept_parts: KeptParts
    tally: Tally
    ordering: Ordering
    thread: Threads
    """For what would keep the loop waiting."""
    target: Target | None = None
    """The first that answered."""
    model: str = ""
    """What its answer says that it is from."""
    first_answer: asyncio.Event = field(default_factory=asyncio.Event)
    wasted: int = 0
    """Requests whose answers were of no use at all."""
    _tails: dict[int, str] = field(default_factory=dict)

    @property
    def keeps_scenes(self) -> bool:
        return self.cut.config.keeps_scenes

    @property
    def may_ask_again(self) -> bool:
        """A model that does the same wrong thing each time is paid for each time, too."""
        return self.wasted < max(LEAST_WASTED, MAX_WASTED_PER_PART * len(self.cut.pieces))

    async def in_a_thread(self, work: Callable[..., T], *given: Any) -> T:
        return await self.thread.run(work, *given)

    def take(self, start: int, end: int, text: str, target: Target, model: str) -> None:
        """A model's answer to a stretch, now or kept."""
        if self.target is None:
            self.target, self.model = target, model or target.model
            self.first_answer.set()
        if not self.keeps_scenes and self.cut.mode != "reduce":
            text = self._spaced(end, text)
        self._decide(start, end, text)

    def leave(self, part: int, section: Section, why: str) -> None:
        """Nobody answers this stretch: what it is in the script it is in the answer, unless that
        is a text about it."""
        if self.cut.mode == "reduce":
            text, what = "", "nothing in the answer is about it"
        else:
            text = self._source(section)
            what = "the source's text stands here"
        self._decide(section.start, section.end, text)
        self.flag(part, section, f"{what}; {why}")

    def _source(self, section: Section) -> str:
        """Of the script; what the user asked for in front of it is none of it."""
        script = self.cut.script
        text = script.text[section.start : section.end]
        if not script.is_script:
            return text
        text = text[: max(0, closing_start(script.text) - section.start)]
        is_opening = section.kind is Kind.FRONT and not section.start
        return without_instructions(text) if is_opening else text

    def flag(self, part: int, section: Section, why: str) -> None:
        self.tally.flag(part, label(self.cut.script, section), why)

    def answer_before(self, start: int) -> str | None:
        """The end of the answer so far, where parts are told of it."""
        return self._tails.get(start)

    def tell(self) -> None:
        """Write down what is known by now, for whoever makes a head or a record of it."""
        if self.target is not None:
            self.journey.target = self.target
        self.tally.tell(self.journey)

    def _decide(self, start: int, end: int, text: str) -> None:
        if self.cut.mode == "refine":
            before = self._tails.pop(start, "")
            self._tails[end] = (before + text)[-TAIL_CHARS:]
        self.ordering.decide(start, end, text)

    def _spaced(self, end: int, text: str) -> str:
        """The space between two stretches is the script's own."""
        script = self.cut.script.text
        if end == len(script):
            return text
        written = script[:end].rstrip()
        return text.rstrip() + script[len(written) : end]
