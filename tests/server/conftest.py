"""A gateway in this process, on a real socket, in front of a raw upstream."""

import asyncio
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from yarl import URL

from gateway.app import Gateway, Options

KEY = "sk-door-test"
CONFIG = """
rehearsal: never
server: {max_body_bytes: 20000}
providers:
  wire: {type: openai-compatible, base_url: "%s/v1", first_byte_timeout_s: 5}
  nowhere: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1"}
models:
  writer:
    targets: [wire/writer-1]
    context_tokens: 1000
    capabilities: [chat]
    price: {input_per_mtok: "1", output_per_mtok: "2"}
  seer: {targets: [wire/seer-1], capabilities: [chat, vision, tools], price: {free: true}}
  twins: {targets: [wire/twin-1, wire/twin-2], capabilities: [chat], price: {free: true}}
  painter:
    targets: [wire/painter-1]
    capabilities: [image]
    price: {rules: [{per: image, price: "0.04"}]}
  gauge: {targets: [wire/gauge-1], capabilities: [embeddings], price: {free: true}}
  lost: {targets: [nowhere/lost-1], price: {free: true}}
tasks:
  draft: {models: [lost, writer], max_output_tokens: 100}
auto: {default_task: draft}
"""


CUT = b"\0cut"
"""In a script: close the connection here."""


class RawUpstream:
    """Answers each request with ``script``, or with what it gives when it is called, waits where
    an event stands in it, and remembers when its peer was gone."""

    def __init__(self):
        self.requests = []
        self.script = []
        self.arrived = asyncio.Event()
        self.gone = asyncio.Event()
        self.hold_open = False

    async def serve(self, reader, writer):
        try:
            while head := await self._head(reader):
                self.requests.append(head)
                self.arrived.set()
                for piece in self.script() if callable(self.script) else self.script:
                    if piece is CUT:
                        return
                    if isinstance(piece, asyncio.Event):
                        await piece.wait()
                        continue
                    writer.write(piece)
                    await writer.drain()
                if self.hold_open:
                    await reader.read(1)
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()

    async def _head(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)


@dataclass
class House:
    """The gateway and its address, its upstream, and the records of finished calls."""

    url: str
    upstream: RawUpstream
    session: aiohttp.ClientSession
    gateway: Gateway
    observed: list = field(default_factory=list)

    @property
    def records(self):
        """The records of all calls that have ended."""
        self.gateway.records.flush()
        return self.observed

    def set_server(self, **settings):
        """Change what the configuration says of the listener."""
        rooms = self.gateway.rooms
        server = rooms.loaded.config.server.model_copy(update=settings)
        self.gateway.rooms = replace(rooms, serving=replace(rooms.serving, server=server))

    @property
    def address(self):
        url = URL(self.url)
        return url.host, url.port

    def post(self, path="/v1/chat/completions", **kwargs):
        headers = {"Authorization": f"Bearer {KEY}", **kwargs.pop("headers", {})}
        url = path if isinstance(path, URL) else self.url + path
        return self.session.post(url, headers=headers, **kwargs)

    async def refusal(self, path="/v1/chat/completions", **kwargs):
        """Status and error object of a call that is refused."""
        async with self.post(path, **kwargs) as response:
            answer = await response.json()
            assert response.headers["x-request-id"]
            return response.status, answer["error"]


@pytest.fixture
async def house(tmp_path, aiohttp_server):
    upstream = RawUpstream()
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG % f"http://127.0.0.1:{port}")
    records = []
    gateway = Gateway(Options(config, tmp_path, {"DAOBO_KEY": KEY}), records.append)
    # As the gateway's own listener does, whose connections these tests have no need of.
    server = await aiohttp_server(gateway.public_app(), auto_decompress=False)
    async with aiohttp.ClientSession() as session:
        yield House(str(server.make_url("")).rstrip("/"), upstream, session, gateway, records)
    await gateway.close()
    listener.close()
