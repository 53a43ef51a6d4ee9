"""An OpenAI upstream of our own on a loopback socket: JSON, server-sent events, and trouble.

The wire is https://platform.openai.com/docs/api-reference (read 2026-11-22, against the types of
openai-python 3.54): a stream opens with a role chunk, sends tool arguments in fragments, reports
usage in a chunk of its own if it was asked to, and ends with ``[DONE]``. Tests take replies from
``script`` in order; without one the upstream answers like a small model.
"""

import asyncio
import base64
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

KEY = "sk-upstream-not-a-secret"
TEXT = "雨夜，便利店。林晚推门而入，风铃响了。"
REASONING = "先想画面，再想台词。"
CALL_ARGUMENTS = '{"city": "上海", "days": 3}'
DIMENSIONS = 8
PIECE_CHARS = 5
PADDING = "x" * 300_000
HOLD_TIMEOUT_S = 20.0
HEADERS = {"x-request-id": "req_of_the_upstream", "openai-version": "2020-10-01"}
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 12,
    "total_tokens": 31,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


@dataclass(frozen=True)
class Say:
    """A whole answer. ``reasoning`` goes into the field that DeepSeek and its like use."""

    content: str
    reasoning: str = ""


@dataclass(frozen=True)
class FloatsOnly:
    """Embeddings as floats whatever was asked for, as several servers give them."""


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
    """``chunks`` chunks of an answer, then an error object in the place of the next.

    The chunks are padded beyond what anybody reads at once: the error always comes later.
    """

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


@dataclass(frozen=True)
class CallTools:
    """Each tool is called with ``arguments``."""

    arguments: str


@dataclass(frozen=True)
class Send:
    """A body that is no answer, under whatever name."""

    body: bytes
    content_type: str = "application/json"


Reply = Say | CallTools | FloatsOnly | Send | Refuse | FailInStream | Cut | Hold


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

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
            return web.json_response(_completion(body, reply), headers=HEADERS)
        return await _stream(request, body, reply)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await self._admitted(request)
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, Refuse):
            return _refusal(reply)
        if isinstance(reply, FloatsOnly):
            body["encoding_format"] = "float"
        return web.json_response(_embeddings(body))

    async def _admitted(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body))
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            message = "Incorrect API key provided."
            raise web.HTTPUnauthorized(
                text=_error(message, "invalid_request_error", "invalid_api_key").decode(),
                content_type="application/json",
            )
        return body


# Chat


def _completion(body: dict[str, Any], reply: Reply | None) -> dict[str, Any]:
    message = _message(body, reply)
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, "annotations": [], **message},
                "logprobs": None,
                "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _message(body: dict[str, Any], reply: Reply | None) -> dict[str, Any]:
    """What is said: each tool is called once, then the tools' answers are repeated."""
    if isinstance(reply, Say):
        reasoning = {"reasoning_content": reply.reasoning} if reply.reasoning else {}
        return {"content": reply.content, **reasoning}
    told = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    if told:
        return {"content": "工具说：" + "；".join(told)}
    if body.get("tools") and body.get("tool_choice") != "none":
        arguments = reply.arguments if isinstance(reply, CallTools) else CALL_ARGUMENTS
        calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": tool["function"]["name"], "arguments": arguments},
            }
            for number, tool in enumerate(body["tools"])
        ]
        return {"content": None, "tool_calls": calls}
    return {"content": TEXT}


async def _stream(
    request: web.Request, body: dict[str, Any], reply: Reply | None
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream; charset=utf-8", **HEADERS}
    )
    await response.prepare(request)
    for number, chunk in enumerate(_chunks(body, reply)):
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
        await response.write(b"data: " + _error(reply.message, "server_error", None) + b"\n\n")
    elif not reply.orderly and request.transport is not None:
        request.transport.abort()
    return response


def _chunks(body: dict[str, Any], reply: Reply | None) -> Iterator[dict[str, Any]]:
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    empty: dict[str, Any] = {"usage": None} if asked else {}
    if isinstance(reply, FailInStream):
        empty["obfuscation"] = PADDING
    deltas = _deltas(_message(body, reply))
    for delta in deltas:
        yield _chunk(body, [_choice(delta)], empty)
    reason = "tool_calls" if "tool_calls" in deltas[-1] else "stop"
    yield _chunk(body, [_choice({}, reason)], empty)
    if asked:
        yield _chunk(body, [], {"usage": USAGE})


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    opening = {"role": "assistant", "content": None if "tool_calls" in message else ""}
    deltas: list[dict[str, Any]] = [{**opening, "refusal": None}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: piece} for piece in _pieces(message.get(name) or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        opened = {**call, "index": index, "function": {**function, "arguments": ""}}
        deltas.append({"tool_calls": [opened]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in _pieces(function["arguments"])
        ]
    return deltas


def _chunk(
    body: dict[str, Any], choices: list[dict[str, Any]], more: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
        "choices": choices,
        "obfuscation": "aZ9x",
        **more,
    }


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


async def _released(reply: Hold) -> None:
    """Wait for the test's word; the timeout only keeps a broken test from hanging."""
    await asyncio.to_thread(reply.release.wait, HOLD_TIMEOUT_S)


# Embeddings


def vector_of(text: str) -> list[float]:
    """The embedding of ``text``, in numbers that 32 bits hold exactly."""
    return [len(text) / 2**n for n in range(DIMENSIONS)]


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors: list[Any] = [vector_of(text) for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<8f", *vector)).decode() for vector in vectors]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ],
        "model": body["model"],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


# Errors


def _refusal(reply: Refuse) -> web.Response:
    body = _error(reply.message, reply.type, reply.code, reply.param)
    return web.Response(
        status=reply.status, body=body, content_type="application/json", headers=reply.headers
    )


def _error(message: str, kind: str, code: str | int | None, param: str | None = None) -> bytes:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return orjson.dumps({"error": error})
