"""Threads for what takes long: parsing, counting and checking keep the interpreter to themselves.

By default Python lets a thread have it for 5 ms while another one waits, and the event loop waits
after every system call. So as long as a call is being cut or answered in parts, turns are shorter.
They are not otherwise: beside the ledger's thread, each call would cost a tenth more.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

TURN_S = 0.0005
T = TypeVar("T")


class _ShortTurns:
    """From the first that enters to the last that leaves. Of the process, as the interval is; for
    its event loop's thread only."""

    def __init__(self) -> None:
        self._inside = 0
        self._usual_s = 0.0

    def __enter__(self) -> None:
        if not self._inside:
            self._usual_s = sys.getswitchinterval()
            sys.setswitchinterval(TURN_S)
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            sys.setswitchinterval(self._usual_s)


SHORT_TURNS = _ShortTurns()


class Threads:
    """A few of them, by name."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, name)

    async def run(self, work: Callable[..., T], *given: object) -> T:
        """Work that waits for its turn if all threads are busy."""
        with SHORT_TURNS:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
