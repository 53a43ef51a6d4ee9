"""What clients say of kept answers, and what they are told: headers in and headers out.

``Idempotency-Key`` follows the draft of the IETF in its name only: the value is taken as it is
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/, read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Mapping

from multidict import istr

from gateway.errors import CallError, Outcome
from gateway.journey import Journey

CACHE = istr("X-Daobo-Cache")
IDEMPOTENCY_KEY = istr("Idempotency-Key")
MAX_KEY_CHARS = 255
_CHOICES = {"on": True, "off": False}
_FOUND = {"cache": "hit", "twin": "twin"}


def wants_kept(headers: Mapping[str, str]) -> bool | None:
    """Whether a kept answer may be given; None where the client does not say. Raises CallError."""
    if CACHE not in headers:
        return None
    choice = headers[CACHE].strip().lower()
    if choice not in _CHOICES:
        raise CallError(
            Outcome.INVALID_REQUEST, f"the header {CACHE} is {choice[:40]!r}; it must be on or off"
        )
    return _CHOICES[choice]


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The client's own name for the request. Raises CallError."""
    if IDEMPOTENCY_KEY not in headers:
        return None
    key = headers[IDEMPOTENCY_KEY].strip()
    if not key or len(key) > MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the header {IDEMPOTENCY_KEY} must be 1 to {MAX_KEY_CHARS} printable ASCII characters",
        )
    return key


def replay_facts(journey: Journey) -> list[str]:
    """The lines of the head that tell of a kept answer, or that there was none."""
    if not journey.replayed:
        return ["x-daobo-cache: miss"]
    found = _FOUND.get(journey.replayed)
    line = f"x-daobo-cache: {found}" if found else "x-daobo-idempotency: replayed"
    return [line, f"age: {journey.age_s}"]
