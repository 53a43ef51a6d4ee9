"""Vectors without a model: texts that share letters point the same way.

Each character and each pair of neighbours is hashed to one dimension and one sign, the sum is
scaled to length one. https://platform.openai.com/docs/api-reference/embeddings (read 2026-11-22).
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from zlib import crc32

import orjson

from .completion import estimate_tokens
from .replies import Reply, bad_request

DEFAULT_DIMENSIONS = 256
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 8192


def embeddings_reply(body: Mapping[str, Any]) -> Reply:
    texts = inputs_of(body.get("input"))
    dimensions = body.get("dimensions")
    dimensions = DEFAULT_DIMENSIONS if dimensions is None else dimensions
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise bad_request(f"'dimensions' must be from 1 to {MAX_DIMENSIONS}.", "dimensions")
    as_base64 = body.get("encoding_format") == "base64"
    tokens = sum(estimate_tokens(text) for text in texts)
    data = []
    for index, text in enumerate(texts):
        packed = struct.pack(f"<{dimensions}f", *unit_vector(text, dimensions))
        embedding = (
            b64encode(packed).decode() if as_base64 else struct.unpack(f"<{dimensions}f", packed)
        )
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    answer = {
        "object": "list",
        "data": data,
        "model": body.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Reply(200, (orjson.dumps(answer),))


def inputs_of(given: Any) -> list[str]:
    """``input`` is a text, a list of texts, a list of token ids, or a list of such lists."""
    items = given if isinstance(given, list) else [given]
    if items and all(isinstance(item, int) for item in items):
        items = [items]
    texts = [" ".join(map(str, item)) if isinstance(item, list) else item for item in items]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise bad_request("'input' must be a text or a list of texts, none empty.", "input")
    if len(texts) > MAX_INPUTS:
        raise bad_request(f"'input' has more than {MAX_INPUTS} texts.", "input")
    if any(estimate_tokens(text) > MAX_INPUT_TOKENS for text in texts):
        raise bad_request(
            f"One text of 'input' has more than {MAX_INPUT_TOKENS} tokens.",
            "input",
            "context_length_exceeded",
        )
    return texts


def unit_vector(text: str, dimensions: int) -> list[float]:
    sums = [0] * dimensions
    folded = text.casefold()
    for feature in (*folded, *map("".join, pairwise(folded))):
        digest = crc32(feature.encode())
        sums[(digest >> 1) % dimensions] += 1 if digest & 1 else -1
    length = math.sqrt(sum(value * value for value in sums))
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)
    return [value / length for value in sums]
