"""What can be wrong with the answer to a part."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class FaultKind(StrEnum):
    """What is wrong with an answer."""

    LENGTH = "length"
    """It was cut at its cap: the last section that it reached and those behind are not there."""
    FILTERED = "filtered"
    """It was cut by a content filter; as with LENGTH."""
    EMPTY = "empty"
    REFUSED = "refused"
    THINKING = "thinking"
    """Thinking in tags. Mended if it was closed."""
    FENCED = "fenced"
    """A Markdown fence or a tag around all."""
    PREAMBLE = "preamble"
    """Words to the user in front, or anything else that no section has room for."""
    EPILOGUE = "epilogue"
    """Words to the user, or notes on the work, behind."""
    LEAKED = "leaked"
    """Text that was for reading only: the context, its marker, the whole prompt."""
    MISSING = "missing"
    DOUBLED = "doubled"
    """A section came twice. Mended if both are the same."""
    SWAPPED = "swapped"
    """The same sections in another order. Always mended."""
    RENUMBERED = "renumbered"
    """Other headings over the same sections. Always mended."""
    MERGED = "merged"
    """A section has taken in the text of one that is missing."""
    MISPLACED = "misplaced"
    """Under its heading stands the text of another section."""
    EXTRA = "extra"
    """A section that was not asked for. Mended if it is the next one of the script."""
    FRONT = "front"
    """What stands before the first heading is missing, in part or all of it. Always mended."""
    SHORT = "short"
    LONG = "long"
    TRUNCATED = "truncated"
    """It stops before its source does, though it was not cut."""
    OMITTED = "omitted"
    """Words that stand for text: "rest unchanged"."""
    LANGUAGE = "language"
    LOOPED = "looped"
    """The same words over and over."""
    NUMBERS = "numbers"
    """Numbers differ. The section has a text all the same: ask again once, then take it."""


class Fault(NamedTuple):
    kind: FaultKind
    detail: str
    """For people: what was found."""
    section: int | None
    """Which of the part's sections, from 0; None: the answer as a whole."""
    is_mended: bool
    """Nothing has to be asked again for it."""


class Checked(NamedTuple):
    """The texts of an answer that may be merged. ``"".join`` puts them together."""

    texts: tuple[str | None, ...]
    """For each section its new text; None: not to be merged. One for all if scenes are not kept."""
    faults: tuple[Fault, ...]
