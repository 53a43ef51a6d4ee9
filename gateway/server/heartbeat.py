"""Comments in streams that have nothing to say, so that nobody on the way takes them for dead.

One timer looks after all streams of the process. A stream counts its writes and is looked at four
times in an interval, in sixteen groups, one after the other: it costs no timer of its own, no look
at the clock for a chunk, and a thousand silent streams are not written to in one go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

LOOKS = 4
"""In an interval. A comment follows three of them without a write, so a silence is never longer
than the interval, and a comment never comes in less than half of it."""
GROUPS = 16
IDLE_S = 15.0
"""Pace while heartbeats are switched off and a reload may bring them back."""


class Stream(Protocol):
    """A stream on its way to a client."""

    writes: int
    """How often something was written."""
    seen_writes: int
    silent_looks: int
    group: int

    def beat(self) -> None:
        """Write a comment, the head before it if it has not left yet."""


class Heartbeat:
    """``interval_s`` gives the longest silence; 0 sends no comments."""

    def __init__(self, interval_s: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._groups: tuple[set[Stream], ...] = tuple(set() for _ in range(GROUPS))
        self._count = 0
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, stream: Stream) -> None:
        stream.group = self._count % GROUPS
        self._count += 1
        self._groups[stream.group].add(stream)
        if self._timer is None:
            self._start()

    def leave(self, stream: Stream) -> None:
        self._groups[stream.group].discard(stream)

    def _start(self) -> None:
        wait_s = (self._interval_s() or IDLE_S) / LOOKS / GROUPS
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        group = self._groups[self._next]
        self._next = (self._next + 1) % GROUPS
        if self._interval_s():
            for stream in tuple(group):
                _look_at(stream)
        if any(self._groups):
            self._start()


def _look_at(stream: Stream) -> None:
    if stream.writes != stream.seen_writes:
        stream.seen_writes = stream.writes
        stream.silent_looks = 0
        return
    stream.silent_looks += 1
    if stream.silent_looks >= LOOKS - 1:
        stream.beat()
