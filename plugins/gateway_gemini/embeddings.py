"""OpenAI's embeddings through ``batchEmbedContents``.

https://ai.google.dev/api/embeddings (read 2026-11-22): one request per text, answered in the same
order with floats. A client's ``task_type`` (Google's word) is passed on.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from struct import pack
from typing import Any

import orjson

from gateway import Answer, CallError, EmbeddingRequest, Outcome, Usage, load_object

from .errors import garbled_if_misshapen, raise_error_in
from .usage import read_usage_metadata

_CARRIED = {"model", "input", "encoding_format", "dimensions", "task_type"}


def write_embeddings(request: EmbeddingRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The upstream's body, and the client's fields that it has no place for."""
    body = request.body
    resource = request.model if "/" in request.model else f"models/{request.model}"
    options = {
        name: value
        for name, value in (
            ("taskType", body.get("task_type")),
            ("outputDimensionality", body.get("dimensions")),
        )
        if value is not None
    }
    requests = [
        {"model": resource, "content": {"parts": [{"text": text}]}, **options}
        for text in _texts(body.get("input"))
    ]
    dropped = tuple(
        name for name, value in body.items() if name not in _CARRIED and value is not None
    )
    return {"requests": requests}, dropped


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CallError(
            Outcome.UNSUPPORTED,
            "Gemini embeds a string or a list of strings, not token ids",
            param="input",
        )
    return texts


def read_embeddings(request: EmbeddingRequest, body: bytes) -> Answer:
    """An embeddings list, as floats or base64 of little-endian float32 as the client asked.

    Where Google reports no usage the body says 0, which OpenAI's types demand, and the answer's
    ``usage`` is None.
    """
    answer = load_object(body)
    raise_error_in(answer)
    as_base64 = request.body.get("encoding_format") == "base64"
    with garbled_if_misshapen():
        usage = read_usage_metadata(answer.get("usageMetadata"))
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(item["values"]) if as_base64 else item["values"],
            }
            for index, item in enumerate(answer["embeddings"])
        ]
    prompt_tokens = (usage or Usage()).total_input_tokens
    reply = {
        "object": "list",
        "data": data,
        "model": request.model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }
    return Answer(orjson.dumps(reply), usage)


def _base64(values: Sequence[float]) -> str:
    return b64encode(pack(f"<{len(values)}f", *values)).decode()
