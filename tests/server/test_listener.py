"""What is no HTTP is answered like every other wrong request, and repeats nothing of it."""

import asyncio
import logging

import orjson
import pytest
from aiohttp import web

from gateway.server.listener import Listener

SECRET = b"sk-do-not-repeat-me"
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def ask():
    """Sends bytes to a listener and gives the answer's head and body."""

    async def handle(request):
        if request.path == "/broken":
            raise RuntimeError("nobody foresaw this")
        await request.read()
        return web.Response(text="fine")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    listener = Listener(app, access_log=None)
    await listener.setup()
    await web.TCPSite(listener, "127.0.0.1", 0).start()

    async def send(raw):
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        writer.write(raw)
        async with asyncio.timeout(5):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head, body

    yield send
    await listener.cleanup()


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        HEAD + b"Authorization: Bearer " + SECRET + b"\0\r\n\r\n",
        HEAD + b"Authorization: " + SECRET + b"\r\n folded\r\n\r\n",
        HEAD + b"X-Key: " + SECRET * 1000 + b"\r\n\r\n",
        HEAD + b"Host: y\r\n\r\n",
        HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n?",
        b"GET /" + SECRET + b"\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/7.0\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01" + SECRET + b"\r\n\r\n",
    ],
)
async def test_broken_http_gets_one_clean_answer_and_one_line_in_the_log(ask, caplog, raw):
    head, body = await ask(raw)
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
