"""Turns are short as long as a thread of the room works, and no longer."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from gateway.chunking.threads import TURN_S, Threads

USUAL_S = sys.getswitchinterval()


def interval_s() -> float:
    return sys.getswitchinterval()


async def test_turns_are_short_while_anything_is_done() -> None:
    threads, last = Threads(2, "test"), threading.Event()
    waiting = asyncio.ensure_future(threads.run(last.wait))
    assert await threads.run(interval_s) == pytest.approx(TURN_S)
    assert interval_s() == pytest.approx(TURN_S)
    last.set()
    await waiting
    assert interval_s() == pytest.approx(USUAL_S)


async def test_turns_are_as_before_after_a_failure() -> None:
    with pytest.raises(ValueError, match="no number"):
        await Threads(1, "test").run(int, "no number")
    assert interval_s() == pytest.approx(USUAL_S)
