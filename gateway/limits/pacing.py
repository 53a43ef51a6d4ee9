"""Paces calls towards providers: those above a provider's own limits wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiolimiter import AsyncLimiter

from gateway.contracts import ProviderSettings
from gateway.errors import CallError, Outcome


def gate_for(settings: ProviderSettings) -> Gate | None:
    """None for a provider without limits of its own."""
    limited = settings.requests_per_minute or settings.max_concurrency
    return Gate(settings) if limited else None


class Gate:
    """One provider's ``requests_per_minute`` and ``max_concurrency``."""

    def __init__(self, settings: ProviderSettings) -> None:
        rpm, concurrency = settings.requests_per_minute, settings.max_concurrency
        self._rate = AsyncLimiter(rpm, 60.0) if rpm else None
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None

    @asynccontextmanager
    async def turn(self, max_wait_s: float) -> AsyncIterator[None]:
        """Wait for a turn and keep it. Raises CallError(UPSTREAM_RATE_LIMITED) after the wait."""
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(max_wait_s):
                    if self._slots is not None:
                        await held.enter_async_context(self._slots)
                    if self._rate is not None:
                        await self._rate.acquire()
            except TimeoutError:
                raise CallError(
                    Outcome.UPSTREAM_RATE_LIMITED,
                    f"no turn at the provider's configured limits within {max_wait_s:g} s",
                    retry_after_s=max_wait_s,
                ) from None
            yield
