"""What is no HTTP is answered like every other wrong request, and repeats nothing of it."""

import asyncio
import contextlib
import gzip
import logging
import socket
import weakref

import orjson
import pytest
from aiohttp import http_parser, web

from gateway.config import ServerConfig
from gateway.errors import CallError, ConfigError, Outcome
from gateway.server import listener, one_too_many
from gateway.server.listener import Listener
from gateway.server.refusals import send_error

SECRET = b"sk-do-not-repeat-me"
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Front:
    """A listener in front of a handler that reads the body and answers "fine"."""

    def __init__(self):
        self.settings = ServerConfig()
        self.reached = []
        self.let_go = []
        """The paths of requests that nobody holds any more."""
        self.hold = asyncio.Event()
        self.listener = None

    def set(self, **settings):
        self.settings = self.settings.model_copy(update=settings)

    async def handle(self, request):
        self.reached.append(request.path)
        if request.path == "/held":
            await self.hold.wait()
        if request.path == "/broken":
            raise RuntimeError("nobody foresaw this")
        if request.path == "/refused":
            return send_error(request, CallError(Outcome.UNKNOWN_PATH, "x" * 10_000), "req_1")
        body = await request.read()
        if request.path == "/echo":
            return web.Response(body=body)
        weakref.finalize(request, self.let_go.append, request.path)
        return web.Response(text="fine")

    @property
    def connections(self):
        return self.listener.server.connections

    async def connect(self):
        return await asyncio.open_connection(*self.listener.addresses[0])

    async def ask(self, raw):
        """Sends bytes and gives the answer's head and body, once the connection is closed."""
        reader, writer = await self.connect()
        writer.write(raw)
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head, body


@pytest.fixture
async def front():
    front = Front()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.handle)
    front.listener = Listener(app, lambda: front.settings, access_log=None, shutdown_timeout=0.1)
    await front.listener.setup()
    await web.TCPSite(front.listener, "127.0.0.1", 0).start()
    yield front
    await front.listener.cleanup()


@pytest.fixture
def ask(front):
    return front.ask


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        HEAD + b"Authorization: Bearer " + SECRET + b"\0\r\n\r\n",
        HEAD + b"Authorization: " + SECRET + b"\r\n folded\r\n\r\n",
        HEAD + b"X-Key: " + SECRET * 1000 + b"\r\n\r\n",
        HEAD + b"Host: y\r\n\r\n",
        b"GET /" + SECRET + b"\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/7.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"Transfer-Encoding:\r\n\r\n",
        HEAD + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"X-Key: a\rb\r\n\r\n",
        HEAD + b"X-Key: " + SECRET + b"\x01\r\n\r\n",
        HEAD + b"X-Key : " + SECRET + b"\r\n\r\n",
        HEAD + b"Expect: " + SECRET + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + SECRET + b"/a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@x\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://elsewhere/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"\x16\x03\x01" + SECRET + b"\r\n\r\n",
    ],
)
async def test_broken_http_gets_one_clean_answer_and_one_line_in_the_log(front, caplog, raw):
    head, body = await front.ask(raw)
    assert front.reached == []
    assert b" 400 " in head.splitlines()[0]
    assert b"x-request-id: req_" in head.lower()
    assert orjson.loads(body)["error"]["type"] == "invalid_request_error"
    assert SECRET not in head + body
    [line] = caplog.records
    assert line.exc_info is None
    assert SECRET.decode() not in line.getMessage()


