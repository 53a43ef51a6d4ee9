"""How many tokens is a text? An estimate, from the characters alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MESSAGE_OVERHEAD_TOKENS = 4
IMAGE_TOKENS = 1_000
"""A round figure for one image; providers bill between 85 and some 1,600."""

WIDE_TOKENS_PER_CHAR = 0.70
NARROW_TOKENS_PER_CHAR = 0.27
"""o200k on Chinese prose gives 0.86 a character, DeepSeek, Qwen and GLM 0.64 to 0.72; on English
0.27. The estimate leans to the low side: it refuses only what surely does not fit, and what is
close is left to the upstream, which knows."""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, by its characters within ASCII and beyond."""
    narrow = len(text.encode("ascii", "ignore"))
    wide = len(text) - narrow
    return int(wide * WIDE_TOKENS_PER_CHAR + narrow * NARROW_TOKENS_PER_CHAR) + 1


def estimate_chat_tokens(body: Mapping[str, Any]) -> int:
    """Input tokens of a chat completion: texts, images and the frame around each message."""
    total = 0
    for message in body["messages"]:
        total += MESSAGE_OVERHEAD_TOKENS
        for text in _texts(message.get("content")):
            total += IMAGE_TOKENS if text is None else estimate_tokens(text)
    return total


def _texts(content: Any) -> Iterator[str | None]:
    """The texts of a message's content; None stands for a part that is not text."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text")
            yield text if isinstance(text, str) else None


def estimate_embedding_tokens(body: Mapping[str, Any]) -> int:
    """Input tokens of an embeddings call: texts, or tokens that the client has counted itself."""
    items = body["input"]
    if isinstance(items, str):
        return estimate_tokens(items)
    return sum(map(_item_tokens, items))


def _item_tokens(item: Any) -> int:
    if isinstance(item, str):
        return estimate_tokens(item)
    return len(item) if isinstance(item, list) else 1
