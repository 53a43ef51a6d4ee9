"""Takes ``<think>…</think>`` out of an answer's text, however its pieces are cut.

Models that think aloud write their thinking in front of the answer, and servers without a parser
for it send both as one text (https://docs.vllm.ai/en/stable/features/reasoning_outputs/, read
2026-11-23). Clients expect the thinking in ``reasoning_content``.

Only what stands in front of the first visible character is thinking. Tags in the visible text are
text: somebody may write about them.
"""

from __future__ import annotations

from enum import Enum

OPENING, CLOSING = "<think>", "</think>"
MAX_BLANKS = 1000
"""Behind more blank characters than these there is no tag to wait for."""


class _Part(Enum):
    """Where in an answer the next character stands."""

    START = 1
    OPENED = 2
    """Behind the opening tag; blank lines at either seam belong to the tags."""
    THINKING = 3
    CLOSED = 4
    TEXT = 5


class ThinkingSplitter:
    """One answer's text. ``settled`` once all that can follow is visible text.

    ``opened`` says that the prompt had the opening tag already, so that the answer begins with
    thinking; an opening tag that comes all the same is taken out.
    """

    __slots__ = ("_opened", "_part", "_waiting")

    def __init__(self, opened: bool = False) -> None:
        self._opened = opened
        self._part = _Part.START
        self._waiting = ""
        """What may yet turn out to be a tag, or blank space in front of one."""

    @property
    def settled(self) -> bool:
        return self._part is _Part.TEXT

    def settle(self) -> None:
        """The upstream separates the thinking itself."""
        if self._part is _Part.START and not self._waiting:
            self._part = _Part.TEXT

    def feed(self, piece: str) -> tuple[str, str]:
        """The thinking and the visible text that a piece completes."""
        if self._part is _Part.TEXT:
            return "", piece
        text, self._waiting = self._waiting + piece, ""
        thinking = ""
        if self._part is _Part.START:
            text = self._start(text)
        if self._part is _Part.OPENED:
            text = self._skip_blanks(text, _Part.THINKING)
        if self._part is _Part.THINKING:
            thinking, text = self._think(text)
        if self._part is _Part.CLOSED:
            text = self._skip_blanks(text, _Part.TEXT)
        return thinking, text

    def flush(self) -> tuple[str, str]:
        """At the end: what was held back is what it looks like. Idempotent."""
        waiting, self._waiting = self._waiting, ""
        if self._part is _Part.THINKING:
            return waiting, ""
        if self._part is _Part.START:
            self._part = _Part.TEXT
        return "", waiting

    def _skip_blanks(self, text: str, then: _Part) -> str:
        text = text.lstrip()
        if text:
            self._part = then
        return text

    def _start(self, text: str) -> str:
        """Find out what the answer begins with; the text behind its opening tag, if it has one."""
        begun = text.lstrip()
        if len(text) - len(begun) <= MAX_BLANKS:
            if begun.startswith(OPENING):
                self._part = _Part.OPENED
                return begun[len(OPENING) :]
            if OPENING.startswith(begun):
                self._waiting = text
                return ""
        self._part = _Part.OPENED if self._opened else _Part.TEXT
        return text

    def _think(self, text: str) -> tuple[str, str]:
        thinking, closing, rest = text.partition(CLOSING)
        if closing:
            self._part = _Part.CLOSED
            return thinking, rest
        kept = _end_that_may_begin(CLOSING, text)
        self._waiting = text[len(text) - kept :]
        return text[: len(text) - kept], ""


def split_thinking(text: str, opened: bool = False, cut: bool = False) -> tuple[str, str]:
    """The thinking and the visible text of a whole answer.

    A whole answer shows what a stream cannot know in time: without a closing tag, a model whose
    prompt had the opening one did not think at all, unless the answer was ``cut`` at its cap.
    """
    if opened and not cut and CLOSING not in text:
        opened = False
    splitter = ThinkingSplitter(opened)
    thinking, visible = splitter.feed(text)
    last_thinking, last_visible = splitter.flush()
    return thinking + last_thinking, visible + last_visible


def _end_that_may_begin(tag: str, text: str) -> int:
    """How many characters at the end of ``text`` are the beginning of ``tag``."""
    longest = min(len(tag) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if tag.startswith(text[-n:])), 0)
