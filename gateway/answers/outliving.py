"""Calls that may go on when their client has left, because others want their answer.

Each runs in a task of its own, which this room owns: it is waited for when the gateway drains
(it stays among the calls in flight) and cancelled when that is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .recording import Recorder


class Outliving:
    """The tasks of such calls. As many as are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, answer: Callable[[Recorder], Awaitable[None]], recorder: Recorder) -> None:
        """Answer; if whoever awaits this is cancelled, the recorder decides whether to go on."""
        task = asyncio.ensure_future(answer(recorder))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        recorder.give_up = task.cancel
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                recorder.leave()
            raise

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told and on record already, if anybody was there to be told

    async def stop(self) -> None:
        """Cancel what is left and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
