"""An OpenAI upstream of our own on a loopback socket: JSON, server-sent events, and trouble.

Tests take replies from ``script`` in order; without one the upstream answers like a small model:
it calls each tool once, then repeats what the tools said, and else it says ``TEXT``.
"""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from . import openai_wire as wire

KEY = "sk-upstream-not-a-secret"
TEXT = "雨夜，便利店。林晚推门而入，风铃响了。"
CALL_ARGUMENTS = '{"city": "上海", "days": 3}'
HEADERS = {"x-request-id": "req_of_the_upstream", "openai-version": "2020-10-01"}
PADDING = "x" * 300_000
"""More than anybody reads at once: what follows a chunk with it always comes in a later read."""
HOLD_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Say:
    """A whole answer. ``reasoning`` goes into the field that DeepSeek and its like use."""

    content: str
    reasoning: str = ""


@dataclass(frozen=True)
class CallTools:
    """Each tool is called with ``arguments``."""

    arguments: str


@dataclass(frozen=True)
class FloatsOnly:
    """Embeddings as floats whatever was asked for, as several servers give them."""


@dataclass(frozen=True)
class Send:
    """A body that is no answer, under whatever name."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Refuse:
    """An error with a status, in the OpenAI shape."""

    status: int
    message: str = "refused by the fake"
    type: str = "server_error"
    code: str | int | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FailInStream:
    """``chunks`` padded chunks of an answer, then an error object in the place of the next."""

    chunks: int
    message: str = "the engine gave up"


@dataclass(frozen=True)
class Cut:
    """``chunks`` chunks of an answer, then the end: orderly, or by closing the connection."""

    chunks: int
    orderly: bool = False


@dataclass(frozen=True)
class Hold:
    """``chunks`` chunks (none: not even a head) and the rest only after ``release``."""

    chunks: int
    release: threading.Event = field(default_factory=threading.Event)


Reply = Say | CallTools | FloatsOnly | Send | Refuse | FailInStream | Cut | Hold


@dataclass(frozen=True)
class Received:
    """A request as it arrived; header names are lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class OpenAIUpstream:
    """The upstream and what a test knows of it; ``app`` is what runs."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._replies: deque[Reply] = deque()
        self.app = web.Application(client_max_size=32 * 1024 * 1024)
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_post("/v1/embeddings", self._embeddings)

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with ``replies``, one each."""
        self._replies.extend(replies)

    def forget(self) -> None:
        """Drop what was received and what is left of the script."""
        self.received.clear()
        self._replies.clear()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._admitted(request)
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, Refuse):
            return _refusal(reply)
        if isinstance(reply, Send):
            return web.Response(body=reply.body, headers={"content-type": reply.content_type})
        if isinstance(reply, Hold) and not reply.chunks:
            await _released(reply)
        if not body.get("stream"):
            return web.json_response(wire.completion(body, _message(body, reply)), headers=HEADERS)
        return await _stream(request, body, reply)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await self._admitted(request)
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, Refuse):
            return _refusal(reply)
        asked = body.get("encoding_format") or "float"
        given = "float" if isinstance(reply, FloatsOnly) else asked
        return web.json_response(wire.embeddings(body, given))

    async def _admitted(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body))
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            text = wire.error("Incorrect API key", "invalid_request_error", "invalid_api_key")
            raise web.HTTPUnauthorized(text=text.decode(), content_type="application/json")
        return body


def _message(body: dict[str, Any], reply: Reply | None) -> dict[str, Any]:
    if isinstance(reply, Say):
        reasoning = {"reasoning_content": reply.reasoning} if reply.reasoning else {}
        return {"content": reply.content, **reasoning}
    told = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    if told:
        return {"content": "工具说：" + "；".join(told)}
    if body.get("tools") and body.get("tool_choice") != "none":
        arguments = reply.arguments if isinstance(reply, CallTools) else CALL_ARGUMENTS
        return {"content": None, "tool_calls": wire.tool_calls(body["tools"], arguments)}
    return {"content": TEXT}


async def _stream(
    request: web.Request, body: dict[str, Any], reply: Reply | None
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", **HEADERS}
    )
    await response.prepare(request)
    padding = {"obfuscation": PADDING} if isinstance(reply, FailInStream) else {}
    for number, chunk in enumerate(wire.chunks(body, _message(body, reply), **padding)):
        if isinstance(reply, Hold) and number == reply.chunks:
            await _released(reply)
        elif isinstance(reply, FailInStream | Cut) and number == reply.chunks:
            return await _break_off(request, response, reply)
        await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


async def _break_off(
    request: web.Request, response: web.StreamResponse, reply: FailInStream | Cut
) -> web.StreamResponse:
    if isinstance(reply, FailInStream):
        await response.write(b"data: " + wire.error(reply.message, "server_error", None) + b"\n\n")
    elif not reply.orderly and request.transport is not None:
        request.transport.abort()
    return response


async def _released(reply: Hold) -> None:
    """Wait for the test's word; the timeout only keeps a broken test from hanging."""
    await asyncio.to_thread(reply.release.wait, HOLD_TIMEOUT_S)


def _refusal(reply: Refuse) -> web.Response:
    body = wire.error(reply.message, reply.type, reply.code, reply.param)
    return web.Response(
        status=reply.status, body=body, content_type="application/json", headers=reply.headers
    )
