"""Raw servers that write whatever bytes a test wants, and the two event loops to meet them on."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import trustme
import uvloop

from gateway.schema import UpstreamRequest
from gateway.upstream.pool import ConnectionPool


def pytest_asyncio_loop_factories(config, item):
    if item.path.name.startswith("test_pool"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, asked: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.asked = asked
        self.reader = reader
        self.writer = writer
        self.head = b""

    async def request(self) -> bytes:
        """Wait for a whole request; its head is kept, its body returned."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await self.reader.readexactly(int(line.partition(b":")[2]))
                self.asked.set()
                return body
        self.asked.set()
        return b""

    async def answer(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def hung_up(self) -> bool:
        """Wait until the client closes; True if nothing else came before."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs a script for each connection; ``accepted`` counts them, ``asked`` tells of the first
    request.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.accepted = 0
        self.asked = asyncio.Event()
        self.failures: list[BaseException] = []
        self.scheme = "http"
        self.port = 0
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, context: ssl.SSLContext | None) -> None:
        self.scheme = "https" if context else "http"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/chat"

    def request(self, body: bytes = b"{}", **changes) -> UpstreamRequest:
        return UpstreamRequest(**{"url": self.url, "headers": (), "body": body, **changes})

    async def stop(self) -> None:
        """Stop listening and end every script."""
        assert self._server is not None
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self.script(Peer(self.asked, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has hung up or the test is over
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            self._running.discard(task)
            writer.close()


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[RawServer]]]:
    """``await serve(script)`` starts a server that runs ``script(peer)`` per connection."""
    servers: list[RawServer] = []

    async def start(script: Script, context: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(script)
        await server.start(context)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()
    assert [failure for server in servers for failure in server.failures] == []


@pytest_asyncio.fixture
async def open_pool() -> AsyncIterator[Callable[..., ConnectionPool]]:
    """``open_pool(max_connections=…)``; closed, and found empty, after the test."""
    pools: list[ConnectionPool] = []

    def build(max_connections: int = 10, **options) -> ConnectionPool:
        pools.append(ConnectionPool(max_connections=max_connections, **options))
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()
        assert pool.open_connections == 0


@pytest_asyncio.fixture
async def pool(open_pool: Callable[..., ConnectionPool]) -> ConnectionPool:
    return open_pool()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 and localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the tests' authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
