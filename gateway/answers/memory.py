"""Kept answers in this process's memory, the least recently used ones given up first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from gateway.kept import Kept

ENTRY_BYTES = 1024
"""What an entry takes besides its answer: key, objects, the table's share. Rather too much."""


class _Entry(NamedTuple):
    kept: Kept
    until_s: float
    size_bytes: int


class MemoryKeeper:
    """Implements ``Keeper``. ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float], max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def resize(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._make_room(0)

    async def get(self, key: str) -> Kept | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until_s <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.kept

    async def put(self, key: str, kept: Kept, ttl_s: float) -> None:
        if key in self._entries:
            self._drop(key)
        size_bytes = len(kept.body) + ENTRY_BYTES
        if size_bytes > self._max_bytes:
            return
        # A copy is as large as it says: an encoder's bytes have kilobytes of room behind them.
        kept = kept._replace(body=memoryview(kept.body).tobytes())
        self._make_room(size_bytes)
        self._entries[key] = _Entry(kept, self._clock() + ttl_s, size_bytes)
        self.size_bytes += size_bytes

    def _make_room(self, size_bytes: int) -> None:
        while self._entries and self.size_bytes + size_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        self.size_bytes -= self._entries.pop(key).size_bytes
