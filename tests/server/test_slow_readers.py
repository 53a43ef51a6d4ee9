"""A client that reads slowly, or not at all, holds up its own stream and nothing else."""

import asyncio

import pytest
from aiohttp import web

from gateway.errors import CallError, Outcome
from gateway.server.replies import HttpClient

PIECE = b"x" * 65536
SOON_S = 30.0


@pytest.fixture
def serve(aiohttp_server):
    """Serves ``use(client)`` and connects a raw client that has not read anything yet."""

    async def start(use, timeout_s=60.0):
        async def handle(request):
            client = HttpClient(request, "req_1", write_timeout_s=timeout_s)
            while client.write(PIECE):
                pass
            await use(client)
            return client.sent

        app = web.Application()
        app.router.add_get("/", handle)
        server = await aiohttp_server(app)
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return reader, writer

    return start


async def test_a_full_buffer_is_watched_once_however_often_it_is_found_full(serve):
    resumed, full, drained = [], asyncio.Event(), asyncio.Event()

    async def use(client):
        for n in range(1000):
            client.when_drained(lambda n=n: (resumed.append(n), drained.set()))
        full.set()
        await drained.wait()

    reader, writer = await serve(use)
    await full.wait()
    assert not resumed
    async with asyncio.timeout(SOON_S):
        await reader.read()
    writer.close()
    assert resumed == [999]


async def test_nobody_watches_the_buffer_of_a_client_that_is_gone(serve):
    full, ended = asyncio.Event(), asyncio.Event()

    async def use(client):
        client.when_drained(ended.set)
        full.set()
        await asyncio.Event().wait()

    _, writer = await serve(use)
    await full.wait()
    writer.transport.abort()
    async with asyncio.timeout(SOON_S):
        await ended.wait()


async def test_a_client_that_takes_nothing_of_the_last_bytes_is_cut_off(serve):
    ended = asyncio.Event()

    async def use(client):
        try:
            await client.fail(CallError(Outcome.UPSTREAM_CUT, "cut"))
        finally:
            ended.set()

    _, writer = await serve(use, timeout_s=0.05)
    async with asyncio.timeout(SOON_S):
        await ended.wait()
    writer.transport.abort()
