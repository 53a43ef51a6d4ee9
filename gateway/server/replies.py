"""Answers: JSON, server-sent events, and errors in the shape that OpenAI clients read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.web import BaseRequest

from gateway.errors import CallError, Outcome
from gateway.journey import Journey
from gateway.schema import Money

DRAIN_CHECK_S = 0.01
MAX_DRAIN_CHECK_S = 0.1
STALLED_WRITE_S = 60.0
DEFAULT_RETRY_AFTER_S = 1.0
MAX_RETRY_AFTER_S = 120.0
"""Clients ignore a longer wait and would not come back at all."""


@lru_cache(maxsize=1024)
def header_text(value: str) -> str:
    """A value that is safe in a header: printable ASCII, one line, bounded."""
    if value.isascii() and value.isprintable() and len(value) <= 500:
        return value
    text = value[:500].encode("ascii", "backslashreplace").decode().replace("\n", " ")
    return "".join(filter(str.isprintable, text))


class _Sent(web.StreamResponse):
    """Stands for an answer that is on the wire already: aiohttp finds nothing left to do."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._stays_open = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._stays_open

    async def prepare(self, request: BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class HttpClient:
    """A client on an aiohttp request; implements the contract ``Client``.

    Answers go to the transport in one piece, head and all. ``web.Response`` would cost as much
    as the whole rest of the gateway, and its ``write`` can only be awaited, while the events of a
    stream come from the callback of the upstream's socket.
    """

    def __init__(
        self, request: web.Request, call_id: str, is_last: Callable[[], bool] = lambda: False
    ) -> None:
        """``is_last`` says whether the connection will take no other call after this one."""
        self._call_id = call_id
        self._is_last = is_last
        self._chunked = request.version >= HttpVersion11
        self._stays_open = request.keep_alive and self._chunked
        self._transport = request.transport
        self._protocol = request.protocol
        self._on_drained: Callable[[], None] | None = None
        self.started = False

    @property
    def sent(self) -> web.StreamResponse:
        """What to give back to aiohttp once the answer is out."""
        return _SENT if self._stays_open else _SENT_LAST

    @property
    def committed(self) -> bool:
        return self.started

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        framing = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._put(self._head(journey, framing) + body)
        await self._drain()

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        framing = _STREAM_FRAMING if self._chunked else _STREAM_FRAMING_10
        self._put(self._head(journey, framing) + self._framed(first))
        await self._drain()

    def write(self, data: bytes) -> bool:
        self._put(self._framed(data))
        return not self._protocol.writing_paused

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Only the last ``resume`` is called: one read may hold a thousand events, and each of
        them finds the buffer full."""
        watched = self._on_drained is not None
        self._on_drained = resume
        if not watched:
            self._watch_buffer(DRAIN_CHECK_S)

    def _watch_buffer(self, wait_s: float) -> None:
        """Look again and again, less and less often, as long as the client takes something."""
        loop, transport = asyncio.get_running_loop(), self._transport
        unsent_bytes = transport.get_write_buffer_size() if transport else 0
        give_up_s = loop.time() + STALLED_WRITE_S

        def check() -> None:
            nonlocal unsent_bytes, give_up_s, wait_s
            if (
                transport is None
                or not self._protocol.connected
                or not self._protocol.writing_paused
            ):
                resume, self._on_drained = self._on_drained, None
                if resume is not None:
                    resume()
                return
            if (left_bytes := transport.get_write_buffer_size()) < unsent_bytes:
                unsent_bytes, give_up_s = left_bytes, loop.time() + STALLED_WRITE_S
            elif loop.time() > give_up_s:
                transport.abort()
            wait_s = min(wait_s * 2, MAX_DRAIN_CHECK_S)
            loop.call_later(wait_s, check)

        loop.call_later(wait_s, check)

    async def end_stream(self, journey: Journey) -> None:
        self._end(_cost_comment(journey.cost) + b"data: [DONE]\n\n")
        await self._drain()

    async def fail(self, error: CallError) -> web.StreamResponse:
        """The error as a reply of its own, or as the last event of a stream that has begun."""
        if not self.started:
            return error_reply(error, self._call_id)
        event = b"data: " + orjson.dumps(error.to_openai()) + b"\n\n"
        self._end(_cost_comment(error.cost) + event)
        await self._drain()
        return self.sent

    def _put(self, data: bytes) -> None:
        self.started = True
        # A closing transport means that the handler is being cancelled: nobody reads this.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _end(self, data: bytes) -> None:
        self._put(self._framed(data) + (b"0\r\n\r\n" if self._chunked else b""))

    async def _drain(self) -> None:
        if self._protocol.writing_paused:
            drained = asyncio.Event()
            self.when_drained(drained.set)
            await drained.wait()

    def _head(self, journey: Journey, framing: str) -> bytes:
        """The status line and the headers that say where the answer comes from."""
        self._stays_open = self._stays_open and not self._is_last()
        plan, target, cost = journey.plan, journey.target, journey.cost
        assert plan is not None
        assert target is not None
        lines = [
            f"HTTP/1.1 200 OK\r\n{framing}date: {_date(int(journey.call.started_at_s))}",
            f"x-request-id: {self._call_id}",
            f"x-daobo-model: {header_text(target.model)}",
            f"x-daobo-provider: {target.provider}",
            f"x-daobo-route: {plan.reason}",
            f"x-daobo-attempts: {len(journey.attempts) + 1}",
        ]
        if plan.task is not None:
            lines.append(f"x-daobo-task: {plan.task}")
        if plan.confidence is not None:
            lines.append(f"x-daobo-task-confidence: {plan.confidence:.2f}")
        if target.rehearsal:
            lines.append("x-daobo-rehearsal: true")
        if cost is not None:
            lines.append(f"x-daobo-cost: {cost}\r\nx-daobo-currency: {cost.currency}")
        if plan.warnings or journey.dropped or journey.hold.warnings:
            lines.append(f"x-daobo-warning: {header_text('; '.join(_warnings(journey)))}")
        if not self._stays_open:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode()


_SENT = _Sent(keep_alive=True)
_SENT_LAST = _Sent(keep_alive=False)
_STREAM_FRAMING_10 = (
    "content-type: text/event-stream; charset=utf-8\r\n"
    "cache-control: no-cache\r\n"
    "x-accel-buffering: no\r\n"
)
_STREAM_FRAMING = _STREAM_FRAMING_10 + "transfer-encoding: chunked\r\n"


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _warnings(journey: Journey) -> Iterator[str]:
    assert journey.plan is not None
    yield from journey.plan.warnings
    yield from journey.hold.warnings
    if journey.dropped:
        dropped = ", ".join(journey.dropped)
        yield f"{len(journey.dropped)} not carried by this provider: {dropped}"


def _cost_comment(cost: Money | None) -> bytes:
    """What a stream's head could not say yet."""
    return f": cost {cost} {cost.currency}\n\n".encode() if cost else b""


def json_reply(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers=headers,
        content_type="application/json",
    )


def error_reply(error: CallError, call_id: str) -> web.Response:
    """An error with its status, its headers for retries, and where it comes from."""
    outcome = error.outcome
    headers = {
        "x-request-id": call_id,
        "x-daobo-error-source": "upstream" if error.from_upstream else "gateway",
    }
    if outcome.status in (429, 503) and outcome is not Outcome.BUDGET_EXHAUSTED:
        wait_s = error.retry_after_s if error.retry_after_s is not None else DEFAULT_RETRY_AFTER_S
        wait_s = min(wait_s, MAX_RETRY_AFTER_S)
        headers["retry-after"] = str(max(1, round(wait_s + 0.499)))
        headers["retry-after-ms"] = str(round(wait_s * 1000))
    else:
        headers["x-should-retry"] = "false"
    if error.cost is not None:
        headers["x-daobo-cost"] = str(error.cost)
        headers["x-daobo-currency"] = error.cost.currency
    if outcome is Outcome.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return json_reply(error.to_openai(), outcome.status, headers)
