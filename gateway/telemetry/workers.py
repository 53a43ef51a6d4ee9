"""Several worker processes, one ``/metrics``: whoever is asked, asks its siblings.

Each worker answers with a snapshot on a Unix socket in one folder. Before it answers it writes the
snapshot to a file beside the socket, so whatever a scrape has ever shown outlives its worker, and
no counter goes backwards when one is restarted (Prometheus would take that for a reset and count
everything again). Lost is only what a killed worker counted after its last scrape.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import orjson
import structlog

from gateway.errors import ConfigError

from .cells import NOTHING, Cells, Series
from .exposition import render

MAX_SOCKET_PATH_BYTES = 107
_ENDED = "ended"
"""The file with the sum of all workers that are gone, and the names of those added last."""


def clear(folder: Path) -> None:
    """Make the folder and forget earlier runs: once, before the first worker starts."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


@asynccontextmanager
async def serve_snapshots(folder: Path, snapshot: Callable[[], bytes]) -> AsyncIterator[None]:
    """Answer siblings with ``snapshot()`` for as long as the context lasts.

    The last snapshot stays behind as a file. Raises ConfigError where no socket can be made.
    """
    worker = _Worker(folder, snapshot)
    with _listening(worker.socket_path) as listener:
        server = await asyncio.start_unix_server(worker.answer, sock=listener)
        try:
            yield
        finally:
            await worker.end()
            server.close()


class _Worker:
    """This process in the folder: its socket, and the file with what it last said."""

    def __init__(self, folder: Path, snapshot: Callable[[], bytes]) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.socket_path = folder / f"{name}.sock"
        self._file = folder / f"{name}.json"
        self._snapshot = snapshot
        self._writing = asyncio.Lock()
        self._ended = False

    async def answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._writing:
                if self._ended:
                    return
                writer.write(await self._write_down())
            await writer.drain()
        except ConnectionError:
            pass  # whoever asked has given up waiting
        finally:
            writer.close()

    async def end(self) -> None:
        """Leave the last word behind, and only then be gone: a file whose socket is gone is final,
        and a sibling may add it to the ended ones at any moment."""
        async with self._writing:
            self._ended = True
            await self._write_down()
            self.socket_path.unlink(missing_ok=True)

    async def _write_down(self) -> bytes:
        data = self._snapshot()
        try:
            await asyncio.to_thread(_replace, self._file, data)
        except OSError as error:
            structlog.get_logger().warning(
                "the metrics of this worker cannot be written down and may go backwards when it "
                "is restarted",
                path=str(self._file),
                error=str(error),
            )
        return data


async def scrape(
    folder: Path, timeout_s: float = 1.0, shared: Mapping[str, Series] = NOTHING
) -> bytes:
    """The Prometheus text of all workers; ``shared`` is what belongs to none of them alone."""
    cells = await collect_from(folder, timeout_s)
    cells.series.update(shared)
    return await asyncio.to_thread(render, cells)


async def collect_from(folder: Path, timeout_s: float = 1.0) -> Cells:
    """The sum over all workers of ``folder``, the one that asks included, and those that ended.

    A worker that does not answer within ``timeout_s`` counts as it was when it last did. Sockets
    that nobody listens on are removed.
    """
    paths = await asyncio.to_thread(lambda: sorted(folder.glob("*.sock")))
    answers = await asyncio.gather(*(_ask(path, timeout_s) for path in paths))
    said = {path: answer for path, answer in zip(paths, answers, strict=True) if answer}
    gone = {path for path, answer in zip(paths, answers, strict=True) if answer is None}
    return await asyncio.to_thread(_add_up, folder, said, gone)


async def _ask(path: Path, timeout_s: float) -> bytes | None:
    """A worker's snapshot, empty if it is too busy to answer; None if nobody is there."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    except OSError:  # a TimeoutError is one of them
        return b""


def _add_up(folder: Path, said: Mapping[Path, bytes], gone: Collection[Path]) -> Cells:
    """``said`` and ``gone`` name workers by their sockets."""
    with _lock(folder):
        ended = _Ended(folder)
        known = {file.with_suffix(".sock") for file in folder.glob("*.json")} | {*said, *gone}
        live = {path for path in known if path not in gone and path.exists()}
        for path in known - live:
            # If it answered a moment ago, it has ended since: its file says more, or was added.
            ended.take(path)
        ended.save()
        total = ended.cells
        for path in live:
            _add(total, said.get(path, b""), path.with_suffix(".json"))
    return total


def _add(total: Cells, answer: bytes, file: Path) -> None:
    if answer:
        try:
            total.add(answer)
        except ValueError:
            structlog.get_logger().warning("a worker's answer was cut short", path=str(file))
        else:
            return
    if file.exists():
        total.add(file.read_bytes())


class _Ended:
    """The sum of the workers that are gone. Use it only under the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _ENDED
        self._taken: list[Path] = []
        self.cells = Cells()
        if self._path.exists():
            names, _, snapshot = self._path.read_bytes().partition(b"\n")
            self.cells.add(snapshot)
            for name in orjson.loads(names):
                # Added already, but whoever did was killed before it could remove the file.
                (folder / name).unlink(missing_ok=True)

    def take(self, socket_path: Path) -> None:
        """Add what a worker left behind, and forget the worker."""
        file = socket_path.with_suffix(".json")
        if file.exists():
            self.cells.add(file.read_bytes(), gauges=False)
            self._taken.append(file)
        socket_path.unlink(missing_ok=True)

    def save(self) -> None:
        if not self._taken:
            return
        names = orjson.dumps([file.name for file in self._taken])
        _replace(self._path, names + b"\n" + self.cells.dump())
        for file in self._taken:
            file.unlink()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A listening Unix socket that appears under ``path`` only when it can be connected to."""
    hidden = path.with_suffix(".new")
    if len(os.fsencode(hidden)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"the state folder's path is too long for a Unix socket: {path} has "
            f"{len(os.fsencode(path))} bytes, {MAX_SOCKET_PATH_BYTES} are possible"
        )
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(hidden))
            listener.listen()
            hidden.rename(path)
        except OSError as error:
            raise ConfigError(f"no socket can be made at {path}: {error.strerror}") from error
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".tmp")
    new.write_bytes(data)
    new.replace(path)
