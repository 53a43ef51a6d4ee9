"""The calls that wait for a turn at one account, and the task that hands turns out.

The task exists only while somebody waits. Lanes take turns too; a lane that is parked, held or
out of tokens keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from math import inf

from gateway.errors import CallError, Outcome

from .buckets import Denied
from .lanes import Lane, Taken, Waiter, Wish
from .turns import Turns


class Waiting:
    """``count`` calls wait."""

    def __init__(self, turns: Turns, clock: Callable[[], float]) -> None:
        self.count = 0
        self._turns = turns
        self._clock = clock
        self._lanes: OrderedDict[Lane, None] = OrderedDict()
        """Those in which somebody waits, in the order of their turns."""
        self._changed = asyncio.Event()
        self._task: asyncio.Future[None] | None = None

    def is_before(self, lane: Lane, now_s: float) -> bool:
        """Somebody who could go waits, in this lane or another."""
        return bool(lane.queue) or any(not other.opens_at_s(now_s) for other in self._lanes)

    async def turn(self, lane: Lane, wish: Wish, max_wait_s: float) -> Taken | None:
        """Wait; what the turn took, or None if it does not come in time. A call that is
        cancelled takes nothing with it. Raises CallError(LIMITS_UNAVAILABLE)."""
        loop = asyncio.get_running_loop()
        waiter = Waiter(lane, wish, loop.create_future())
        lane.push(waiter)
        self._lanes.setdefault(lane)
        self.count += 1
        self.look()
        timer = loop.call_later(max_wait_s, self._too_late, waiter)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise
        finally:
            timer.cancel()

    def look(self) -> None:
        """Something has changed: perhaps somebody can go."""
        if not self.count:
            return
        if self._task is None:
            self._task = asyncio.ensure_future(self._hand_out())
        else:
            self._changed.set()

    async def close(self) -> None:
        """Send everybody away."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._task = None
        self._send_away(CallError(Outcome.OVERLOADED, "the gateway closes; nothing was sent"))

    async def _hand_out(self) -> None:
        try:
            while self.count:
                self._changed.clear()
                look_at_s = await self._serve()
                if self.count:
                    await self._sleep_until(look_at_s)
        except Exception as error:
            self._send_away(error)
        finally:
            self._task = None

    async def _serve(self) -> float:
        """Let everybody go who can; when to look again, infinite for when a call has ended."""
        while self.count and not self._turns.is_full:
            now_s = self._clock()
            if (until_s := self._turns.blockage.until_s) > now_s:
                return until_s
            lane, opens_at_s = self._next_lane(now_s)
            if lane is None:
                return opens_at_s
            if self._turns.lacks_rate:
                await self._turns.wait_for_rate()  # who is first may have changed by then
            else:
                await self._serve_first(lane)
        return inf

    def _next_lane(self, now_s: float) -> tuple[Lane | None, float]:
        """The next one in turn in which an interactive call can go, or a batch call; if there is
        none, when one opens."""
        found: Lane | None = None
        opens_at_s = inf
        for lane in self._lanes:
            if at_s := lane.opens_at_s(now_s):
                opens_at_s = min(opens_at_s, at_s)
            elif lane.queue.is_urgent:
                return lane, 0.0
            else:
                found = found or lane
        return found, opens_at_s

    async def _serve_first(self, lane: Lane) -> None:
        waiter = lane.queue.first()
        granted = waiter.granted
        try:
            verdict = await self._turns.take(lane, waiter.wish.target, waiter.wish.tokens)
        except Exception as error:
            if self._drop(waiter) and not granted.done():
                granted.set_exception(error)
            return
        if isinstance(verdict, Denied):
            return
        if granted.done():  # it went away while a store far off was asked
            self._turns.give_back(lane, verdict, 0)
            return
        lane.serve(waiter)
        self._left(lane)
        granted.set_result(verdict)

    def _left(self, lane: Lane) -> None:
        """One less waits in a lane."""
        self.count -= 1
        if lane.queue:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]

    def _drop(self, waiter: Waiter) -> bool:
        """False if it does not wait any more."""
        if not waiter.lane.leave(waiter):
            return False
        self.count -= 1
        if not waiter.lane.queue:
            del self._lanes[waiter.lane]
        self._changed.set()
        return True

    def _too_late(self, waiter: Waiter) -> None:
        if not waiter.granted.done():
            self._drop(waiter)
            waiter.granted.set_result(None)

    def _give_up(self, waiter: Waiter) -> None:
        """A cancelled call leaves the queue, or gives back the turn that it has just got."""
        granted = waiter.granted
        if self._drop(waiter) or granted.cancelled() or granted.exception() is not None:
            return
        if (taken := granted.result()) is not None:
            self._turns.give_back(waiter.lane, taken, 0)
            self.look()

    def _send_away(self, error: Exception) -> None:
        for lane in list(self._lanes):
            while lane.queue:
                waiter = lane.queue.first()
                self._drop(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_exception(error)

    async def _sleep_until(self, at_s: float) -> None:
        """Until ``look``, or until a moment."""
        timer = None
        if at_s < inf:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(at_s - self._clock(), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
