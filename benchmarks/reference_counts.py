"""Counts texts with the tokenizers that the vocabularies come from; for development only.

    python -m benchmarks.reference_counts O200K VOCABULARIES

The arguments are those of ``pack_vocabularies``. Needs tiktoken 0.14 and tokenizers 0.23, which the
project does not; writes ``tests/chunking/token_references.json``, which its tests are held to.
"""

from __future__ import annotations

import argparse
import base64
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import tiktoken
from tokenizers import Tokenizer

from benchmarks.pack_vocabularies import SOURCES
from tests.chunking.scripts import STYLES, write_script

OUT = Path(__file__).resolve().parent.parent / "tests" / "chunking" / "token_references.json"
O200K_PIECES = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
"""As in tiktoken 0.14.0, ``tiktoken_ext/openai_public.py`` (read 2026-11-23)."""

ODD = (
    "abc ABC's",
    "你我他的一是",
    "  \t\n\r\u3000",
    "0123456789１２",
    "，。！？“”…—",
    "😀👨‍👩‍👧\u200b\u200d\ufeff",
    "<|endoftext|><think></s>[INST]",
    "éàü\u0301\u0308ñ한국어日本ひカЖ",
    "\U00020000\U0002a6d6𠮷",
    "!@#$%^&*()_+-=/\\",
)
ODD_TEXTS = 120
OTHERS = {
    "qwen before 3.5": "qwen-3",
    "minimax": "minimax-m3",
    "llama 3": "deepseek-r1-distill-llama-8b",
}
"""Families that count by a factor, and whose vocabulary they are held to."""
LONG_TEXTS = 8


def texts() -> Iterator[str]:
    """The beginning of a script in each style, and mixtures of everything odd."""
    yield from (write_script(style, episodes=1, scenes=1, seed=4)[:240] for style in STYLES)
    random = Random(2026)
    for _ in range(ODD_TEXTS):
        length = random.randint(1, 60)
        yield "".join(random.choice(random.choice(ODD)) for _ in range(length))


def long_texts() -> Iterator[str]:
    """Long enough for a factor to mean something."""
    for style in STYLES[:: max(1, len(STYLES) // LONG_TEXTS)]:
        yield write_script(style, episodes=1, scenes=5, seed=5)[:1500]


Count = Callable[[str], int]


def references(o200k: Path, vocabularies: Path) -> dict[str, Count]:
    found = {"o200k_base": _openai(o200k)}
    return found | {name: _published(vocabularies, folder) for name, folder in SOURCES.items()}


def _openai(o200k: Path) -> Count:
    lines = o200k.read_bytes().splitlines()
    ranks = {base64.b64decode(line.split()[0]): rank for rank, line in enumerate(lines)}
    openai = tiktoken.Encoding(
        "o200k_base", pat_str=O200K_PIECES, mergeable_ranks=ranks, special_tokens={}
    )
    return lambda text: len(openai.encode_ordinary(text))


def _published(vocabularies: Path, folder: str) -> Count:
    with zipfile.ZipFile(vocabularies / folder / "tokenizer.json.zip") as archive:
        definition = json.loads(archive.read(archive.namelist()[0]))
    definition |= {"added_tokens": [], "post_processor": None}
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    return lambda text: len(tokenizer.encode(text).ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("o200k", type=Path)
    parser.add_argument("vocabularies", type=Path)
    options = parser.parse_args()
    exact = references(options.o200k, options.vocabularies)
    others = {name: _published(options.vocabularies, folder) for name, folder in OTHERS.items()}
    found = {
        "exact": [_row(text, exact) for text in texts()],
        "by_factor": [_row(text, others) for text in long_texts()],
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _row(text: str, counts: dict[str, Count]) -> dict[str, str | int]:
    return {"text": text, **{name: count(text) for name, count in counts.items()}}


if __name__ == "__main__":
    main()
