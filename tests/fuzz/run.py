"""Fuzzes one entry point with atheris: ``python -m tests.fuzz.run NAME [libFuzzer's options]``.

Without a name, the names. A crash leaves its input beside the corpus; kept under ``finds/NAME/``
it is a test for ever.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

from .bending import bend

with atheris.instrument_imports(include=["gateway", "gateway_anthropic", "gateway_gemini"]):
    from .entry_points import ENTRY_POINTS, MAX_BYTES, registry, seeds


def main() -> None:
    if len(sys.argv) == 1:
        print(*ENTRY_POINTS, sep="\n")
        return
    name, *options = sys.argv[1:]
    registry()
    check = ENTRY_POINTS[name]
    folder = Path(tempfile.gettempdir()) / "daobo-fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (folder / f"seed-{number:03}").write_bytes(seed)
    arguments = [sys.argv[0], str(folder), f"-artifact_prefix={folder.parent}/{name}-"]
    arguments += [f"-max_len={min(MAX_BYTES, 8192)}", "-timeout=20", *options]
    atheris.Setup(arguments, lambda data: check(bytes(data)), custom_mutator=_mutate)
    atheris.Fuzz()


def _mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
    random = Random(seed)
    if random.random() < 0.5:
        bent = bend(bytes(data), random)
        if len(bent) <= max_bytes:
            return bent
    return bytes(atheris.Mutate(data, len(data)))


if __name__ == "__main__":
    main()
