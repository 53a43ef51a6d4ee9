"""Writes lines without ever making the event loop wait for whoever reads them."""

from __future__ import annotations

import asyncio
import os
import queue
import select
import threading
from collections.abc import Callable

FLUSH_AFTER_S = 0.1
FLUSH_BYTES = 64 * 1024
MAX_BYTES = 4 * 1024 * 1024


class LineWriter:
    """A bounded buffer before a file descriptor.

    Between ``start`` and ``close`` lines are gathered for ``flush_after_s`` seconds or
    ``flush_bytes`` bytes, whichever comes first, and a thread of its own writes them. What would
    make the buffer larger than ``max_bytes`` is dropped and counted. Outside of that, at
    start-up and after the end, a line is written at once.
    """

    def __init__(
        self,
        fd: int,
        *,
        flush_after_s: float = FLUSH_AFTER_S,
        flush_bytes: int = FLUSH_BYTES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.dropped_lines = 0
        """Lines lost so far: the reader was too slow, or is gone."""
        self.report_loss: Callable[[int], None] | None = None
        """Told how many lines were lost, as soon as lines get through again."""
        self._fd = fd
        self._flush_after_s = flush_after_s
        self._flush_bytes = flush_bytes
        self._max_bytes = max_bytes
        self._reported_lines = 0
        self._lines: list[bytes] = []
        self._bytes = 0
        self._being_written = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._stuck = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self._batches: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Gather lines from now on, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._idle = asyncio.Event()
        self._idle.set()
        # A daemon: a pipe that nobody reads must not keep the process from ending.
        threading.Thread(target=self._run, args=(self._loop,), name="log", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Take a line with its newline. May be called from any thread."""
        loop = self._loop
        if loop is None:
            self._write_now(line)
        elif threading.get_ident() == self._loop_thread:
            self._append(line)
        else:
            try:
                loop.call_soon_threadsafe(self._append, line)
            except RuntimeError:  # the loop was closed without closing the writer
                self._write_now(line)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write what is waiting; what nobody reads within ``timeout_s`` is dropped."""
        if self._loop is None or self._idle is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                while self._lines or self._being_written:
                    self._flush()
                    await self._idle.wait()
        except TimeoutError:
            self.dropped_lines += len(self._lines)
            self._lines.clear()
            self._stuck = True
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._batches.put(None)
            self._loop = None

    def _append(self, line: bytes) -> None:
        if self._loop is None:
            self._write_now(line)
            return
        size = self._bytes + len(line)
        if size + self._being_written > self._max_bytes:
            self.dropped_lines += 1
            return
        self._lines.append(line)
        self._bytes = size
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Now if enough has gathered, else in a moment: a handover costs more than many lines."""
        if self._bytes >= self._flush_bytes:
            self._flush()
        elif self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(self._flush_after_s, self._flush)

    def _flush(self) -> None:
        """Hand everything to the thread, unless it still has something."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._being_written or not self._lines or self._idle is None:
            return
        self._idle.clear()
        self._batches.put((b"".join(self._lines), len(self._lines)))
        self._being_written = self._bytes
        self._lines.clear()
        self._bytes = 0

    def _written(self, lost_lines: int) -> None:
        self._being_written = 0
        self.dropped_lines += lost_lines
        if self._idle is not None:
            self._idle.set()
        new = self.dropped_lines - self._reported_lines
        if new and not lost_lines and self.report_loss is not None:
            self._reported_lines = self.dropped_lines
            self.report_loss(new)
        if self._lines:
            self._flush_soon()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (batch := self._batches.get()) is not None:
            data, lines = batch
            lost_lines = 0 if _write_all(self._fd, data) else lines
            try:
                loop.call_soon_threadsafe(self._written, lost_lines)
            except RuntimeError:  # the loop was closed without closing the writer
                return

    def _write_now(self, line: bytes) -> None:
        if self._stuck or not _write_all(self._fd, line):
            self.dropped_lines += 1


def _write_all(fd: int, data: bytes) -> bool:
    """False if the descriptor takes no more; there is nobody left to tell."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select((), (fd,), ())
        except OSError:
            return False
    return True