async def test_a_fault_of_the_gateway_shows_its_traceback_in_the_log_only(ask, caplog):
    head, body = await ask(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 500 " in head.splitlines()[0]
    error = orjson.loads(body)["error"]
    assert error["code"] == "internal_error"
    assert b"nobody foresaw" not in body
    [line] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert line.exc_info


async def test_requests_that_are_http_are_served(ask):
    head, body = await ask(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert body == b"fine"


@pytest.mark.parametrize("host", [b"x", b"x:8080", b"10.0.0.1:80", b"[::1]:80", b"a-b.c_d"])
async def test_hosts_that_are_hosts_are_served(ask, host):
    head, _ = await ask(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]


async def test_only_allowed_hosts_are_served_and_probes_come_by_any_address(front):
    front.set(allowed_hosts=("gateway.example",))
    head, body = await front.ask(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"server.allowed_hosts" in body
    for served in (
        b"GET / HTTP/1.1\r\nHost: Gateway.example:80\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n",
    ):
        head, _ = await front.ask(served)
        assert b" 200 " in head.splitlines()[0]


async def test_a_body_is_not_unpacked_before_somebody_reads_it(ask):
    packed = gzip.compress(bytes(1000))
    head = b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    _, body = await ask(b"POST /echo HTTP/1.1\r\nHost: x\r\n" + head % len(packed) + packed)
    assert body == packed


async def test_nothing_behind_a_faulty_request_is_served(front):
    pipelined = b"GET /%d HTTP/1.1\r\nHost: x\r\n%b\r\n"
    await front.ask(
        pipelined % (1, b"") + pipelined % (2, b"Expect: tea\r\n") + pipelined % (3, b"")
    )
    assert front.reached == ["/1"]


@pytest.mark.parametrize(
    "behind",
    [
        b"GET /2 HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        b"GET http://x/2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["host", "target", "coding"],
)
async def test_a_request_behind_an_upgrade_that_was_declined_is_looked_at_too(front, behind):
    front.set(allowed_hosts=("x",))
    upgrade = b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    _, answers = await front.ask(upgrade + behind)
    assert front.reached == ["/1"]
    assert b" 400 " in answers


async def test_refusals_that_nobody_reads_are_not_piled_up(front):
    _, writer = await front.connect()
    writer.write(b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
    async with asyncio.timeout(30):
        while not (waiting := [one for one in front.connections if one.writing_paused]):
            await asyncio.sleep(0)
    for _ in range(2000):
        await asyncio.sleep(0)
    assert waiting[0].transport.get_write_buffer_size() < 64 * 1024
    writer.transport.abort()
    assert len(front.reached) < 5000


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost"], ids=["silent", "begun"])
async def test_a_first_head_that_does_not_come_in_time_ends_the_connection(front, begun):
    front.set(head_timeout_s=0.05)
    head, body = await front.ask(begun)
    assert head.startswith(b"HTTP/1.1 408 ") if begun else head == b""
    if begun:
        assert orjson.loads(body)["error"]["code"] == "request_timeout"


async def test_a_head_that_begins_as_its_connection_opens_is_told_too(front):
    front.set(head_timeout_s=0.05)
    with socket.create_connection(front.listener.addresses[0]) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost")  # before the loop has seen the connection
        sock.setblocking(False)
        answer = await asyncio.get_running_loop().sock_recv(sock, 1000)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_comes_a_byte_at_a_time_gets_no_more_time(front):
    front.set(head_timeout_s=0.2)
    reader, writer = await front.connect()
    answer = asyncio.ensure_future(reader.read())
    while not answer.done():
        writer.write(b"G")
        await asyncio.wait([answer], timeout=0.02)
    writer.close()
    assert b" 408 " in answer.result() or b" 400 " in answer.result()


async def test_a_further_head_has_its_time_from_its_first_byte(front):
    reader, writer = await front.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"fine")
    front.set(head_timeout_s=0.05)
    writer.write(b"GET / HT")
    async with asyncio.timeout(30):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_idle_connection_is_closed_without_a_word(front):
    front.set(head_timeout_s=0.05, idle_timeout_s=0.1)
    reader, writer = await front.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"fine")
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


@pytest.fixture
async def resting(front, monkeypatch):
    """A connection that was asked once and is at rest."""
    monkeypatch.setattr(listener, "REST_S", 0.01)
    front.set(write_timeout_s=0.1)
    reader, writer = await front.connect()
    writer.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"fine")
    await at_rest(front)
    yield reader, writer
    writer.close()


async def at_rest(front):
    [connection] = front.connections
    async with asyncio.timeout(30):
        while connection._task_handler is not None:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET /2 HTTP/1.1\r\nHo", b"st: x\r\n\r\n", b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n", b"{}",
         b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ],
    ids=["two at once", "in pieces", "with a body"],
)  # fmt: skip
async def test_a_connection_at_rest_answers_what_comes_in_its_order(front, resting, pieces):
    reader, writer = resting
    async with asyncio.timeout(30):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.readuntil(b"fine")
        await reader.readuntil(b"fine")
    assert front.reached == ["/first", "/2", "/3"]


async def test_a_connection_that_was_woken_begins_nothing_before_it_has_answered(front, resting):
    reader, writer = resting
    async with asyncio.timeout(30):
        writer.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        while front.reached != ["/first", "/held"]:
            await asyncio.sleep(0)
        writer.write(b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
        [connection] = front.connections
        while not connection._messages and len(front.reached) == 2:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert front.reached == ["/first", "/held"]
        front.hold.set()
        await reader.readuntil(b"fine")
        await reader.readuntil(b"fine")
    assert front.reached == ["/first", "/held", "/3"]


async def test_a_connection_comes_to_rest_again_and_again(front, resting):
    reader, writer = resting
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"fine")
        await at_rest(front)
    assert len(front.reached) == 4


async def test_a_connection_at_rest_holds_nothing_of_its_last_request(front, resting):
    async with asyncio.timeout(30):
        while front.let_go != ["/first"]:
            await asyncio.sleep(0)


async def test_a_connection_at_rest_is_closed_when_it_was_idle_long_enough(front, resting):
    reader, writer = resting
    front.set(idle_timeout_s=0.1)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await reader.read()).endswith(b"fine")


async def test_a_head_that_does_not_end_is_told_to_a_connection_at_rest_too(front, resting):
    reader, writer = resting
    front.set(head_timeout_s=0.05)
    writer.write(b"GET / HT")
    async with asyncio.timeout(30):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_a_listener_that_stops_closes_connections_at_rest(front, resting):
    reader, _ = resting
    async with asyncio.timeout(30):
        await front.listener.cleanup()
        assert await reader.read() == b""


async def test_a_connection_too_many_is_told_and_the_next_one_is_served(front):
    front.set(max_connections=1)
    reader, writer = await front.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"fine")
    head, body = await front.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert b"server.max_connections" in body
    writer.close()
    await writer.wait_closed()
    head = b""
    async with asyncio.timeout(30):
        while not head.startswith(b"HTTP/1.1 200 "):
            head, _ = await front.ask(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def test_more_of_those_than_can_be_told_are_closed_without_a_word(front, monkeypatch):
    monkeypatch.setattr(one_too_many, "MAX_TURNED_AWAY", 1)
    front.set(max_connections=0)
    first, writer = await front.connect()
    async with asyncio.timeout(30):
        second, other = await front.connect()
        with contextlib.suppress(ConnectionResetError):
            assert await second.read() == b""
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await first.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()
    other.close()


async def test_the_gateway_does_not_start_with_the_lenient_parser(monkeypatch):
    monkeypatch.delattr(http_parser, "HttpRequestParserC")
    with pytest.raises(ConfigError, match="C parser"):
        Listener(web.Application(), ServerConfig)


async def test_the_gateway_does_not_start_with_an_old_aiohttp(monkeypatch):
    monkeypatch.setattr("aiohttp.__version__", "3.14.4")
    with pytest.raises(ConfigError, match="too old"):
        Listener(web.Application(), ServerConfig)
