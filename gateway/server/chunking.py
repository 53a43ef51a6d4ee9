"""Whether a request may be cut into parts, as its client says."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import istr

from gateway.errors import CallError, Outcome
from gateway.schema import CHUNKINGS

CHUNKING = istr("X-Daobo-Chunking")


def asked_chunking(headers: Mapping[str, str]) -> str:
    """``auto``, ``off`` or ``force``; ``auto`` if nothing is said. Raises
    CallError(INVALID_REQUEST)."""
    value = headers.get(CHUNKING)
    if value is None:
        return CHUNKINGS[0]
    word = value.strip().lower()
    if word not in CHUNKINGS:
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the header {CHUNKING} is {value[:40]!r}; it must be {', '.join(CHUNKINGS[:-1])} or "
            f"{CHUNKINGS[-1]}",
        )
    return word
