"""What a language has to bring along to write scripts: a cast, sentences, and page layouts."""

from __future__ import annotations

from dataclasses import dataclass

Line = tuple[str, str]
"""How it is said, and what."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One language's stock. ``{a}`` and ``{b}`` in a sentence are the two leads."""

    code: str
    casts: tuple[tuple[str, str], ...]
    scenes: tuple[tuple[str, str, str], ...]
    """Heading, opening, and a last picture that makes one want the next episode."""
    exchanges: tuple[tuple[Line, Line], ...]
    """What the first lead says, and what the second answers; they fit in any order."""
    beats: tuple[str, ...]
    """Small actions that let a line breathe."""
    fillers: tuple[str, ...]
    """Words that a tighter draft does without."""
    pictures: tuple[str, ...]
    sizes: tuple[str, ...]
    moves: tuple[str, ...]
    sounds: tuple[str, ...]
    strengths: tuple[str, ...]
    concerns: tuple[str, ...]
    """What is wrong with the quoted ``{line}``, and how to mend it."""
    next_steps: tuple[str, ...]

    quote: str
    untitled: str
    scene: str
    """Page of a scene: ``topic``, ``heading``, ``a``, ``b``, ``body``."""
    action: str
    speech: str
    """One speech: ``name``, ``mood``, ``line``."""
    board: str
    """Page of a storyboard: ``topic``, ``shots``, ``count``, ``total_s``."""
    shot: str
    """One shot: ``number``, ``size``, ``move``, ``duration_s``, ``picture``, ``sound``."""
    review: str
    """Page of a review: ``topic``, ``score``, ``strengths``, ``concerns``, ``next_step``."""
    tool_told: str
    """The answer after a tool's: ``result``."""
