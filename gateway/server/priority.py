"""Who waits for whom: what a request says of its priority."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import istr

from gateway.errors import CallError, Outcome
from gateway.schema import PRIORITIES

PRIORITY = istr("X-Daobo-Priority")


def asked_priority(headers: Mapping[str, str]) -> str | None:
    """``interactive`` or ``batch``; None if nothing is said. Raises CallError(INVALID_REQUEST)."""
    value = headers.get(PRIORITY)
    if value is None:
        return None
    word = value.strip().lower()
    if word not in PRIORITIES:
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the header {PRIORITY} is {value[:40]!r}; it must be {' or '.join(PRIORITIES)}",
        )
    return word
