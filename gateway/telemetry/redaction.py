"""Keeps keys and tokens out of everything that is written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MASK = "[redacted]"
_MASKED = rf"\g<1>{MASK}"
MAX_TEXT_CHARS = 500
MAX_WORD_CHARS = 200
MAX_DEPTH = 6

_PATTERNS = tuple(
    (hints, re.compile(pattern, re.IGNORECASE))
    for hints, pattern in (
        (("bearer", "basic"), r"(\b(?:bearer|basic)\s+)[^\s\"',;]{6,}"),
        (
            ("key", "token", "secret", "password"),
            r"((?:api[-_ ]?key|(?:access|auth)[-_]?token|secret(?:[-_]key)?|password)"
            r"(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)[^\s\"'&,;}\\]{6,}",
        ),
        (("key=", "token=", "sig"), r"((?:key|token|sig|signature)=)[^\s\"'&,;}]{6,}"),
        (("://",), r"(://[^\s/:@]*:)[^\s/@]+(?=@)"),
        (
            ("k-", "k_", "xai-", "nvapi-", "glpat-", "hf_", "r8_", "ghp_"),
            r"()\b(?:(?:g?sk|pk|rk)[-_]|(?:xai|nvapi|glpat)-|(?:hf|r8|ghp)_)[\w*.-]{8,}",
        ),
        (("aiza",), r"()\bAIza[\w-]{16,}"),
        (("akia", "asia", "aklt"), r"()\b(?:AKIA|ASIA|AKLT)\w{12,}"),
        (("eyj",), r"()\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    )
)  # fmt: skip
"""What to look for, and one of the words that stand in it: looking for those is a hundred times
cheaper. The group is what may stay."""

_SECRET_NAMES = re.compile(
    r"(?:^|[-_])(?:authorization|password|secret|api[-_]?key|access[-_]?token|cookie)$",
    re.IGNORECASE,
)


def redact(text: str, max_chars: int | None = None) -> str:
    """``text`` with what looks like a key masked, cut, and fit for UTF-8."""
    if max_chars is not None and len(text) > max_chars:
        # Masked before it is cut, or half a key would pass; what lies far behind is cut unread.
        return redact(text[: 2 * max_chars])[:max_chars] + "…"
    text = text.encode("utf-8", "replace").decode()
    lower = text.lower()
    for hints, pattern in _PATTERNS:
        if any(hint in lower for hint in hints):
            text = pattern.sub(_MASKED, text)
    return text


@lru_cache(maxsize=1024)
def redact_word(text: str | None) -> str | None:
    """The same for names that come again and again: users, projects, models."""
    return None if text is None else redact(text, MAX_WORD_CHARS)


def redact_value(value: Any, depth: int = 0) -> Any:
    """The same for whatever an event carries, containers included."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        return {
            redact_word(str(name)): MASK if _is_secret(str(name)) else redact_value(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, Sequence | set | frozenset) and depth < MAX_DEPTH:
        if isinstance(value, bytes | bytearray):
            return redact(value.decode("utf-8", "replace"))
        if not isinstance(value, str):
            return [redact_value(item, depth + 1) for item in value]
    text = str(value)
    return redact_word(text) if len(text) <= MAX_WORD_CHARS else redact(text)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None
