"""What is read out of the fields of an answer's head."""

from __future__ import annotations

import re
from functools import lru_cache

KEEP_ALIVE_S = 15.0
"""How long an idle connection is kept where the upstream does not say."""
MAX_KEEP_ALIVE_S = 60.0
_TIMEOUT = re.compile(r"(?:^|[,;\s])timeout\s*=\s*(\d{1,6})", re.IGNORECASE)


@lru_cache(maxsize=512)
def lower_name(name: bytes) -> str:
    """A field's name in lower case; upstreams send the same few over and over."""
    return name.decode("latin-1").lower()


def size_of(headers: dict[str, str]) -> int:
    """Characters in all names and values."""
    return sum(len(name) + len(value) for name, value in headers.items())


@lru_cache(maxsize=64)
def keep_alive_of(field: str | None) -> float:
    """Seconds to keep an idle connection, given the answer's ``Keep-Alive`` field.

    A second less than the upstream says, so that it is never the upstream who closes first.
    """
    found = _TIMEOUT.search(field) if field else None
    return min(float(found[1]) - 1.0, MAX_KEEP_ALIVE_S) if found else KEEP_ALIVE_S
