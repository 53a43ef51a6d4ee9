"""Counters for tests: what they count is plain to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class PlainCounter:
    """Counts with a function, and remembers what it was asked."""

    name = "plain"

    def __init__(self, measure: Callable[[str], int] = len) -> None:
        self._measure = measure
        self.calls = 0
        self.chars = 0
        self.longest_chars = 0

    def count(self, text: str) -> int:
        self.calls += 1
        self.chars += len(text)
        self.longest_chars = max(self.longest_chars, len(text))
        return self._measure(text)

    def count_all(self, texts: Sequence[str]) -> list[int]:
        return [self.count(text) for text in texts]


def utf8_bytes(text: str) -> int:
    return len(text.encode())


def dearer_together(text: str) -> int:
    """Two stretches have fewer tokens than they have together, which no estimate foresees."""
    return len(text) + len(text) ** 2 // 500
