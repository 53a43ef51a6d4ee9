"""The proxy that tests of faults rely on does what its orders say, and nothing else."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from .fault_proxy import Fault, FaultProxy

WORD = b"0123456789"
LIMIT_S = 5.0
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Other:
    """The end behind the proxy: sends back what it gets, and remembers how each visit ended."""

    def __init__(self) -> None:
        self.got = b""
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                self.got += piece
                writer.write(piece)
                await writer.drain()
            await self.ends.put("end of file")
        except ConnectionResetError:
            await self.ends.put("reset")
        writer.close()

    async def end(self) -> str:
        return await asyncio.wait_for(self.ends.get(), LIMIT_S)


Meeting = tuple[FaultProxy, Other, Callable[[], Awaitable[Ends]]]


@asynccontextmanager
async def meeting(fault: Fault) -> AsyncIterator[Meeting]:
    """A proxy that does this to each connection, who is behind it, and how to get there."""
    other = Other()
    server = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy(port, random.Random(7), lambda _: fault) as proxy:
        yield proxy, other, lambda: asyncio.open_connection("127.0.0.1", proxy.port)
    server.close()


async def said(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), LIMIT_S)


async def test_without_an_order_bytes_pass_both_ways_and_so_does_the_end() -> None:
    async with meeting(Fault()) as (_, other, connect):
        reader, writer = await connect()
        writer.write(WORD * 100_000)
        writer.write_eof()
        assert await said(reader) == WORD * 100_000
        assert await other.end() == "end of file"
        writer.close()


async def test_a_delay_holds_each_piece_back() -> None:
    async with meeting(Fault(delay_s=0.1)) as (_, _, connect):
        reader, writer = await connect()
        began_s = time.monotonic()
        writer.write(WORD)
        assert await reader.readexactly(10) == WORD
        assert time.monotonic() - began_s >= 0.2
        writer.close()


async def test_a_throttle_passes_on_so_many_bytes_a_second() -> None:
    async with meeting(Fault(bytes_per_s=10_000)) as (_, _, connect):
        reader, writer = await connect()
        began_s = time.monotonic()
        writer.write(WORD * 200)
        assert await reader.readexactly(2000) == WORD * 200
        assert 0.2 <= time.monotonic() - began_s < 2
        writer.close()


@pytest.mark.parametrize("after_bytes", [0, 1, 15, 29])
async def test_an_answer_is_cut_at_the_byte(after_bytes: int) -> None:
    async with meeting(Fault(end="close", after_bytes=after_bytes)) as (proxy, _, connect):
        reader, writer = await connect()
        for _ in range(3):
            writer.write(WORD)
        assert await said(reader) == (WORD * 3)[:after_bytes]
        assert proxy.done.ended == {"close": 1}
        writer.close()


async def test_a_request_is_cut_at_the_byte() -> None:
    fault = Fault(end="close", after_bytes=4, direction="request")
    async with meeting(fault) as (_, other, connect):
        reader, writer = await connect()
        writer.write(WORD)
        assert await said(reader) in (b"", WORD[:4])
        assert await other.end() == "end of file"
        assert other.got == WORD[:4]
        writer.close()


async def test_a_reset_is_a_reset_at_both_ends() -> None:
    async with meeting(Fault(end="reset", after_bytes=4)) as (_, other, connect):
        reader, writer = await connect()
        writer.write(WORD)
        with pytest.raises(ConnectionResetError):
            await said(reader)
        assert await other.end() == "reset"
        writer.close()


async def test_half_a_close_leaves_the_other_direction_open() -> None:
    async with meeting(Fault(end="half_close", after_bytes=4)) as (_, other, connect):
        reader, writer = await connect()
        writer.write(WORD)
        assert await said(reader) == WORD[:4]
        writer.write(WORD)
        writer.write_eof()
        assert await other.end() == "end of file"
        assert other.got == WORD * 2
        writer.close()


async def test_garbage_takes_the_place_of_what_follows() -> None:
    async with meeting(Fault(end="garbage", after_bytes=4)) as (_, _, connect):
        reader, writer = await connect()
        writer.write(WORD)
        answer = await said(reader)
        assert answer[:4] == WORD[:4]
        assert len(answer) > 100
        assert WORD[4:] not in answer
        writer.close()


async def test_a_black_hole_keeps_the_connection_and_passes_nothing_on() -> None:
    fault = Fault(end="silence", direction="request")
    async with meeting(fault) as (proxy, other, connect):
        reader, writer = await connect()
        writer.write(WORD)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert other.got == b""
        assert proxy.open_connections == 1
        writer.close()


async def test_a_quiet_connection_is_closed_after_its_answer_and_not_before() -> None:
    async with meeting(Fault(idle_s=(0.05, 0.1))) as (proxy, _, connect):
        reader, writer = await connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.write(WORD)
        assert await said(reader) == WORD
        assert proxy.done.ended == {"idle": 1}
        writer.close()


async def test_it_refuses_and_accepts_again() -> None:
    async with meeting(Fault()) as (proxy, _, connect):
        reader, writer = await connect()
        writer.write(WORD)
        assert await reader.readexactly(10) == WORD
        await proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await said(reader)
        with pytest.raises(ConnectionRefusedError):
            await connect()
        await proxy.accept()
        again, again_writer = await connect()
        again_writer.write(WORD)
        assert await again.readexactly(10) == WORD
        for each in (writer, again_writer):
            each.close()


async def test_no_more_connections_than_it_may_have() -> None:
    other = Other()
    server = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy(port, random.Random(7), max_connections=1) as proxy:
        _, first = await asyncio.open_connection("127.0.0.1", proxy.port)
        reader, second = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await said(reader) == b""
        first.close()
        second.close()
    server.close()
