"""A time limit on somebody else's answer that does not count how long this process stood still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PIECES = 10


@asynccontextmanager
async def patience(timeout_s: float) -> AsyncIterator[None]:
    """As ``asyncio.timeout``: raises TimeoutError after that time, in pieces.

    A loop that comes back late, for whatever reason, finds its timers due before it has read what
    was answered meanwhile. So a piece is counted when the loop has come back for it, and the next
    one begins then: standing still costs one of them and not all.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    async with asyncio.timeout(None) as limit:

        def piece_is_over(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(timeout_s / PIECES, piece_is_over, left - 1)
            else:
                limit.reschedule(loop.time())

        timer = loop.call_later(timeout_s / PIECES, piece_is_over, PIECES - 1)
        try:
            yield
        finally:
            timer.cancel()
