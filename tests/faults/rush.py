"""As many calls as one process can make: ``python -m tests.faults.rush``.

Either so many connections, each of which asks again as soon as it has its answer and waits where it
is told to (``--connections``), or so many calls a second whatever becomes of them (``--rate``).
Prints what came back as one JSON object, a ``Rush``.
"""

import argparse
import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import orjson
import uvloop

from .raw_clients import post_bytes

SHED = (429, 503)
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: (\d+)\r\n", re.IGNORECASE)
TICK_S = 0.002
MAX_CONNECTIONS = 4000
LAST_ANSWERS_S = 30.0


@dataclass
class Rush:
    """What came back; times in seconds."""

    seconds: float = 0.0
    sent: int = 0
    answered: int = 0
    late: int = 0
    """Answers that came after the time was over."""
    shed: int = 0
    shed_without_wait: int = 0
    """No Retry-After in it."""
    other: int = 0
    resets: int = 0
    unsent: int = 0
    """Calls for which no connection was left."""
    shed_s: list[float] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        """Calls that were to be made."""
        return self.sent + self.unsent

    @property
    def goodput(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Line(asyncio.Protocol):
    """One connection with one call at a time. ``done`` is told of the status and how long to
    wait; of None if the connection broke under a call."""

    def __init__(self, rush: Rush, done: Callable[["Line", int | None, float], None]) -> None:
        self._rush = rush
        self._done = done
        self._answer = b""
        self._began_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> None:
        self._began_s = time.perf_counter()
        self._rush.sent += 1
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if not end or (length is not None and len(body) < int(length[1])):
            return
        assert self._began_s is not None
        took_s, self._began_s, self._answer = time.perf_counter() - self._began_s, None, b""
        status = int(head[9:12])
        wait = RETRY_AFTER.search(head + b"\r\n")
        self._count(status, took_s, told_to_wait=wait is not None)
        self._done(self, status, float(wait[1]) if wait and status in SHED else 0.0)

    def _count(self, status: int, took_s: float, *, told_to_wait: bool) -> None:
        rush = self._rush
        if status == 200:
            rush.answered += 1
        elif status in SHED:
            rush.shed += 1
            rush.shed_without_wait += not told_to_wait
            rush.shed_s.append(took_s)
        else:
            rush.other += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self._began_s is not None:
            self._rush.resets += 1
        self._done(self, None, 0.0)

    @property
    def busy(self) -> bool:
        return self._began_s is not None


class Crowd:
    """The connections, and when each of them asks."""

    def __init__(self, port: int, request: bytes) -> None:
        self.rush = Rush()
        self._port = port
        self._request = request
        self._over = False
        self._lines: set[Line] = set()
        self._idle: list[Line] = []

    async def by_connections(self, count: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()

        def again(line: Line, status: int | None, wait_s: float) -> None:
            if status is not None and not self._over:
                loop.call_later(wait_s, self._ask_unless_over, line)

        lines = [await self._connect(again) for _ in range(count)]
        for line in lines:
            line.ask(self._request)
        await self._for(seconds)

    def _ask_unless_over(self, line: Line) -> None:
        if not self._over:
            line.ask(self._request)

    async def by_rate(self, rate: float, seconds: float) -> None:
        """Open loop: what is due is sent, on a connection that is idle or on a new one."""
        began_s, sent = time.perf_counter(), 0
        connecting: set[asyncio.Task[None]] = set()
        while (passed_s := time.perf_counter() - began_s) < seconds:
            due = int(passed_s * rate) - sent
            sent += due
            for _ in range(due):
                if self._idle:
                    self._idle.pop().ask(self._request)
                elif len(self._lines) + len(connecting) < MAX_CONNECTIONS:
                    task = asyncio.ensure_future(self._ask_on_another())
                    connecting.add(task)
                    task.add_done_callback(connecting.discard)
                else:
                    self.rush.unsent += 1
            await asyncio.sleep(TICK_S)
        await asyncio.gather(*connecting)
        self.rush.seconds = time.perf_counter() - began_s

    async def _ask_on_another(self) -> None:
        (await self._connect(self._rests)).ask(self._request)

    def _rests(self, line: Line, status: int | None, _: float) -> None:
        if status is not None:
            self._idle.append(line)
        else:
            self._lines.discard(line)
            if line in self._idle:
                self._idle.remove(line)

    async def _connect(self, done: Callable[[Line, int | None, float], None]) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(
            lambda: Line(self.rush, done), "127.0.0.1", self._port
        )
        self._lines.add(line)
        return line

    async def _for(self, seconds: float) -> None:
        began_s = time.perf_counter()
        await asyncio.sleep(seconds)
        self.rush.seconds = time.perf_counter() - began_s
        self._over = True

    async def settle(self) -> None:
        """Hear the last answers out: a call that is cut by its own client says nothing."""
        counted = self.rush.answered
        deadline_s = time.perf_counter() + LAST_ANSWERS_S
        while any(line.busy for line in self._lines) and time.perf_counter() < deadline_s:
            await asyncio.sleep(TICK_S)
        self.rush.resets += sum(line.busy for line in self._lines)
        self.rush.late = self.rush.answered - counted
        self.rush.answered = counted  # goodput is of the time measured


async def rush(given: argparse.Namespace) -> Rush:
    crowd = Crowd(given.port, post_bytes(given.body.read_bytes()))
    if given.rate:
        await crowd.by_rate(given.rate, given.seconds)
    else:
        await crowd.by_connections(given.connections, given.seconds)
    await crowd.settle()
    return crowd.rush


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    print(orjson.dumps(asdict(uvloop.run(rush(parser.parse_args())))).decode())


if __name__ == "__main__":
    main()
