"""What became of the parts of a call: for its record, and for the ``daobo`` field of its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.chunking.script import Kind, Script, Section
from gateway.journey import Journey
from gateway.schema import PartCounts, Target

MAX_FLAGS = 100
"""Sentences that a record keeps; the answer's own field lists all."""
LABEL_CHARS = 60


def label(script: Script, section: Section) -> str:
    """What a section is called in front of people."""
    if section.kind is Kind.FRONT:
        return str(Kind.FRONT)
    if section.name:
        return f"episode {section.name}" if section.kind is Kind.EPISODE else section.name
    heading = " ".join(script.text[section.start : section.heading_end].split())
    return heading[:LABEL_CHARS] or str(section.kind)


@dataclass(slots=True)
class PartFacts:
    """One part, as it goes."""

    number: int
    sections: tuple[str, ...]
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 0
    """Of all requests for it, those whose answers were of no use included."""
    target: str = ""
    """Which answered last."""
    requests: int = 0
    is_answered: bool = False
    """Something of it is a model's, now or kept."""
    is_mended: bool = False
    has_kept: bool = False
    has_source: bool = False

    @property
    def result(self) -> str:
        """The name of a field of ``PartCounts``."""
        if self.has_source:
            return "source"
        if self.requests > 1 or (self.requests and self.has_kept):
            return "repeated"
        if self.has_kept:
            return "kept"
        return "mended" if self.is_mended else "answered"

    def sent(self, part: Journey) -> None:
        """A request for it is over, whatever became of that."""
        self.requests += 1
        self.attempts += len(part.attempts)
        for attempt in part.attempts:
            self.input_tokens += attempt.usage.total_input_tokens
            self.output_tokens += attempt.usage.total_output_tokens

    def answered(self, target: Target) -> None:
        """Some of it, now or earlier."""
        self.is_answered = True
        self.target = target.name

    def shown(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "sections": list(self.sections),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "attempts": self.attempts,
            "result": self.result,
            "target": self.target,
        }


@dataclass
class Tally:
    """All parts of a call."""

    mode: str
    parts: Sequence[PartFacts]
    flagged: list[dict[str, Any]] = field(default_factory=list)

    def flag(self, part: int, section: str, why: str) -> None:
        """Something in the answer is not what was asked for."""
        found = {"part": part, "section": section, "why": why}
        if found not in self.flagged[-1:]:
            self.flagged.append(found)

    def tell(self, journey: Journey) -> None:
        """Write down what is known by now."""
        results = Counter(part.result for part in self.parts if part.is_answered or part.has_source)
        journey.parts = PartCounts(**results)
        told = [f"part {f['part']}, {f['section']}: {f['why']}" for f in self.flagged[:MAX_FLAGS]]
        if len(self.flagged) > MAX_FLAGS:
            told.append(f"and {len(self.flagged) - MAX_FLAGS} more")
        journey.flags = tuple(told)

    def metadata(self) -> dict[str, Any]:
        """What an answer says of how it was made."""
        return {
            "mode": self.mode,
            "parts": [part.shown() for part in self.parts],
            "retries": sum(max(0, part.attempts - 1) for part in self.parts),
            "flagged": self.flagged,
        }
