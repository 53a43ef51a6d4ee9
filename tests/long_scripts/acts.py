"""What an upstream is asked, and what it can be told to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

INPUT_NANO, OUTPUT_NANO = 1_000, 4_000
"""Its prices for a token, in billionths of a dollar."""

Fate = Literal["under way", "whole", "refused", "cut", "left"]


@dataclass
class Asked:
    """A request, and what has become of it."""

    body: dict[str, Any]
    status: int = 200
    fate: Fate = "under way"
    """``left``: the peer hung up before the end."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Billed so far."""

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def text(self) -> str:
        """Of the last user message."""
        said = [text_of(m) for m in self.messages if m["role"] == "user"]
        return said[-1] if said else ""

    @property
    def system(self) -> str:
        return "\n".join(text_of(m) for m in self.messages if m["role"] in ("system", "developer"))

    @property
    def nano_usd(self) -> int:
        return self.input_tokens * INPUT_NANO + self.output_tokens * OUTPUT_NANO


@dataclass(frozen=True)
class Answer:
    """Another text than the echo."""

    make: Callable[[Asked], str]
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Refuse:
    """An error with a status, in the OpenAI shape; nothing is billed."""

    status: int
    code: str | None = None
    message: str = "refused by the upstream"


@dataclass(frozen=True)
class Cut:
    """So much of the answer, then the connection is closed; nothing: after the role."""

    share: float = 0.5


@dataclass(frozen=True)
class HangUp:
    """The connection is closed without a word, after all was done and billed."""


@dataclass(frozen=True)
class Hold:
    """The head and the first piece, and the rest only after ``release``; ``begun`` tells that the
    first piece has been written."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Never:
    """Not even a head; ``arrived`` tells that the request is there."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)


Act = Answer | Refuse | Cut | HangUp | Hold | Never


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())
