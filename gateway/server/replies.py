"""Answers to calls: JSON, server-sent events, and an error as a stream's last event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import orjson
from aiohttp import HttpVersion11, web

from gateway.errors import CallError
from gateway.journey import Journey
from gateway.schema import NO_ALLOWANCES, Money

from .allowances import allowance_lines
from .kept_answers import replay_facts
from .refusals import header_text, http_date, send_error, sent_answer
from .write_watch import WriteWatch

HEARTBEAT = b": keep-alive\n\n"
WRITE_TIMEOUT_S = 60.0
MAX_FLAGS = 3
"""Of an answer in parts, in its head."""


class HttpClient:
    """A client on an aiohttp request; implements the contract ``Client``, and ``Stream``.

    Answers go to the transport in one piece, head and all. ``web.Response`` would cost as much
    as the whole rest of the gateway, and its ``write`` can only be awaited, while the events of a
    stream come from the callback of the upstream's socket.
    """

    def __init__(
        self,
        request: web.Request,
        call_id: str,
        is_last: Callable[[], bool] = lambda: False,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        """``is_last`` says whether the connection will take no other call after this one."""
        self._call_id = call_id
        self._is_last = is_last
        self._write_timeout_s = write_timeout_s
        self._chunked = request.version >= HttpVersion11
        self._stays_open = request.keep_alive and self._chunked
        self._request = request
        self._transport = request.transport
        self._protocol = request.protocol
        self._watch: WriteWatch | None = None
        self._ended = False
        self.started = self.committed = False
        self.writes = self.seen_writes = self.silent_looks = self.group = 0

    @property
    def sent(self) -> web.StreamResponse:
        """What to give back to aiohttp once the answer is out."""
        return sent_answer(self._stays_open)

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        self.committed = True
        framing = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._put(self._head(journey, framing) + body)
        await self._drain()

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        self.committed = True
        if self.started:  # by a heartbeat: what the head could not say follows as comments
            facts = "".join(f": {fact}\n" for fact in _facts(journey))
            self._put(self._framed(facts.encode() + b"\n" + first))
        else:
            self._put(self._head(journey, self._stream_framing) + self._framed(first))
        await self._drain()

    def beat(self) -> None:
        """A sign of life in a silent stream. A full buffer is one already."""
        if self._ended or self._protocol.writing_paused:
            return
        beat = self._framed(HEARTBEAT)
        self._put(beat if self.started else self._head(None, self._stream_framing) + beat)

    def write(self, data: bytes) -> bool:
        self._put(self._framed(data))
        return not self._protocol.writing_paused

    def when_drained(self, resume: Callable[[], None]) -> None:
        if self._watch is None:
            self._watch = WriteWatch(self._transport, self._write_timeout_s)
        self._watch.when_drained(self._is_full, resume)

    async def end_stream(self, journey: Journey) -> None:
        self._end(_cost_comment(journey.cost) + b"data: [DONE]\n\n")
        await self._drain()

    async def fail(self, error: CallError) -> web.StreamResponse:
        """The error as a reply of its own, or as the last event of a stream that has begun."""
        if not self.started:
            return send_error(self._request, error, self._call_id, self._is_last())
        event = b"data: " + orjson.dumps(error.to_openai()) + b"\n\n"
        self._end(_cost_comment(error.cost) + event)
        await self._drain()
        return self.sent

    def _is_full(self) -> bool:
        return self._protocol.connected and self._protocol.writing_paused

    def _put(self, data: bytes) -> None:
        self.started = True
        self.writes += 1
        # A closing transport means that the handler is being cancelled: nobody reads this.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _framed(self, data: bytes) -> bytes:
        # An empty chunk would be the end of the stream.
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data

    def _end(self, data: bytes) -> None:
        self._ended = True
        self._put(self._framed(data) + (b"0\r\n\r\n" if self._chunked else b""))

    async def _drain(self) -> None:
        if self._protocol.writing_paused:
            drained = asyncio.Event()
            self.when_drained(drained.set)
            await drained.wait()

    @property
    def _stream_framing(self) -> str:
        return _STREAM_FRAMING if self._chunked else _STREAM_FRAMING_10

    def _head(self, journey: Journey | None, framing: str) -> bytes:
        """The status line and what is known of where the answer comes from: nothing, in a head
        that leaves because of a heartbeat."""
        self._stays_open = self._stays_open and not self._is_last()
        at_s = time.time() if journey is None else journey.call.started_at_s
        lines = [
            f"HTTP/1.1 200 OK\r\n{framing}date: {http_date(int(at_s))}",
            f"x-request-id: {self._call_id}",
        ]
        if journey is not None:
            lines += _facts(journey)
        if not self._stays_open:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode()


def _facts(journey: Journey) -> list[str]:
    """The headers that say where an answer comes from, each a line of printable ASCII."""
    plan, target, cost = journey.plan, journey.target, journey.cost
    assert plan is not None
    assert target is not None
    lines = [
        f"x-daobo-model: {header_text(target.model)}",
        f"x-daobo-provider: {target.provider}",
        f"x-daobo-route: {plan.reason}",
        f"x-daobo-attempts: {_attempts(journey)}",
    ]
    if journey.parts is not None:
        lines += (f"x-daobo-chunking: {plan.cut.mode}", f"x-daobo-parts: {len(plan.parts)}")
    if journey.replayed or journey.missed:
        lines += replay_facts(journey)
    if plan.task is not None:
        lines.append(f"x-daobo-task: {plan.task}")
    if plan.confidence is not None:
        lines.append(f"x-daobo-task-confidence: {plan.confidence:.2f}")
    if target.rehearsal:
        lines.append("x-daobo-rehearsal: true")
    if journey.hedged:
        lines.append("x-daobo-hedged: true")
    if cost is not None and not (journey.parts is not None and journey.call.stream):
        lines += (f"x-daobo-cost: {cost}", f"x-daobo-currency: {cost.currency}")
    if journey.allowances is not NO_ALLOWANCES:
        lines += allowance_lines(journey.allowances)
    if (
        plan.warnings
        or journey.flags
        or journey.dropped
        or (journey.hold and journey.hold.warnings)
        or (target.rehearsal and journey.left_out)
    ):
        lines.append(f"x-daobo-warning: {header_text('; '.join(_warnings(journey)))}")
    return lines


def _attempts(journey: Journey) -> int:
    """Those of a call in parts are over when its answer is complete; of any other, the last one
    is being answered."""
    under_way = not journey.replayed and journey.parts is None
    return len(journey.attempts) + under_way


def _flags(flags: Sequence[str]) -> Iterator[str]:
    """As many as a header has room for; the answer itself lists all."""
    yield from flags[:MAX_FLAGS]
    if len(flags) > MAX_FLAGS:
        yield f"{len(flags) - MAX_FLAGS} more in the field daobo of the answer"


_STREAM_FRAMING_10 = (
    "content-type: text/event-stream; charset=utf-8\r\n"
    "cache-control: no-cache\r\n"
    "x-accel-buffering: no\r\n"
)
_STREAM_FRAMING = _STREAM_FRAMING_10 + "transfer-encoding: chunked\r\n"


def _warnings(journey: Journey) -> Iterator[str]:
    assert journey.plan is not None
    yield from journey.plan.warnings
    yield from _flags(journey.flags)
    if journey.hold is not None:
        yield from journey.hold.warnings
    if journey.dropped:
        dropped = ", ".join(journey.dropped)
        yield f"{len(journey.dropped)} not carried by this provider: {dropped}"
    if journey.left_out and journey.target is not None and journey.target.rehearsal:
        yield f"a stand-in answers because others were left out: {'; '.join(journey.left_out)}"


def _cost_comment(cost: Money | None) -> bytes:
    """What a stream's head could not say yet."""
    return f": cost {cost} {cost.currency}\n\n".encode() if cost else b""
