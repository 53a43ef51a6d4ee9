"""One scrape shows all workers, and no counter goes backwards when one of them dies."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from records import draft, metrics, value

from gateway.errors import ConfigError
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.workers import clear, collect_from, scrape, serve_snapshots

CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from records import draft, metrics
from gateway.telemetry.workers import serve_snapshots

async def main():
    counting = metrics()
    counting(draft())
    async with serve_snapshots(Path(sys.argv[2]), counting.snapshot):
        print("serving", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    workers = tmp_path / "workers"
    clear(workers)
    return workers


async def requests(folder: Path, timeout_s: float = 30.0) -> float:
    return value(await scrape(folder, timeout_s), "daobo_requests_total")


def counted(calls: int) -> Metrics:
    counting = metrics()
    for _ in range(calls):
        counting(draft())
    return counting


async def test_a_scrape_adds_up_all_workers(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        for calls in (1, 20, 300):
            await stack.enter_async_context(serve_snapshots(folder, counted(calls).snapshot))
        assert await requests(folder) == 321


async def test_a_worker_that_ends_takes_no_count_with_it(folder: Path) -> None:
    staying, ending = counted(5), counted(7)
    async with serve_snapshots(folder, staying.snapshot):
        async with serve_snapshots(folder, ending.snapshot):
            assert await requests(folder) == 12
            ending(draft())
        assert await requests(folder) == 13
        assert await requests(folder) == 13
        assert len(list(folder.glob("*.json"))) == 1


async def test_workers_that_come_and_go_leave_one_file(folder: Path) -> None:
    for generation in range(1, 6):
        async with serve_snapshots(folder, counted(10).snapshot):
            assert await requests(folder) == 10 * generation
    await collect_from(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["ended", "lock"]


@asynccontextmanager
async def child(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"serving\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_worker_keeps_what_a_scrape_has_shown(folder: Path) -> None:
    async with serve_snapshots(folder, counted(5).snapshot):
        async with child(folder) as process:
            assert await requests(folder) == 6
            process.send_signal(signal.SIGKILL)
            await process.wait()
            assert await requests(folder) == 6
            assert await requests(folder) == 6
        assert len(list(folder.glob("*.sock"))) == 1


async def test_a_worker_too_busy_to_answer_counts_as_it_last_did(folder: Path) -> None:
    async with child(folder) as process:
        assert await requests(folder) == 1
        process.send_signal(signal.SIGSTOP)
        assert await requests(folder, timeout_s=0.05) == 1
        assert len(list(folder.glob("*.sock"))) == 1
        process.send_signal(signal.SIGCONT)
        assert await requests(folder) == 1


async def test_many_scrapes_at_once_agree(folder: Path) -> None:
    async with serve_snapshots(folder, counted(5).snapshot):
        async with serve_snapshots(folder, counted(7).snapshot):
            pass
        assert await asyncio.gather(*(requests(folder) for _ in range(8))) == [12] * 8


async def test_an_answer_whose_worker_was_added_meanwhile_is_not_counted_twice(
    folder: Path,
) -> None:
    """The other scrape finds the worker gone while this one already holds its answer."""
    counting = counted(7)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_reader: object, writer: asyncio.StreamWriter) -> None:
        entered.set()
        await leave.wait()
        writer.close()

    async with serve_snapshots(folder, counting.snapshot):
        server = await asyncio.start_unix_server(slow, folder / "slow.sock")
        first = asyncio.ensure_future(requests(folder))
        await entered.wait()
        while not list(folder.glob("*.json")):
            await asyncio.sleep(0)
    assert await requests(folder, timeout_s=0.05) == 7
    leave.set()
    assert await first == 7
    server.close()


async def test_a_killed_scraper_does_not_make_a_worker_count_twice(folder: Path) -> None:
    async with serve_snapshots(folder, counted(7).snapshot):
        await collect_from(folder)
    (file,) = folder.glob("*.json")
    last_word = file.read_bytes()
    assert await requests(folder) == 7
    file.write_bytes(last_word)
    assert await requests(folder) == 7


async def test_a_dead_socket_is_removed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "1-dead.sock"))
    assert await requests(folder) == 0
    assert not list(folder.glob("*.sock"))


async def test_an_answer_cut_short_is_replaced_by_the_last_whole_one(folder: Path) -> None:
    whole = counted(3).snapshot()
    (folder / "1-cut.json").write_bytes(whole)

    async def half(_reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[: len(whole) // 2])
        writer.close()

    server = await asyncio.start_unix_server(half, folder / "1-cut.sock")
    assert await requests(folder) == 3
    server.close()


async def test_a_new_run_starts_from_nothing(folder: Path) -> None:
    async with serve_snapshots(folder, counted(7).snapshot):
        pass
    clear(folder)
    assert await requests(folder) == 0


async def test_a_full_disk_does_not_hide_a_worker(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.telemetry.workers._replace", full)
    async with serve_snapshots(folder, counted(4).snapshot):
        assert await requests(folder) == 4


async def test_a_path_too_long_for_a_socket_is_said_plainly(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    clear(folder)
    with pytest.raises(ConfigError, match="too long for a Unix socket"):
        async with serve_snapshots(folder, metrics().snapshot):
            pass
