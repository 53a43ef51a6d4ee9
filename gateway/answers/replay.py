"""An answer given again: as it was sent, at once, and for nothing."""

from __future__ import annotations

import asyncio

from gateway.contracts import Client
from gateway.journey import Journey
from gateway.kept import Kept
from gateway.ledger import Bill

PIECE_BYTES = 64 * 1024
"""Of a stream at a time, so that a slow reader's buffer holds no more of it."""


async def replay(kept: Kept, why: str, journey: Journey, client: Client, now_s: float) -> None:
    """Answer the client. ``why`` goes into the record; ``now_s`` is on the wall clock.

    Ids and times in the answer stay as they were, since it is that answer. Nothing was used, so
    the journey has no usage; its bill says what the same would have cost.
    """
    journey.target = kept.target
    journey.replayed = why
    journey.age_s = max(0, int(now_s - kept.made_s))
    journey.finish_reason = kept.finish_reason
    journey.dropped = kept.dropped
    journey.chunks = kept.chunks
    if kept.currency is not None:
        journey.bill = Bill(kept.currency, 0, kept.list_cost_nano)
    if kept.stream:
        await _stream(kept.body, journey, client)
    else:
        await client.send_answer(journey, kept.body)


async def _stream(body: bytes, journey: Journey, client: Client) -> None:
    await client.begin_stream(journey, body[:PIECE_BYTES])
    for at in range(PIECE_BYTES, len(body), PIECE_BYTES):
        if not client.write(body[at : at + PIECE_BYTES]):
            drained = asyncio.Event()
            client.when_drained(drained.set)
            await drained.wait()
    await client.end_stream(journey)
