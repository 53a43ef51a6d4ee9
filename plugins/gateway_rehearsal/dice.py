"""Chance without chance: rolls that depend on nothing but the words they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """The same seeds give the same rolls, in every process and on every machine."""

    def __init__(self, *seeds: object) -> None:
        text = "\x1f".join(str(seed) for seed in seeds)
        self._key = blake2b(text.encode(), digest_size=32).digest()
        self._rolls = 0

    def roll(self, sides: int) -> int:
        """A number in ``range(sides)``."""
        self._rolls += 1
        digest = blake2b(self._rolls.to_bytes(8, "little"), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little") % sides

    def fraction(self) -> float:
        """In [0, 1)."""
        return self.roll(1 << 53) / (1 << 53)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.roll(len(options))]

    def deal(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` different options, or all of them if there are fewer, in dealt order."""
        pile = list(options)
        return [pile.pop(self.roll(len(pile))) for _ in range(min(count, len(pile)))]
