"""Calls that are the same, and under way at the same time: one leads, the others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def _nobody_cares() -> None:
    """The default of ``Twin.deserted``."""


class Twin(Generic[T]):
    """The call that leads, as those see it that wait for it."""

    def __init__(self) -> None:
        self.followers = 0
        self.deserted: Callable[[], None] = _nobody_cares
        """Called when the last follower has left without its end."""
        self._end: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for its end."""
        return self.followers > 0 and not self._end.done()

    async def wait(self, timeout_s: float) -> T:
        """How it ended. A follower that leaves changes nothing for the others. Raises
        TimeoutError."""
        self.followers += 1
        try:
            done, _ = await asyncio.wait({self._end}, timeout=timeout_s)
        finally:
            self.followers -= 1
            if not self.followers and not self._end.done():
                self.deserted()
        if not done:
            raise TimeoutError
        return self._end.result()

    def end(self, how: T) -> None:
        """Tell those who wait; only the first time counts."""
        if not self._end.done():
            self._end.set_result(how)


class Twins(Generic[T]):
    """The calls that lead, by their keys. As many as are under way."""

    def __init__(self) -> None:
        self._leading: dict[str, Twin[T]] = {}

    def __len__(self) -> int:
        return len(self._leading)

    def find(self, key: str) -> Twin[T] | None:
        return self._leading.get(key)

    def lead(self, key: str) -> Twin[T]:
        twin = self._leading[key] = Twin()
        return twin

    def end(self, key: str, twin: Twin[T], how: T) -> None:
        """Whoever comes now finds no leader; those who wait go on in the order in which they
        came, so that the first of them may lead."""
        if self._leading.get(key) is twin:
            del self._leading[key]
        twin.end(how)
