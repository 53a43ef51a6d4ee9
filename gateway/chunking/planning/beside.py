"""Is the script in one place? Whoever sends it in two messages wants both answered, and only the
longest text of a user is cut."""

from __future__ import annotations

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind

from .frame import Frame

MIN_CHARS = 200
"""Shorter texts are wishes and samples."""
MIN_HEADINGS = 2


def goes_on_beside(frame: Frame) -> bool:
    """Whether the user's other texts of this turn have scenes, and other ones than the script.
    Scenes that are the same are of a sample, or of an older version."""
    texts = [text for text in frame.texts_of_the_turn() if len(text) >= MIN_CHARS]
    if not texts:
        return False
    own = _names(frame.script)
    names = [_names(text) for text in texts]
    return any(len(n) >= MIN_HEADINGS and own and not _is_shared(n, own) for n in names)


def _names(text: str) -> frozenset[tuple[Kind, str]]:
    return frozenset((s.kind, s.name) for s in parse(text).sections if s.name)


def _is_shared(names: frozenset[tuple[Kind, str]], others: frozenset[tuple[Kind, str]]) -> bool:
    """Episodes tell, where both have some: scenes may begin at 1 in each."""
    episodes, theirs = ({n for n in of if n[0] is Kind.EPISODE} for of in (names, others))
    return bool(episodes & theirs if episodes and theirs else names & others)
