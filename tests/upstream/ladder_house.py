"""A gateway in this process in front of upstreams that count what they get and misbehave on demand.

Each upstream is a raw listener on a loopback socket. What it does with a request is a coroutine,
``act``; the default answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp.test_utils import TestServer

from gateway.app import Gateway, Options

KEY, ADMIN_KEY = "sk-ladder", "sk-ladder-admin"
CONFIG = """
rehearsal: %(rehearsal)s
rehearsal_model: stage
providers:
  rehearsal: {}
%(providers)s
models:
  writer:
    targets: [%(targets)s]
    context_tokens: 100000
    max_output_tokens: 1000
    capabilities: [chat, tools]
    price: {input_per_mtok: "1", output_per_mtok: "2"}
  dear:
    targets: [%(last)s/dear]
    context_tokens: 100000
    max_output_tokens: 1000
    price: {input_per_mtok: "10", output_per_mtok: "20"}
  stage: {targets: [rehearsal/rehearsal-writer], capabilities: [chat]}
tasks:
  draft: {models: [writer], deadline_s: 20}
  hurry: {models: [writer], deadline_s: 1}
  deep: {models: [writer, dear]}
  both: {models: [writer], hedge_after_s: 0.05}
"""
WORDS = "雨夜"


class Asked:
    """One request, and the means to answer it."""

    def __init__(self, reader, writer, body):
        self.reader = reader
        self.writer = writer
        self.body = body
        self.gone = asyncio.Event()
        """Its client has closed the connection."""

    @property
    def streamed(self):
        return self.body.get("stream", False)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, status, body, *headers):
        head = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}", *headers]
        if not any(line.startswith("content-type") for line in head):
            head.append("content-type: application/json")
        await self.send("\r\n".join([*head, "", ""]).encode() + body)

    async def until_gone(self):
        await self.reader.read(1)
        self.gone.set()


def chunk(content=None, finish=None):
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    event = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + orjson.dumps(event) + b"\n\n"


async def answers(asked):
    """Like a model."""
    if asked.streamed:
        body = chunk(WORDS) + chunk(finish="stop") + b"data: [DONE]\n\n"
        return await asked.reply(200, body, "content-type: text/event-stream")
    message = {"role": "assistant", "content": WORDS}
    answer = {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    await asked.reply(200, orjson.dumps(answer))


STREAM_HEAD = b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def begins_and_ends_at(moment):
    """A stream whose first word comes at once, and its end when ``moment`` has come."""

    async def act(asked):
        await asked.send(STREAM_HEAD + chunk(WORDS))
        await moment.wait()
        await asked.send(chunk(finish="stop") + b"data: [DONE]\n\n")
        asked.writer.close()

    return act


def says(status, code="x", *headers):
    """An error in the OpenAI shape."""
    body = orjson.dumps({"error": {"message": "no", "type": "t", "code": code}})

    async def act(asked):
        await asked.reply(status, body, *headers)

    return act


async def cuts(asked):
    asked.writer.transport.abort()


async def cuts_after_a_chunk(asked):
    await asked.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
        + chunk(WORDS)
    )
    asked.writer.close()


async def is_silent(asked):
    """Takes the request and never says a word."""
    await asked.until_gone()


class Upstream:
    """``asked`` is every request that came; ``script`` are acts for the next ones, one each."""

    def __init__(self):
        self.asked = []
        self.script = deque()
        self.act = answers
        self.changed = asyncio.Condition()
        self.port = 0
        self._server = None
        self._writers = set()

    async def open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self):
        """Nobody listens any more, and what was open is cut."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def was_asked(self, times):
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.asked) >= times)

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                asked = Asked(reader, writer, orjson.loads(await reader.readexactly(length)))
                self.asked.append(asked)
                async with self.changed:
                    self.changed.notify_all()
                await (self.script.popleft() if self.script else self.act)(asked)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway has hung up, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def error(self):
        return orjson.loads(self.body)["error"]

    @property
    def provider(self):
        return self.headers.get("x-daobo-provider")


@dataclass
class House:
    """The gateway, its upstreams in the ladder's order, and the records of finished calls."""

    gateway: Gateway
    url: str
    admin_url: str
    session: aiohttp.ClientSession
    upstreams: list[Upstream]
    observed: list = field(default_factory=list)

    async def records(self, count=1):
        """The records of finished calls, once there are so many."""
        async with asyncio.timeout(5):
            while len(self.observed) < count:
                await asyncio.sleep(0)
                self.gateway.records.flush()
        return self.observed

    async def attempts(self):
        """Those of the only call."""
        (record,) = await self.records()
        return record.attempts

    @property
    def total_asked(self):
        return sum(len(upstream.asked) for upstream in self.upstreams)

    def post(self, model="writer", **body):
        body = {"model": model, "messages": [{"role": "user", "content": "写"}], **body}
        headers = {"Authorization": f"Bearer {KEY}"}
        return self.session.post(self.url + "v1/chat/completions", json=body, headers=headers)

    async def call(self, model="writer", **body):
        async with self.post(model, **body) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def admin(self, path):
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with self.session.get(self.admin_url + path, headers=headers) as response:
            return await response.text()


@asynccontextmanager
async def ladder_house(tmp_path, size=2, more="", rehearsal="never", first="", redis=""):
    """``size`` upstreams on one ladder; ``more`` is added to the configuration, ``first`` to the
    entry of the first provider, ``redis`` is where limits are counted."""
    upstreams = [Upstream() for _ in range(size)]
    for upstream in upstreams:
        await upstream.open()
    names = [f"p{number}" for number in range(size)]
    entries = "\n".join(
        f'  {name}: {{type: openai-compatible, base_url: "http://127.0.0.1:{it.port}/v1"{said}}}'
        for name, it, said in zip(names, upstreams, [first, *[""] * (size - 1)], strict=True)
    )
    targets = ", ".join(f"{name}/m" for name in names)
    config = tmp_path / "gateway.yaml"
    said = {"providers": entries, "targets": targets, "rehearsal": rehearsal, "last": names[-1]}
    config.write_text(CONFIG % said + more)
    records = []
    environ = {"DAOBO_KEY": KEY, "DAOBO_ADMIN_KEY": ADMIN_KEY, "DAOBO_REDIS_URL": redis}
    gateway = Gateway(Options(config, tmp_path, environ), records.append)
    async with (
        TestServer(gateway.public_app()) as public,
        TestServer(gateway.admin_app()) as admin,
        aiohttp.ClientSession() as session,
    ):
        urls = str(public.make_url("/")), str(admin.make_url("/"))
        yield House(gateway, *urls, session, upstreams, records)
    await gateway.close()
    for upstream in upstreams:
        await upstream.die()
