"""Bodies as they come: pieces out of the callback, and a slow reader who holds the upstream."""

import asyncio
from math import inf

import pytest

from gateway.errors import CallError
from gateway.schema import Timeouts
from gateway.upstream.response import BUFFER_BYTES

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
MEGABYTE = 1 << 20
READ_BYTES = 256 * 1024
"""What one read of the event loop may bring at most."""


async def test_each_piece_is_received_before_the_next_is_sent(serve, pool):
    received = asyncio.Queue()

    async def script(peer):
        await peer.request()
        await peer.answer(CHUNKED)
        for number in range(20):
            await peer.answer(b"1\r\n%c\r\n" % (65 + number))
            assert await received.get() == bytes([65 + number])
        await peer.answer(b"0\r\n\r\n")
        await peer.hung_up()

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    await response.pump(received.put_nowait)
    assert pool.open_connections == 1


async def test_first_gives_a_piece_and_pump_the_rest(serve, pool):
    go_on = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(CHUNKED + b"5\r\nhello\r\n")
        await go_on.wait()
        await peer.answer(b"6\r\n world\r\n0\r\n\r\n")

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    assert await response.first() == b"hello"
    go_on.set()
    rest = []
    await response.pump(rest.append)
    assert b"".join(rest) == b" world"


async def test_first_is_empty_at_the_end(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(CHUNKED + b"0\r\n\r\n")
        await peer.hung_up()

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    assert await response.first() == b""
    assert pool.open_connections == 1


async def test_a_body_is_read_once(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 2\r\n\r\nok")

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    assert await response.read(2) == b"ok"
    with pytest.raises(RuntimeError, match="read once"):
        await response.read(2)


async def flood(peer):
    """Writes until nobody reads any more, and tells how much went out."""
    await peer.request()
    peer.writer.write(OK + b"content-length: %d\r\n\r\n" % (64 * MEGABYTE))
    for _ in range(64):
        await peer.answer(b"x" * MEGABYTE)
    await peer.hung_up()


async def test_an_unread_answer_is_buffered_up_to_a_limit(serve, pool):
    server = await serve(flood)
    response = await pool.send(server.request(), Timeouts(idle_s=60, total_s=inf))
    while not response._wire._paused:
        await asyncio.sleep(0)
    assert response._wire._alarm.deadline_s == inf  # it is not the upstream that is silent
    assert response._buffered_bytes <= BUFFER_BYTES + READ_BYTES
    assert len(await response.read(64 * MEGABYTE)) == 64 * MEGABYTE
    assert pool.open_connections == 1


async def test_pause_stops_the_pieces_and_the_idle_clock(serve, pool):
    server = await serve(flood)
    response = await pool.send(server.request(), Timeouts(idle_s=60, total_s=inf))
    received_bytes = 0
    paused_at = []

    def receive(piece):
        nonlocal received_bytes
        received_bytes += len(piece)
        if not paused_at and received_bytes > MEGABYTE:
            paused_at.append(received_bytes)
            response.pause()

    pumping = asyncio.create_task(response.pump(receive))
    while not paused_at:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert not pumping.done()
    assert received_bytes <= paused_at[0] + READ_BYTES
    assert response._wire._alarm.deadline_s == inf
    response.resume()
    assert response._wire._alarm.deadline_s < inf
    await pumping
    assert received_bytes == 64 * MEGABYTE
    assert pool.open_connections == 1


async def test_a_pause_does_not_outlive_the_total(serve, pool):
    server = await serve(flood)
    response = await pool.send(server.request(), Timeouts(total_s=0.1))
    response.pause()
    with pytest.raises(CallError, match=r"did not finish within 0\.1 s"):
        await response.pump(lambda piece: None)
    assert pool.open_connections == 0


async def test_a_connection_paused_at_its_last_piece_is_read_again_when_idle(serve, pool):
    closing = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 5\r\n\r\n", b"hello")
        await closing.wait()

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    await response.pump(lambda piece: response.pause())
    assert pool.open_connections == 1
    closing.set()
    while pool.open_connections:
        await asyncio.sleep(0)


async def test_closing_from_within_receive_ends_the_pump(serve, pool):
    server = await serve(flood)
    response = await pool.send(server.request(), Timeouts())
    with pytest.raises(CallError, match="closed before its end"):
        await response.pump(lambda piece: response.close())
    assert pool.open_connections == 0


async def test_a_large_request_arrives_whole(serve, pool):
    body = bytes(range(256)) * 65_536

    async def script(peer):
        assert await peer.request() == body
        await peer.answer(OK + b"content-length: 0\r\n\r\n")
        await peer.hung_up()

    server = await serve(script)
    response = await pool.send(server.request(body), Timeouts())
    assert response.status == 200
    assert pool.open_connections == 1


async def test_an_answer_before_the_request_is_out_is_an_answer(serve, pool):
    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.answer(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await peer.asked.wait()

    server = await serve(script)
    response = await pool.send(server.request(b"x" * 64 * MEGABYTE), Timeouts())
    assert response.status == 413
    assert pool.open_connections == 0
