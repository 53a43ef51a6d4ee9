"""Kept answers in Redis, for all processes and machines that share it.

Redis gives up old ones by itself when their time is over, and others as its own ``maxmemory`` and
policy say. While it is gone nothing is found and nothing is kept; no call fails for it.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.errors import CallError
from gateway.kept import Kept

from .packing import pack, unpack

PREFIX = "daobo:answer:"


class Link(Protocol):
    """A connection to Redis."""

    async def execute(self, *command: str | bytes | int | float) -> Any:
        """The reply. Raises CallError within a second where there is none."""


class RedisKeeper:
    """Implements ``Keeper``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.failures = 0
        """Times that Redis gave no reply; the link tells why, once."""

    async def get(self, key: str) -> Kept | None:
        try:
            data = await self._link.execute("GET", PREFIX + key)
        except CallError:
            self.failures += 1
            return None
        return None if data is None else unpack(data)

    async def put(self, key: str, kept: Kept, ttl_s: float) -> None:
        ttl_ms = max(1, int(ttl_s * 1000))
        try:
            await self._link.execute("SET", PREFIX + key, pack(kept), "PX", ttl_ms)
        except CallError:
            self.failures += 1
