"""Every failure says whether the upstream may have taken the request, and leaves no socket."""

import asyncio
import socket

import pytest

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
BIG = b"x" * 20_000_000


@pytest.fixture
def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def full_port():
    """A port whose backlog is full: connecting to it gets no answer."""
    listening, *knocking = (socket.socket() for _ in range(4))
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    for sock in knocking:
        sock.setblocking(False)
        sock.connect_ex(listening.getsockname())
    yield listening.getsockname()[1]
    for sock in (listening, *knocking):
        sock.close()


async def exchange(pool, request, timeouts):
    response = await pool.send(request, timeouts)
    return await response.read(1 << 30)


async def failure_of(pool, request, timeouts):
    with pytest.raises(CallError) as caught:
        await exchange(pool, request, timeouts)
    assert pool.open_connections == 0
    return caught.value


def hanging_up(*pieces):
    """Writes ``pieces`` after a request, then waits for the client to hang up."""
    hung_up = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.request()
        await peer.answer(*pieces)
        hung_up.set_result(await peer.hung_up())

    return script, hung_up


async def test_a_refused_connection_is_unreachable(serve, pool, unused_port):
    server = await serve(None)
    request = server.request(url=f"http://127.0.0.1:{unused_port}/")
    error = await failure_of(pool, request, Timeouts())
    assert error.outcome is Outcome.UPSTREAM_UNREACHABLE
    assert f"127.0.0.1:{unused_port} cannot be reached" in error.message


async def test_an_unknown_name_is_unreachable_and_asked_for_again(serve, pool):
    server = await serve(None)
    request = server.request(url="http://nowhere.invalid/")
    for _ in range(2):
        error = await failure_of(pool, request, Timeouts())
        assert error.outcome is Outcome.UPSTREAM_UNREACHABLE


async def test_a_connect_timeout_is_unreachable(serve, pool, full_port):
    server = await serve(None)
    request = server.request(url=f"http://127.0.0.1:{full_port}/")
    error = await failure_of(pool, request, Timeouts(connect_s=0.05))
    assert error.outcome is Outcome.UPSTREAM_UNREACHABLE
    assert error.message.endswith(f"127.0.0.1:{full_port} timed out after 0.05 s.")


async def test_a_silent_handshake_is_a_connect_timeout(serve, pool):
    hung_up = asyncio.get_running_loop().create_future()

    async def script(peer):
        hung_up.set_result(await peer.reader.read())

    server = await serve(script)
    request = server.request(url=server.url.replace("http:", "https:"))
    error = await failure_of(pool, request, Timeouts(connect_s=0.5))
    assert error.outcome is Outcome.UPSTREAM_UNREACHABLE
    assert (await hung_up).startswith(b"\x16\x03")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nx:", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_slow_head_times_out(serve, pool, start):
    script, hung_up = hanging_up(start)
    server = await serve(script)
    error = await failure_of(pool, server.request(), Timeouts(first_byte_s=0.05))
    assert error.outcome is Outcome.UPSTREAM_TIMEOUT
    assert error.message.endswith("did not answer within 0.05 s.")
    assert await hung_up


async def test_silence_within_an_answer_times_out(serve, pool):
    script, hung_up = hanging_up(OK + b"content-length: 9\r\n\r\nhello")
    server = await serve(script)
    error = await failure_of(pool, server.request(), Timeouts(idle_s=0.05))
    assert error.outcome is Outcome.UPSTREAM_TIMEOUT
    assert error.message.endswith("fell silent for 0.05 s within its answer.")
    assert await hung_up


async def test_each_piece_starts_the_idle_clock_anew(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 8\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.01)
            await peer.answer(b"xx")

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts(idle_s=60))
    rings_at_s = []
    await response.pump(lambda piece: rings_at_s.append(response._wire._alarm.deadline_s))
    assert len(rings_at_s) > 1
    assert rings_at_s == sorted(set(rings_at_s))


async def test_an_answer_that_never_ends_meets_the_total(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"\r\n")
        while True:
            await asyncio.sleep(0.01)
            await peer.answer(b"x")

    server = await serve(script)
    error = await failure_of(pool, server.request(), Timeouts(total_s=0.1))
    assert error.outcome is Outcome.UPSTREAM_TIMEOUT
    assert error.message.endswith("did not finish within 0.1 s.")


