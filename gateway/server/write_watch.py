"""Waits for a client that reads slowly, and gives up on one that takes nothing."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable

CHECK_S = 0.01
MAX_CHECK_S = 0.1
_NO_BYTES = struct.pack("i", 0)


class WriteWatch:
    """Watches one full buffer. aiohttp's protocol has no call for its drained buffer, so it is
    looked at, less and less often, as long as the client takes something."""

    def __init__(self, transport: asyncio.Transport | None, timeout_s: float) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._on_drained: Callable[[], None] | None = None
        self._wait_s = CHECK_S
        self._unsent_bytes = 0
        self._give_up_s = 0.0

    def when_drained(self, is_full: Callable[[], bool], resume: Callable[[], None]) -> None:
        """Only the last ``resume`` is called: one read may hold a thousand events, and each of
        them finds the buffer full."""
        watched = self._on_drained is not None
        self._on_drained = resume
        if not watched:
            self._wait_s = CHECK_S
            self._unsent_bytes = unsent_bytes(self._transport)
            self._give_up_s = self._loop.time() + self._timeout_s
            self._loop.call_later(self._wait_s, self._check, is_full)

    def _check(self, is_full: Callable[[], bool]) -> None:
        if self._transport is None or not is_full():
            resume, self._on_drained = self._on_drained, None
            if resume is not None:
                resume()
            return
        left_bytes = unsent_bytes(self._transport)
        if left_bytes < self._unsent_bytes:
            self._give_up_s = self._loop.time() + self._timeout_s
        elif self._loop.time() > self._give_up_s:
            self._transport.abort()
        self._unsent_bytes = left_bytes
        self._wait_s = min(self._wait_s * 2, MAX_CHECK_S)
        self._loop.call_later(self._wait_s, self._check, is_full)


def unsent_bytes(transport: asyncio.Transport | None) -> int:
    """What the client has not taken yet, the kernel's queue included: that may be megabytes, and
    moves while the transport's own buffer stands still for minutes."""
    if transport is None:
        return 0
    buffered = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _NO_BYTES)
    except (AttributeError, OSError):  # closed, or not a socket that can tell
        return buffered
    queued: int = struct.unpack("i", answer)[0]
    return buffered + queued
