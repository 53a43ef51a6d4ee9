"""A target, or a key, is back with the first word of an answer, however long the rest takes.

Calls that find out would otherwise keep all others away for as long as their streams last.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.contracts import Client
from gateway.journey import Journey


class ProvingClient:
    """The client of a call that finds out. ``prove`` is called before its stream begins; an answer
    that comes whole is proof enough by its end."""

    def __init__(self, client: Client, prove: Callable[[], None]) -> None:
        self._client = client
        self._prove = prove
        self.send_answer = client.send_answer
        self.write = client.write
        self.when_drained = client.when_drained
        self.end_stream = client.end_stream

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def committed(self) -> bool:
        return self._client.committed

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self._prove()
        await self._client.begin_stream(journey, first)
