"""What the tests of answers to parts have in common: a script that is asked for, and a verdict."""

from __future__ import annotations

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Script, Section
from gateway.chunking.verify import Checked, FaultKind, check, sections_of

FENCE = "a7f3c9d2e1b4"


class Asked:
    """A stretch of a script that a model was asked for."""

    def __init__(self, text: str, start: int = 0, end: int | None = None) -> None:
        self.script: Script = parse(text)
        self.start, self.end = start, len(text) if end is None else end
        self.sections: list[Section] = sections_of(self.script, self.start, self.end)
        self.source = text[self.start : self.end]

    def texts(self) -> list[str]:
        """Of each section."""
        return [self.script.text[s.start : s.end] for s in self.sections]

    def index(self, heading: str) -> int:
        """The first section that begins with a heading."""
        return next(i for i, text in enumerate(self.texts()) if text.startswith(heading))

    def check(
        self,
        answer: str,
        finish_reason: str | None = "stop",
        *,
        context: str = "",
        keeps_scenes: bool = True,
    ) -> Checked:
        return check(
            self.script, self.sections, answer, finish_reason, FENCE, context, keeps_scenes
        )


def open_faults(checked: Checked) -> list[tuple[FaultKind, int | None]]:
    return [(fault.kind, fault.section) for fault in checked.faults if not fault.is_mended]


def mended(checked: Checked) -> list[FaultKind]:
    return [fault.kind for fault in checked.faults if fault.is_mended]


def missing(checked: Checked) -> list[int]:
    """Sections that are not to be merged."""
    return [index for index, text in enumerate(checked.texts) if text is None]
