"""A TCP proxy on loopback that does to connections what networks and servers do to them.

What becomes of a connection is a ``Fault``, drawn from ``faults`` when it opens, with the random
generator that the proxy was given: the same seed makes the same campaign. The proxy knows no HTTP;
a byte is a byte of the connection, whichever exchange it belongs to.
"""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, cast

from tests.ports import free_port

Direction = Literal["request", "answer"]
End = Literal["close", "reset", "half_close", "garbage", "silence"]
PIECE_BYTES = 64 * 1024
THROTTLE_STEP_S = 0.02
GARBAGE_BYTES = 200
CONNECT_TIMEOUT_S = 5.0
MAX_LIFE_S = 600.0
"""Of one connection, whatever happens to it."""
RESET = struct.pack("ii", 1, 0)
"""A socket that lingers for no time at all is reset when it is closed."""


@dataclass(frozen=True)
class Fault:
    """What becomes of one connection: nothing, unless it says so."""

    delay_s: float = 0.0
    """Each piece is held back so long, in both directions."""
    bytes_per_s: float | None = None
    """No more than that is passed on, in each direction."""
    end: End | None = None
    """``half_close`` ends one direction only, ``garbage`` puts noise in the place of what follows
    and closes, ``silence`` swallows what follows and leaves the connection open."""
    after_bytes: int = 0
    """Of ``direction``. So many are passed on, and the next one brings the end."""
    direction: Direction = "answer"
    idle_s: tuple[float, float] | None = None
    """Closed when it has been quiet after an answer for a random time between these."""


Faults = Callable[[random.Random], Fault]


def no_fault(_: random.Random) -> Fault:
    return Fault()


@dataclass
class Done:
    """What the proxy has done so far."""

    opened: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Connections by how they were ended: an ``End``, ``idle`` or ``refused``."""


class FaultProxy:
    """Listens on a port of its own and passes everything on to ``upstream_port``."""

    def __init__(
        self,
        upstream_port: int,
        chance: random.Random,
        faults: Faults = no_fault,
        max_connections: int = 4096,
        port: int | None = None,
    ) -> None:
        self.faults = faults
        """For connections that open from now on."""
        self.port = port or free_port()
        self.done = Done()
        self._upstream_port = upstream_port
        self._chance = chance
        self._max_connections = max_connections
        self._links: dict[asyncio.Task[None], Link] = {}
        self._server: asyncio.Server | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._links)

    async def __aenter__(self) -> "FaultProxy":
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def accept(self) -> None:
        """Listen, again if need be."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, backlog=4096, limit=PIECE_BYTES
        )

    async def refuse(self) -> None:
        """Be as a server that has died: what is open is reset, nobody listens."""
        if self._server is not None:
            self._server.close()
        self.reset_all()
        await asyncio.gather(*self._links, return_exceptions=True)

    def reset_all(self) -> None:
        for task, link in list(self._links.items()):
            self.done.ended["refused"] += 1
            link.reset()
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        if len(self._links) >= self._max_connections:
            writer.transport.abort()
            return
        self.done.opened += 1
        link = Link(self.faults(self._chance), self._chance, self.done, reader, writer)
        self._links[task] = link
        try:
            async with asyncio.timeout(MAX_LIFE_S):
                await link.run(self._upstream_port)
        except (TimeoutError, asyncio.CancelledError):
            link.reset()
        finally:
            del self._links[task]


class Link:
    """A connection that was accepted, and the one behind it."""

    def __init__(
        self,
        fault: Fault,
        chance: random.Random,
        done: Done,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._fault = fault
        self._chance = chance
        self._done = done
        self._near = (reader, writer)
        self._writers = [writer]
        self._quiet: asyncio.Handle | None = None

    async def run(self, upstream_port: int) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", upstream_port)
        except (OSError, TimeoutError):
            return self.reset()
        self._writers.append(far_writer)
        for writer in self._writers:
            writer.transport.set_write_buffer_limits(0)  # drained: all of it is with the kernel
        near_reader, near_writer = self._near
        try:
            await asyncio.gather(
                self._carry("request", near_reader, far_writer),
                self._carry("answer", far_reader, near_writer),
            )
        except OSError:
            self.reset()
        finally:
            if self._quiet is not None:
                self._quiet.cancel()
            self._close()

    def reset(self) -> None:
        """Both connections, without a farewell and whatever was on its way."""
        for writer in self._writers:
            if not writer.transport.is_closing():
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    def _close(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _carry(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = self._fault
        ends_here = fault.end is not None and fault.direction == direction
        left = fault.after_bytes if ends_here else None
        while piece := await reader.read(PIECE_BYTES):
            self._watch_quiet(direction)
            if fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            if left is not None and len(piece) > left:
                await self._pass_on(writer, piece[:left])
                return await self._end(reader, writer)
            await self._pass_on(writer, piece)
            left = None if left is None else left - len(piece)
        if writer.can_write_eof() and not writer.transport.is_closing():
            writer.write_eof()

    async def _pass_on(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        rate = self._fault.bytes_per_s
        step = len(piece) if rate is None else max(1, int(rate * THROTTLE_STEP_S))
        for begin in range(0, len(piece), step or 1):
            if rate is not None:
                await asyncio.sleep(step / rate)
            writer.write(piece[begin : begin + step])
            await writer.drain()

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = self._fault.end
        assert end is not None
        self._done.ended[end] += 1
        if end == "reset":
            self.reset()
        elif end == "close":
            self._close()
        elif end == "garbage":
            writer.write(self._chance.randbytes(GARBAGE_BYTES))
            await writer.drain()
            self._close()
        else:
            if end == "half_close":
                writer.write_eof()
            while await reader.read(PIECE_BYTES):
                pass

    def _watch_quiet(self, direction: Direction) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if self._fault.idle_s is not None and direction == "answer":
            wait_s = self._chance.uniform(*self._fault.idle_s)
            self._quiet = asyncio.get_running_loop().call_later(wait_s, self._close_quiet)

    def _close_quiet(self) -> None:
        # One step later: a request that was read in this very step is still heard.
        self._quiet = asyncio.get_running_loop().call_soon(self._close_now)

    def _close_now(self) -> None:
        self._done.ended["idle"] += 1
        self._close()