async def test_a_request_that_nobody_takes_times_out(serve, pool):
    async def script(peer):
        await asyncio.get_running_loop().create_future()

    server = await serve(script)
    error = await failure_of(pool, server.request(BIG), Timeouts(idle_s=0.1, first_byte_s=0.01))
    assert error.outcome is Outcome.UPSTREAM_TIMEOUT
    assert error.message.endswith("took nothing of the request for 0.1 s.")


async def test_the_first_byte_clock_starts_when_the_request_is_out(serve, pool):
    async def script(peer):
        await asyncio.sleep(0.2)
        assert await peer.request() == BIG
        await peer.answer(HELLO)

    server = await serve(script)
    response = await pool.send(server.request(BIG), Timeouts(first_byte_s=0.15))
    assert await response.read(5) == b"hello"


async def test_a_reset_after_the_request_is_a_cut(serve, pool):
    async def script(peer):
        await peer.request()
        peer.reset()

    server = await serve(script)
    error = await failure_of(pool, server.request(), Timeouts())
    assert error.outcome is Outcome.UPSTREAM_CUT
    assert "before it answered" in error.message


async def test_a_reset_within_an_answer_without_a_length_is_a_cut(serve, pool):
    go_on = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"\r\nhello")
        await go_on.wait()
        peer.reset()

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    assert await response.first() == b"hello"
    go_on.set()
    with pytest.raises(CallError) as caught:
        await response.pump(lambda piece: None)
    assert caught.value.outcome is Outcome.UPSTREAM_CUT


async def test_what_came_before_a_cut_is_handed_on_first(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 9\r\n\r\nhello")
        await peer.close()

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    got = []
    with pytest.raises(CallError):
        await response.pump(got.append)
    assert b"".join(got) == b"hello"


@pytest.mark.parametrize("stage", ["head", "read", "pump", "first"])
async def test_cancelling_closes_the_socket_at_once(serve, pool, stage):
    head_is_out = stage != "head"
    hung_up = asyncio.get_running_loop().create_future()
    reading_began = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 9\r\n\r\n" if head_is_out else b"")
        hung_up.set_result(await peer.hung_up())

    async def call(request):
        response = await pool.send(request, Timeouts())
        reading = {
            "read": lambda: response.read(100),
            "pump": lambda: response.pump(lambda piece: None),
            "first": response.first,
        }
        reading_began.set()
        await reading[stage]()

    server = await serve(script)
    calling = asyncio.create_task(call(server.request()))
    await (reading_began if head_is_out else server.asked).wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert pool.open_connections == 0
    assert await hung_up


async def test_cancelling_while_connecting_leaves_nothing(serve, pool, full_port):
    server = await serve(None)
    request = server.request(url=f"http://127.0.0.1:{full_port}/")
    calling = asyncio.create_task(pool.send(request, Timeouts()))
    await asyncio.sleep(0)
    assert pool.open_connections == 1
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert pool.open_connections == 0


async def test_closing_an_unread_answer_closes_the_socket(serve, pool):
    script, hung_up = hanging_up(OK + b"content-length: 9\r\n\r\nhello")
    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    response.close()
    response.close()
    assert await hung_up
    with pytest.raises(CallError, match="closed before its end"):
        await response.read(100)


async def test_an_exception_out_of_receive_closes_the_socket_and_comes_out(serve, pool):
    script, hung_up = hanging_up(OK + b"content-length: 9\r\n\r\nhello")
    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())

    def receive(piece):
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await response.pump(receive)
    assert await hung_up
    assert pool.open_connections == 0


async def test_closing_the_pool_cuts_what_is_in_flight(serve, pool):
    script, hung_up = hanging_up()
    server = await serve(script)
    calling = asyncio.create_task(pool.send(server.request(), Timeouts()))
    await server.asked.wait()
    await pool.close()
    with pytest.raises(CallError):
        await calling
    assert await hung_up
    error = await failure_of(pool, server.request(), Timeouts())
    assert error.outcome is Outcome.UPSTREAM_UNREACHABLE
