"""Short answers, and errors in the shape that OpenAI clients read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import HttpVersion11, web
from aiohttp.web import BaseRequest
from multidict import istr

from gateway.errors import CallError, Outcome

from .allowances import allowance_headers

EXPECT = istr("Expect")
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


@lru_cache(maxsize=4)
def http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


class _Sent(web.StreamResponse):
    """Stands for an answer that is on the wire already: aiohttp finds nothing left to do, but does
    not go on to the connection's next request before this answer's reader has kept up."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._stays_open = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._stays_open

    async def prepare(self, request: BaseRequest) -> None:
        if request.protocol.writing_paused:
            await request.protocol._drain_helper()

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def sent_answer(stays_open: bool) -> web.StreamResponse:
    """What to give back to aiohttp once an answer is out."""
    return _SENT if stays_open else _SENT_LAST


_SENT = _Sent(keep_alive=True)
_SENT_LAST = _Sent(keep_alive=False)


def json_reply(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers=headers,
        content_type="application/json",
    )


def stray_id() -> str:
    """For what never reaches the door, where calls get theirs."""
    return f"req_{secrets.token_hex(10)}"


def error_reply(error: CallError, call_id: str) -> web.Response:
    """An error with its status, its headers for retries, and where it comes from."""
    return json_reply(error.to_openai(), error.outcome.status, _error_headers(error, call_id))


def send_error(
    request: web.BaseRequest, error: CallError, call_id: str, is_last: bool = False
) -> web.StreamResponse:
    """The same, written to the client at once: refusing has to be cheap when there is too much
    to do. Gives back what aiohttp is to be told."""
    may_stay = request.keep_alive and request.version >= HttpVersion11 and not is_last
    stays_open = may_stay and not _may_send_no_body(request)
    transport = request.transport
    if transport is not None and not transport.is_closing():
        answer = error_bytes(error, call_id, stays_open=stays_open)
        if request.method == "HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        transport.write(answer)
        if error.outcome is Outcome.REQUEST_TIMEOUT:  # aiohttp would wait for the body once more
            transport.close()
    return sent_answer(stays_open)


def _may_send_no_body(request: web.BaseRequest) -> bool:
    """Whoever asked whether to send a body, and hears this instead, may go on with the body or with
    another request; nobody can tell one from the other."""
    return EXPECT in request.headers and not request.content.is_eof()


def error_bytes(error: CallError, call_id: str, *, stays_open: bool) -> bytes:
    """The whole answer as it goes on the wire."""
    body = orjson.dumps(error.to_openai())
    lines = [
        f"HTTP/1.1 {error.outcome.status} {_reason(error.outcome.status)}",
        f"content-type: application/json\r\ncontent-length: {len(body)}",
        f"date: {http_date(int(time.time()))}",
        *(f"{name}: {value}" for name, value in _error_headers(error, call_id).items()),
    ]
    if not stays_open:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


@lru_cache(maxsize=64)
def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in _STATUSES else ""


_STATUSES = frozenset(HTTPStatus)


def _error_headers(error: CallError, call_id: str) -> dict[str, str]:
    outcome = error.outcome
    headers = {
        "x-request-id": call_id,
        "x-daobo-error-source": "upstream" if error.from_upstream else "gateway",
    }
    if outcome.status in (429, 503) and outcome is not Outcome.BUDGET_EXHAUSTED:
        wait_s = error.retry_after_s if error.retry_after_s is not None else DEFAULT_RETRY_AFTER_S
        wait_s = max(0.0, min(MAX_RETRY_AFTER_S, wait_s))
        headers["retry-after"] = str(max(1, round(wait_s + 0.499)))
        headers["retry-after-ms"] = str(round(wait_s * 1000))
    else:
        headers["x-should-retry"] = "false"
    if error.allowances is not None:
        headers.update(allowance_headers(error.allowances))
    if error.cost is not None:
        headers["x-daobo-cost"] = str(error.cost)
        headers["x-daobo-currency"] = error.cost.currency
    if outcome is Outcome.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return headers
