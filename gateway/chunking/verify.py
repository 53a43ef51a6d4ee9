"""Is the answer to a part what was asked for? What is certain is mended, the rest is named.

The answer is aligned with the part section by section. Headings, the space between sections and
line ends come from the source; a section that differs in white space only is the source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from .checking.asked import Asked
from .checking.faults import Checked, Fault, FaultKind
from .checking.mending import Mended, unwrapped, without_thinking
from .checking.phrases import REFUSAL
from .checking.reading import Reading
from .checking.squeezing import first_line, squeezed, with_newlines
from .script import Script, Section

__all__ = ["Checked", "Fault", "FaultKind", "check", "sections_of"]

MAX_REFUSAL_CHARS = 600
"""An answer that is no script and longer is no refusal."""

_CUT: Mapping[str, FaultKind] = {
    "length": FaultKind.LENGTH,
    "content_filter": FaultKind.FILTERED,
}
"""Reasons to finish that mean that an answer is not whole."""


def sections_of(script: Script, start: int, end: int) -> list[Section]:
    """The sections of a stretch, clipped to it; one that began before it has no heading here."""
    found = []
    first = bisect_right(script.sections, start, key=lambda section: section.start) - 1
    for index in range(max(first, 0), len(script.sections)):
        section = script.sections[index]
        if section.start >= end:
            break
        heading_end = start if section.start < start else min(section.heading_end, end)
        clipped = section._replace(
            start=max(section.start, start), heading_end=heading_end, end=min(section.end, end)
        )
        found.append(clipped)
    return found


def check(
    script: Script,
    sections: Sequence[Section],
    answer: str,
    finish_reason: str | None,
    fence: str,
    context: str,
    keeps_scenes: bool,
    is_translation: bool = False,
) -> Checked:
    """What of an answer may be merged, and what was wrong with it. Time is linear in its size.

    ``sections``: those of the stretch that was asked for, from ``sections_of``. ``fence``: the
    random mark of the context; ``context``: what the model was given for reading only;
    ``is_translation``: a message beside the script asks for another language.
    A section whose only fault is NUMBERS has a text: ask again once, then take it.
    """
    if not sections:
        return Checked((), ())
    asked = Asked(script, tuple(sections), context, is_translation)
    cut = _CUT.get(finish_reason or "")
    if fence and fence in answer and fence not in asked.source:
        return _nothing(asked, Fault(FaultKind.LEAKED, "the context's own mark", None, False))
    if not keeps_scenes:
        return _check_text(asked, answer, cut)
    if cut is None and answer == asked.source:
        return _untouched(asked)
    mended = unwrapped(with_newlines(answer, "\n"), asked.plain)
    if fault := _of_no_use(asked, mended, cut):
        return _nothing(asked, *dict.fromkeys((*mended.faults, fault)))
    if cut is None and squeezed(mended.text) == asked.squeezed_source:
        return _untouched(asked, mended.faults)
    reading = Reading(asked, mended.text, cut)
    if reading.is_of_no_use and (fault := _refusal(asked, mended.text)):
        return _nothing(asked, fault)
    texts, faults = reading.checked()
    return Checked(texts, mended.faults + faults)


def _check_text(asked: Asked, answer: str, cut: FaultKind | None) -> Checked:
    """An answer that is no script: it has to be there, whole, and no refusal."""
    mended = without_thinking(answer, asked.source)
    fault = _of_no_use(asked, mended, cut) or _refusal(asked, mended.text)
    if fault is None and cut is not None:
        fault = Fault(cut, "the answer ended early", 0, False)
    if fault is not None:
        return Checked((None,), tuple(dict.fromkeys((*mended.faults, fault))))
    return Checked((mended.text,), mended.faults)


def _of_no_use(asked: Asked, mended: Mended, cut: FaultKind | None) -> Fault | None:
    """Why there is nothing to read in an answer."""
    if squeezed(mended.text) or not asked.squeezed_source:
        return None
    if mended.faults and not mended.faults[-1].is_mended:
        return mended.faults[-1]
    if cut is not None:
        return Fault(cut, "the answer ended before it began", None, False)
    return Fault(FaultKind.EMPTY, "there is nothing in the answer", None, False)


def _refusal(asked: Asked, text: str) -> Fault | None:
    line = first_line(text)
    if len(text) > MAX_REFUSAL_CHARS or not REFUSAL.match(line):
        return None
    if squeezed(line) in asked.own_lines:
        return None
    return Fault(FaultKind.REFUSED, line.strip()[:100], None, False)


def _untouched(asked: Asked, faults: tuple[Fault, ...] = ()) -> Checked:
    return Checked(tuple(asked.script.text[s.start : s.end] for s in asked.sections), faults)


def _nothing(asked: Asked, *faults: Fault) -> Checked:
    return Checked((None,) * len(asked.sections), faults)
