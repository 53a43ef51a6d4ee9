"""Kept answers as bytes, for keepers outside of this process."""

from __future__ import annotations

import orjson

from gateway.kept import Kept
from gateway.schema import Target

VERSION = 1


def pack(kept: Kept) -> bytes:
    """A line of JSON, then the body as it is."""
    target = kept.target
    head = [
        VERSION,
        kept.made_s,
        kept.stream,
        [target.provider, target.model, target.public_model, target.rehearsal],
        kept.finish_reason,
        kept.chunks,
        kept.currency,
        kept.list_cost_nano,
        kept.dropped,
    ]
    return orjson.dumps(head) + b"\n" + kept.body


def unpack(data: bytes) -> Kept | None:
    """None for bytes that another version wrote, or that are something else."""
    head, newline, body = data.partition(b"\n")
    try:
        version, made_s, stream, target, *rest, dropped = orjson.loads(head)
        if version != VERSION or not newline:
            return None
        provider, model, public_model, rehearsal = target
        where = Target(provider, model, public_model, rehearsal=rehearsal)
        reason, chunks, currency, list_cost_nano = rest
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return None
    return Kept(
        made_s, stream, body, where, reason, chunks, currency, list_cost_nano, tuple(dropped)
    )
