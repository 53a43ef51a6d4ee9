"""CPU of one request through the connection pool, beside aiohttp's ClientSession.

``python benchmarks/pool_micro.py [--seconds 3] [--concurrency 64] [--tls]``: a raw server runs in
a process of its own, both clients take turns in this one, and user + system time of this process
is divided by the requests it made. 1 KB up, 600 B down.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe

import aiohttp
import uvloop

from gateway.schema import Timeouts, UpstreamRequest
from gateway.upstream.pool import ConnectionPool

REQUEST_BODY = b"x" * 1024
HEADERS = (
    ("authorization", "Bearer sk-micro-benchmark"),
    ("content-type", "application/json"),
    ("accept", "application/json"),
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: micro\r\n"
    b"date: Sun, 22 Nov 2026 00:00:00 GMT\r\nx-request-id: 0123456789abcdef\r\n"
    b"content-length: 600\r\n\r\n" + b"y" * 600
)


class Server(asyncio.Protocol):
    """Answers whenever the end of a request's body has come by."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        if self.pending.endswith(REQUEST_BODY):
            self.pending = b""
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def serve(pipe: Pipe, certificate: str | None) -> None:
    async def run() -> None:
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0, ssl=context)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(name: str, call: Callable[[], Awaitable[None]], args: argparse.Namespace) -> None:
    made = 0
    stop_at = 0.0

    async def worker() -> None:
        nonlocal made
        while time.perf_counter() < stop_at:
            await call()
            made += 1

    async def burst(seconds: float) -> None:
        nonlocal stop_at
        stop_at = time.perf_counter() + seconds
        await asyncio.gather(*(worker() for _ in range(args.concurrency)))

    await burst(0.3)
    made, cpu_before, wall_before = 0, cpu_s(), time.perf_counter()
    await burst(args.seconds)
    cpu, wall = cpu_s() - cpu_before, time.perf_counter() - wall_before
    print(f"{name:24} {cpu / made * 1e6:7.1f} µs CPU/request {made / wall:9.0f} requests/s")


async def run(url: str, context: ssl.SSLContext | None, args: argparse.Namespace) -> None:
    pool = ConnectionPool(max_connections=args.concurrency, ssl_context=context)
    request, timeouts = UpstreamRequest(url, HEADERS, REQUEST_BODY), Timeouts()

    async def through_pool() -> None:
        response = await pool.send(request, timeouts)
        body = await response.read(1 << 20)
        assert (response.status, len(body)) == (200, 600)

    connector = aiohttp.TCPConnector(limit=args.concurrency, ssl=context or True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def through_aiohttp() -> None:
            async with session.post(url, headers=HEADERS, data=REQUEST_BODY) as response:
                body = await response.read()
                assert (response.status, len(body)) == (200, 600)

        for _ in range(args.rounds):
            await measure("connection pool", through_pool, args)
            await measure("aiohttp ClientSession", through_aiohttp, args)
    await pool.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--asyncio", action="store_true", help="asyncio's own loop, not uvloop")
    args = parser.parse_args()
    context, certificate = None, None
    if args.tls:
        import trustme

        authority = trustme.CA()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
            certificate = file.name
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, certificate), daemon=True)
    server.start()
    url = f"{'https' if args.tls else 'http'}://127.0.0.1:{ours.recv()}/v1/chat/completions"
    runner = asyncio.run if args.asyncio else uvloop.run
    runner(run(url, context, args))
    server.terminate()


if __name__ == "__main__":
    main()
