"""Answers: JSON, server-sent events, and errors in the shape that OpenAI clients read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import HttpVersion11, web

from gateway.errors import CallError, Outcome
from gateway.schema import Journey

DRAIN_CHECK_S = 0.01
STALLED_WRITE_S = 60.0
DEFAULT_RETRY_AFTER_S = 1.0
MAX_RETRY_AFTER_S = 120.0
"""Clients ignore a longer wait and would not come back at all."""


def header_text(value: str) -> str:
    """A value that is safe in a header: printable ASCII, one line, bounded."""
    if value.isascii() and value.isprintable() and len(value) <= 500:
        return value
    return (
        value[:500]
        .encode("ascii", "backslashreplace")
        .decode()
        .replace("\r", "")
        .replace("\n", " ")
    )


class HttpClient:
    """A client on an aiohttp request; implements the contract ``Client``."""

    def __init__(self, request: web.Request, call_id: str) -> None:
        self._request = request
        self._call_id = call_id
        self._chunked = request.version >= HttpVersion11
        self.response: web.StreamResponse | None = None

    @property
    def started(self) -> bool:
        return self.response is not None

    async def send_answer(self, journey: Journey, body: bytes) -> None:
        headers = self._headers(journey)
        headers["content-type"] = "application/json"
        self.response = response = web.Response(body=body, headers=headers)
        await response.prepare(self._request)
        await response.write_eof()

    async def begin_stream(self, journey: Journey, first: bytes) -> None:
        headers = self._headers(journey)
        headers["content-type"] = "text/event-stream; charset=utf-8"
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"
        self.response = response = web.StreamResponse(headers=headers)
        await response.prepare(self._request)
        await response.write(first)

    def write(self, data: bytes) -> bool:
        # Straight to the transport: StreamResponse.write can only be awaited, and this runs in
        # the callback of the upstream's socket.
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return True  # the handler is being cancelled; nobody reads this any more
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return not self._request.protocol.writing_paused

    def when_drained(self, resume: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + STALLED_WRITE_S

        def check() -> None:
            transport = self._request.transport
            if transport is None or not self._request.protocol.writing_paused:
                resume()
            elif loop.time() > give_up_s:
                transport.abort()
            else:
                loop.call_later(DRAIN_CHECK_S, check)

        loop.call_later(DRAIN_CHECK_S, check)

    async def end_stream(self, journey: Journey) -> None:
        assert self.response is not None
        cost = f": cost {journey.cost} {journey.cost.currency}\n\n" if journey.cost else ""
        await self.response.write_eof(cost.encode() + b"data: [DONE]\n\n")

    async def fail(self, error: CallError) -> web.StreamResponse:
        """The error as a reply of its own, or as the last event of a stream that has begun."""
        if self.response is None:
            return error_reply(error, self._call_id)
        await self.response.write_eof(b"data: " + orjson.dumps(error.to_openai()) + b"\n\n")
        return self.response

    def _headers(self, journey: Journey) -> dict[str, str]:
        plan, target = journey.plan, journey.target
        assert plan is not None
        assert target is not None
        headers = {
            "x-request-id": self._call_id,
            "x-daobo-model": header_text(target.model),
            "x-daobo-provider": target.provider,
            "x-daobo-route": plan.reason,
            "x-daobo-attempts": str(len(journey.attempts) + 1),
        }
        if plan.task is not None:
            headers["x-daobo-task"] = plan.task
        if plan.confidence is not None:
            headers["x-daobo-task-confidence"] = f"{plan.confidence:.2f}"
        if target.rehearsal:
            headers["x-daobo-rehearsal"] = "true"
        if journey.cost is not None:
            headers["x-daobo-cost"] = str(journey.cost)
            headers["x-daobo-currency"] = journey.cost.currency
        warnings = plan.warnings
        if journey.dropped:
            dropped = ", ".join(journey.dropped)
            count = len(journey.dropped)
            warnings = (*warnings, f"{count} not carried by this provider: {dropped}")
        if warnings:
            headers["x-daobo-warning"] = header_text("; ".join(warnings))
        return headers


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
        "x-daobo-error-source": "upstream" if outcome.from_upstream else "gateway",
    }
    if outcome.status in (429, 503) and outcome is not Outcome.BUDGET_EXHAUSTED:
        wait_s = error.retry_after_s if error.retry_after_s is not None else DEFAULT_RETRY_AFTER_S
        wait_s = min(wait_s, MAX_RETRY_AFTER_S)
        headers["retry-after"] = str(max(1, round(wait_s + 0.499)))
        headers["retry-after-ms"] = str(round(wait_s * 1000))
    else:
        headers["x-should-retry"] = "false"
    if outcome is Outcome.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return json_reply(error.to_openai(), outcome.status, headers)
