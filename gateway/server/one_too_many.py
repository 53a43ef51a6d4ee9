"""A connection above the bound: its first request gets a 503, and that is all."""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.errors import CallError, Outcome

from .refusals import error_bytes, stray_id

TURN_AWAY_S = 1.0
"""How long a client that is one too many may take to send something and be told."""
MAX_TURNED_AWAY = 256
"""How many are told at the same time; above it they are closed without a word."""


class OneTooMany(asyncio.Protocol):
    """``turned_away`` are those that are being told, of one listener."""

    def __init__(self, turned_away: set[OneTooMany]) -> None:
        self._turned_away = turned_away
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._turned_away) >= MAX_TURNED_AWAY:
            self._transport.abort()
            return
        self._turned_away.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TURN_AWAY_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._answered:
            return
        self._answered = True
        error = CallError(
            Outcome.OVERLOADED,
            "the gateway has as many connections as it may (server.max_connections); "
            "try again in a second",
        )
        self._transport.write(error_bytes(error, stray_id(), stays_open=False))
        # Closed while the rest of a request is on its way, the answer would be lost to a reset.
        self._transport.write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._turned_away.discard(self)
        if self._timer is not None:
            self._timer.cancel()
