"""The stand-in for a network: takes requests as bytes and answers them inside the process."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from gateway import CallError, Outcome, Timeouts, UpstreamRequest, UpstreamResponse, load_object

from .chat import chat_reply
from .embeddings import embeddings_reply
from .faults import fault_for
from .prompt import text_of
from .replies import Refusal, Reply, bad_request, error_reply
from .response import InProcessResponse
from .settings import Settings

THREAD_ABOVE_BYTES = 32 * 1024
"""Longer requests are answered in a worker thread, so that the event loop does not wait."""


class InProcessUpstream:
    """Fills ``Upstream``; its only state is the number of a request and the answers under way."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._numbers = count(1)
        self._closed = False
        self._open: WeakSet[InProcessResponse] = WeakSet()

    async def send(self, request: UpstreamRequest, timeouts: Timeouts) -> UpstreamResponse:
        if self._closed:
            raise CallError(Outcome.UPSTREAM_UNREACHABLE, "the rehearsal is over")
        deadline = asyncio.get_running_loop().time() + timeouts.total_s
        number = next(self._numbers)
        if len(request.body) > THREAD_ABOVE_BYTES:
            reply = await asyncio.to_thread(answer, request, number, self.settings)
        else:
            reply = answer(request, number, self.settings)
        if reply.status == 200:
            await self._think(timeouts)
        reply = reply.with_headers(x_request_id=f"req_rehearsal_{number}")
        response = InProcessResponse(reply, timeouts, deadline)
        self._open.add(response)
        return response

    async def _think(self, timeouts: Timeouts) -> None:
        delay_s = self.settings.first_token_delay_s
        limit_s = min(timeouts.first_byte_s, timeouts.total_s)
        await asyncio.sleep(min(delay_s, limit_s))
        if delay_s > limit_s:
            raise CallError(Outcome.UPSTREAM_TIMEOUT, f"no answer began within {limit_s:g} s")

    async def close(self) -> None:
        """Break off the answers that are under way, as a pool of connections does."""
        self._closed = True
        for response in list(self._open):
            response.close()


def answer(request: UpstreamRequest, number: int, settings: Settings) -> Reply:
    path = urlsplit(request.url).path
    try:
        body = read_body(request.body)
        fault = fault_for(settings, number, prompt_text(body))
        if fault:
            return fault
        if path.endswith("/chat/completions"):
            return chat_reply(body, request.body, settings)
        if path.endswith("/embeddings"):
            return embeddings_reply(body)
    except Refusal as refusal:
        return refusal.reply
    return error_reply(404, f"Nothing answers at {path}.", "invalid_request_error", "unknown_url")


def read_body(raw: bytes) -> dict[str, Any]:
    try:
        return load_object(raw)
    except CallError:
        raise bad_request("The body is not a JSON object.") from None


def prompt_text(body: dict[str, Any]) -> str:
    """All text that a content policy would look at."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return ""
    return "\n".join(text_of(m.get("content")) for m in messages if isinstance(m, dict))
