"""How a model counts, by its id: with a vocabulary of its own, or with another's and a factor.

Which family counts how stands in ``vocabularies/families.json``. ``docs/tokens.md`` says on which
texts the factors were measured, and how far off they are; ``benchmarks/token_factors.py``
measures them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import orjson

from .vocabulary import FOLDER, Vocabulary, vocabulary_of

_WIDE_TOKENS_PER_CHAR = 0.80
_NARROW_TOKENS_PER_CHAR = 0.25
"""Of o200k, beyond ASCII and within it."""


class ModelFamily(NamedTuple):
    """Models that count alike."""

    name: str
    models: re.Pattern[str]
    """Found in the model's id; the first family that fits is taken, and the last fits all."""
    vocabulary: Vocabulary
    wide: float
    """Tokens for one of the vocabulary's in text beyond ASCII, which is Chinese here."""
    narrow: float
    """… and in ASCII."""


class FamilyCounter:
    """Counts by a family's vocabulary and its factor for the script of the text."""

    def __init__(self, family: ModelFamily) -> None:
        self.name = family.name
        self._family = family

    @property
    def is_loaded(self) -> bool:
        """Whether a count begins at once, without reading the vocabulary first."""
        return self._family.vocabulary.is_loaded

    @property
    def described(self) -> str:
        """``gpt, by o200k_base``; ``minimax, by glm4_5 x 0.92 on Chinese and x 1.02 on ASCII``."""
        _, _, vocabulary, wide, narrow = self._family
        exactly = wide == narrow == 1
        factors = "" if exactly else f" x {wide:.2f} on Chinese and x {narrow:.2f} on ASCII"
        return f"{self.name}, by {vocabulary.name}{factors}"

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._scaled(text, self._family.vocabulary.count(text))

    def count_all(self, texts: Sequence[str]) -> list[int]:
        """``count`` of each."""
        return list(map(self._scaled, texts, self._family.vocabulary.count_all(texts)))

    def _scaled(self, text: str, tokens: int) -> int:
        wide, narrow = self._family.wide, self._family.narrow
        if wide == narrow == 1:
            return tokens
        share = wide_share(text)
        return math.ceil(tokens * (wide * share + narrow * (1 - share)))


def wide_share(text: str) -> float:
    """The part of a text's tokens that stands for characters beyond ASCII, roughly."""
    narrow_chars = len(text.encode("ascii", "ignore"))
    narrow = narrow_chars * _NARROW_TOKENS_PER_CHAR
    wide = (len(text) - narrow_chars) * _WIDE_TOKENS_PER_CHAR
    return wide / (wide + narrow) if text else 0.0


@cache
def families() -> tuple[ModelFamily, ...]:
    """In the order in which they are tried."""
    return tuple(
        ModelFamily(
            row["name"],
            re.compile(row["models"], re.IGNORECASE),
            vocabulary_of(row["vocabulary"]),
            row["wide"],
            row["narrow"],
        )
        for row in orjson.loads((FOLDER / "families.json").read_bytes())
    )


@lru_cache(maxsize=1024)
def counter_of(model: str) -> FamilyCounter:
    """For a model id as its provider knows it, with or without an organisation in front."""
    return FamilyCounter(next(family for family in families() if family.models.search(model)))
