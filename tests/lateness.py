"""How late an event loop comes back to a timer, again and again, by its own process's doing."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.lifetime import calm_garbage_collector

TICK_S = 0.001
THREADS = "/proc/self/task"


class RunQueue:
    """How long the threads of this process have been ready to run and waited for a core, together.

    https://docs.kernel.org/scheduler/sched-stats.html (read 2026-11-23): the second figure of a
    task's ``schedstat``, in nanoseconds. Nothing where the kernel does not say.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def waited_s(self) -> float:
        return sum(map(self._waited_ns, os.listdir(THREADS))) / 1e9 if os.path.isdir(THREADS) else 0

    def _waited_ns(self, thread: str) -> int:
        try:
            if thread not in self._open:
                self._open[thread] = os.open(f"{THREADS}/{thread}/schedstat", os.O_RDONLY)
            return int(os.pread(self._open[thread], 100, 0).split()[1])
        except OSError:  # it has ended, or the kernel keeps no account
            return 0

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class Ticks:
    """``worst_s`` is the longest delay of the loop that it was made in, until ``stop``.

    On a machine with other things to do every process is late. So of each delay two things do not
    count: what this process's threads waited for a core (the loop itself, or one that had the
    interpreter's lock), and what is more than the processor time that it used. A callback that goes
    on for long uses some, and so does a thread that keeps the lock to itself.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._queue = RunQueue()
        self._loop = asyncio.get_running_loop()
        self._arm()

    def _arm(self) -> None:
        self._used_s = time.process_time()
        self._waited_s = self._queue.waited_s()
        self._due_s = self._loop.time() + TICK_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        late_s = self._loop.time() - self._due_s
        waited_s = self._queue.waited_s() - self._waited_s
        used_s = time.process_time() - self._used_s
        self.worst_s = max(self.worst_s, min(late_s - waited_s, used_s))
        self._arm()

    def stop(self) -> None:
        self._timer.cancel()
        self._queue.close()


@contextmanager
def ticking() -> Iterator[Ticks]:
    ticks = Ticks()
    try:
        yield ticks
    finally:
        ticks.stop()


@contextmanager
def garbage_as_when_serving() -> Iterator[None]:
    """Collected as ``daobo serve`` has it; else each collection would walk all that the test run
    has imported."""
    before = gc.get_threshold()
    calm_garbage_collector()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
