"""How many tokens is a text? An estimate from its characters, or a count.

An estimate takes microseconds and leans to the low side; it refuses only what surely does not
fit. A count takes a worker thread and leans to the high side; what is cut by it fits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from gateway.schema import Target

from .counting.model_families import counter_of

MESSAGE_OVERHEAD_TOKENS = 4
IMAGE_TOKENS = 1_000
"""A round figure for one image; providers bill between 85 and some 1,600."""

STRUCTURED_FIELDS = frozenset(
    {"tools", "functions", "response_format", "tool_calls", "function_call", "reasoning_content"}
)
"""Of a call or a message: providers write them into the prompt, each in a way of its own."""

WIDE_TOKENS_PER_CHAR = 0.70
NARROW_TOKENS_PER_CHAR = 0.27
"""o200k on Chinese prose gives 0.86 a character, DeepSeek, Qwen and GLM 0.64 to 0.72; on English
0.27. The estimate leans to the low side: it refuses only what surely does not fit, and what is
close is left to the upstream, which knows."""


class Counter(Protocol):
    """Counts tokens as one family of models does. Thread-safe; blocks, so made for threads.

    No text has more tokens than UTF-8 bytes: compare the bytes first, most calls need no count.
    """

    name: str
    """The family, for logs and messages."""

    def count(self, text: str) -> int:
        """Linear in the text, whatever is in it; raises nothing."""
        ...

    def count_all(self, texts: Sequence[str]) -> list[int]:
        """``count`` of each text."""
        ...


def counter_for(target: Target) -> Counter:
    """By the family that the model's id names. Its vocabulary is loaded by the first count."""
    return counter_of(target.model)


def how_counted(target: Target) -> str:
    """The family that the model's id names, and by what it is counted, for people."""
    return counter_of(target.model).described


def count_chat(body: Mapping[str, Any], counter: Counter) -> int:
    """Input tokens of a chat completion: messages, images, and tools as their JSON."""
    messages = body["messages"]
    contents = [text for message in messages for text in _texts(message.get("content"))]
    texts = [text for text in contents if text is not None]
    texts += _structures([body, *messages])
    images = len(contents) - sum(text is not None for text in contents)
    frames = len(messages) * MESSAGE_OVERHEAD_TOKENS
    return frames + images * IMAGE_TOKENS + sum(counter.count_all(texts))


def _structures(holders: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for holder in holders:
        for field in STRUCTURED_FIELDS & holder.keys():
            if holder[field]:
                yield json.dumps(holder[field], ensure_ascii=False, default=str)


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
