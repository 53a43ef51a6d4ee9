"""Lines come out whole, in order and soon, and never hold up the loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.telemetry.line_writer import LineWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    with suppress(OSError):  # one test closes this end itself
        os.close(read_fd)
    for thread in threading.enumerate():
        if thread.name == "log":  # or it would write into whatever gets this descriptor next
            thread.join(5)
    os.close(write_fd)


def read(fd: int) -> bytes:
    return os.read(fd, 1 << 20)


async def read_soon(fd: int) -> bytes:
    return await asyncio.wait_for(asyncio.to_thread(read, fd), 30)


async def test_lines_come_together_and_in_order(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=0.01)
    writer.start()
    for number in range(100):
        writer.write(b"%d\n" % number)
    assert await read_soon(pipe[0]) == b"".join(b"%d\n" % n for n in range(100))
    await writer.close()


async def test_nothing_waits_longer_than_the_interval(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=0.05)
    writer.start()
    started_s = time.monotonic()
    writer.write(b"one\n")
    assert await read_soon(pipe[0]) == b"one\n"
    assert 0.04 < time.monotonic() - started_s < 30
    await writer.close()


async def test_a_full_batch_does_not_wait_for_the_timer(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=3600, flush_bytes=100)
    writer.start()
    for _ in range(10):
        writer.write(b"ten bytes\n")
    assert await read_soon(pipe[0]) == b"ten bytes\n" * 10
    await writer.close()


async def test_an_idle_writer_arms_no_timer(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=0)
    writer.start()
    writer.write(b"one\n")
    await read_soon(pipe[0])
    await writer.close()
    assert writer._timer is None


async def test_closing_writes_what_waits(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=3600)
    writer.start()
    writer.write(b"last words\n")
    await writer.close()
    assert read(pipe[0]) == b"last words\n"


async def test_before_the_start_and_after_the_end_lines_are_written_at_once(
    pipe: tuple[int, int],
) -> None:
    writer = LineWriter(pipe[1])
    writer.write(b"early\n")
    assert read(pipe[0]) == b"early\n"
    writer.start()
    await writer.close()
    writer.write(b"late\n")
    assert read(pipe[0]) == b"late\n"


async def test_another_thread_may_write(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_after_s=0)
    writer.start()
    await asyncio.to_thread(writer.write, b"from elsewhere\n")
    assert await read_soon(pipe[0]) == b"from elsewhere\n"
    await writer.close()


async def test_a_reader_that_sleeps_costs_bounded_memory_and_no_time(
    pipe: tuple[int, int],
) -> None:
    writer = LineWriter(pipe[1], flush_bytes=1000, max_bytes=100_000)
    writer.start()
    line = b"x" * 999 + b"\n"
    for _ in range(1000):  # nobody reads: one that waited would wait for ever
        writer.write(line)
        await asyncio.sleep(0)
    # Beside the buffer only the pipe itself can have taken something: 64 KiB.
    assert 1000 - 100 - 66 <= writer.dropped_lines < 1000
    await writer.close(timeout_s=0.05)


async def test_losses_are_told_once_lines_get_through_again(pipe: tuple[int, int]) -> None:
    told: asyncio.Queue[int] = asyncio.Queue()
    writer = LineWriter(pipe[1], flush_bytes=1, max_bytes=200_000)
    writer.report_loss = told.put_nowait
    writer.start()
    for _ in range(400):
        writer.write(b"x" * 999 + b"\n")
    dropped = writer.dropped_lines
    assert dropped == 200
    received = 0
    while told.empty() or received < 200_000:
        received += len(await read_soon(pipe[0]))
    assert told.get_nowait() == dropped
    assert received == 200_000
    await writer.close()


async def test_closing_does_not_wait_for_ever_for_a_reader(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], flush_bytes=1)
    writer.start()
    writer.write(b"x" * 500_000)
    writer.write(b"never read\n")
    await asyncio.wait_for(writer.close(timeout_s=0.05), 30)
    assert writer.dropped_lines == 1
    writer.write(b"nor this, and it must not block\n")
    assert writer.dropped_lines == 2


async def test_a_reader_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    writer.start()
    os.close(pipe[0])
    writer.write(b"nobody\n")
    await writer.close()
    writer.write(b"nobody\n")
    assert writer.dropped_lines == 2
