"""Bounds the parts that are under way, those of all cut calls of a process together.

A place that comes free goes to the calls that wait in turn, one part each: a script of a thousand
parts does not keep one of three waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import CallError, Outcome

MAX_PARTS_UNDER_WAY = 256


class Places:
    """Outlives configurations. As many calls wait as are cut and under way."""

    def __init__(self, places: int = MAX_PARTS_UNDER_WAY) -> None:
        self._places = self._free = places
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def one_of(self, call_id: str, max_wait_s: float) -> AsyncIterator[None]:
        """A place for a part of the call, for as long as the context lasts. Raises
        CallError(OVERLOADED) if none comes free in time."""
        try:
            async with asyncio.timeout(max_wait_s):
                await self._enter(call_id)
        except TimeoutError:
            raise self._full(max_wait_s) from None
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, call_id: str) -> None:
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(call_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _full(self, waited_s: float) -> CallError:
        return CallError(
            Outcome.OVERLOADED,
            f"{self._places} parts of calls are being answered, as many as may be, and none of "
            f"them ended within the {waited_s:.1f} s that this one had",
        )

    def _leave(self) -> None:
        while self._waiting:
            call_id, places = self._waiting.popitem(last=False)
            place = places.popleft()
            if places:
                self._waiting[call_id] = places
            if not place.done():  # else whoever waited has left
                place.set_result(None)
                return
        self._free += 1
