"""Time in which the loop stands still is nobody else's delay."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.stores.patience import PIECES, patience

TIMEOUT_S = 0.01


async def test_it_ends_after_as_many_rounds_of_the_loop_as_it_has_pieces() -> None:
    rounds = 0

    async def wait() -> None:
        nonlocal rounds
        async with patience(0.0):
            while True:
                await asyncio.sleep(0)
                rounds += 1

    with pytest.raises(TimeoutError):
        await wait()
    assert rounds >= PIECES


async def test_an_answer_that_came_while_the_loop_stood_still_is_heard() -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    async with patience(TIMEOUT_S):
        other = threading.Thread(target=loop.call_soon_threadsafe, args=(answer.set_result, "yes"))
        other.start()
        other.join()
        time.sleep(5 * TIMEOUT_S)
        assert await answer == "yes"
