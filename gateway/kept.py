"""The words of answers that are kept: for whoever asks the same again, or sends a call again."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from .schema import Target


class Kept(NamedTuple):
    """A complete answer as it was sent, with what is known of it."""

    made_s: float
    """When it was complete, Unix seconds."""
    stream: bool
    body: bytes
    """The JSON, or the events of a stream without the gateway's own last two."""
    target: Target
    finish_reason: str | None
    chunks: int = 0
    currency: str | None = None
    """None where nobody knows a price."""
    list_cost_nano: int = 0
    """What its usage costs at list price."""
    dropped: tuple[str, ...] = ()
    """Fields of the request that its provider had no place for."""


class Fate(StrEnum):
    """What became of the call that had an ``Idempotency-Key`` first."""

    RUNNING = "running"
    ANSWERED = "answered"
    CHARGED = "charged"
    """It failed, and costs something all the same."""
    LOST = "lost"
    """Its process is gone; what was held for it is charged. Never written down: whoever reads
    ``running`` and finds no such process says so."""


class Claim(NamedTuple):
    """A call that wants to be the first with its ``Idempotency-Key``."""

    id: str
    """Digest of tenant and key."""
    request: str
    """Digest of what is asked: the same for the same request only."""
    call_id: str


class Earlier(NamedTuple):
    """The call that was first with a key."""

    request: str
    call_id: str
    fate: Fate
    answer: bytes | None = None
    """Packed; None unless it was answered, and for an answer that is not kept."""
