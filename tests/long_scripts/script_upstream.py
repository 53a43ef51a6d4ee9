"""An upstream that echoes scripts, bills for it, and does as it is told: a real server on loopback.

It speaks OpenAI chat, JSON and server-sent events
(https://platform.openai.com/docs/api-reference/chat, read 2026-11-23). To every request it answers
with the last user message, unless an ``Order`` says otherwise. Requests are told apart by their
text: an order is for those whose last user message has certain words in it. Each of them stays in
``asked`` with what it was billed, so a test can say what was sent, in which order, how often, and
whether the ledger says the same.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from .acts import Act, Answer, Asked, Cut, HangUp, Hold, Never, Refuse, text_of

CHARS_PER_TOKEN = 4
PIECES = 8
"""In which a stream brings its text."""
MAX_BODY_BYTES = 64 * 1024 * 1024
RETRY_AFTER_S = 0.05
"""What a 429 says."""
CREATED_S = 1_790_000_000


@dataclass
class Order:
    """What to do with requests that have ``where`` in their last user message."""

    where: str
    act: Act
    times: int | None
    """None: always."""
    model: str | None
    """None: whichever is asked."""

    def concerns(self, asked: Asked) -> bool:
        return (
            self.times != 0
            and self.where in asked.text
            and (self.model is None or self.model == asked.model)
        )


class ScriptUpstream:
    """The upstream and what a test knows of it; ``app`` is what runs."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.max_chars: int | None = None
        """Requests with more text get ``context_length_exceeded``."""
        self._orders: list[Order] = []
        self._late: tuple[random.Random, float] | None = None
        self._at_once = 0
        self.app = web.Application(client_max_size=MAX_BODY_BYTES)
        self.app.router.add_post("/v1/chat/completions", self._chat)

    def order(
        self, where: str, act: Act, *, times: int | None = 1, model: str | None = None
    ) -> None:
        """Of several orders for a request the first one counts."""
        self._orders.append(Order(where, act, times, model))

    def answer_late(self, seed: int, up_to_s: float) -> None:
        """Begin each answer after a time of its own, so that they end in another order."""
        self._late = (random.Random(seed), up_to_s)

    def forget(self) -> None:
        """Drop orders and books."""
        self.asked.clear()
        self._orders.clear()
        self._late = self.max_chars = None
        self.most_at_once = self._at_once

    def with_text(self, text: str) -> list[Asked]:
        """The requests whose last user message has ``text`` in it, in order of arrival."""
        return [asked for asked in self.asked if text in asked.text]

    @property
    def under_way(self) -> int:
        return self._at_once

    @property
    def billed_nano(self) -> int:
        return sum(asked.nano_usd for asked in self.asked)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(orjson.loads(await request.read()))
        self.asked.append(asked)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(request, asked, self._act_for(asked))
        except asyncio.CancelledError:
            asked.fate = "left"
            raise
        except ConnectionError:  # found out by writing
            asked.fate = "left"
            return web.Response()
        finally:
            self._at_once -= 1

    def _act_for(self, asked: Asked) -> Act:
        chars = sum(len(text_of(message)) for message in asked.messages)
        if self.max_chars is not None and chars > self.max_chars:
            return Refuse(400, "context_length_exceeded", "this model takes fewer tokens")
        for order in self._orders:
            if order.concerns(asked):
                order.times = None if order.times is None else order.times - 1
                return order.act
        return Answer(echo)

    async def _answer(self, request: web.Request, asked: Asked, act: Act) -> web.StreamResponse:
        if isinstance(act, Refuse):
            asked.fate, asked.status = "refused", act.status
            return _refusal(act)
        chars = sum(len(text_of(message)) for message in asked.messages)
        asked.input_tokens = tokens_in(chars)
        if self._late is not None:
            dice, up_to_s = self._late
            await asyncio.sleep(dice.random() * up_to_s)
        if isinstance(act, Never):
            act.arrived.set()
            await asyncio.Event().wait()
        if isinstance(act, HangUp):
            asked.fate = "cut"
            return _hang_up(request, web.Response())
        if asked.body.get("stream"):
            return await _stream(request, asked, act)
        assert isinstance(act, Answer), "only streams can be cut or held back"
        text = act.make(asked)
        asked.output_tokens = tokens_in(len(text))
        asked.fate = "whole"
        return web.json_response(_completion(asked, text, act.finish_reason))


async def _stream(request: web.Request, asked: Asked, act: Act) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    text = act.make(asked) if isinstance(act, Answer) else echo(asked)
    await response.write(_event(asked, {"role": "assistant", "content": ""}))
    step = max(1, -(-len(text) // PIECES))
    for start in range(0, len(text), step):
        if isinstance(act, Cut) and start >= act.share * len(text):
            asked.fate = "cut"
            return _hang_up(request, response)
        asked.output_tokens = tokens_in(start + step)
        await response.write(_event(asked, {"content": text[start : start + step]}))
        if isinstance(act, Hold) and not start:
            act.begun.set()
            await act.release.wait()
    asked.output_tokens = tokens_in(len(text))
    reason = act.finish_reason if isinstance(act, Answer) else "stop"
    await response.write(_event(asked, {}, reason) + _usage_event(asked) + b"data: [DONE]\n\n")
    asked.fate = "whole"
    return response


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return response


def echo(asked: Asked) -> str:
    return asked.text


def tokens_in(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def _object(asked: Asked, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-script",
        "object": kind,
        "created": CREATED_S,
        "model": asked.model,
        **fields,
    }


def _usage(asked: Asked) -> dict[str, int]:
    return {
        "prompt_tokens": asked.input_tokens,
        "completion_tokens": asked.output_tokens,
        "total_tokens": asked.input_tokens + asked.output_tokens,
    }


def _completion(asked: Asked, text: str, finish_reason: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return _object(asked, "chat.completion", choices=[choice], usage=_usage(asked))


def _event(asked: Asked, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _sse(_object(asked, "chat.completion.chunk", choices=[choice]))


def _usage_event(asked: Asked) -> bytes:
    if not (asked.body.get("stream_options") or {}).get("include_usage"):
        return b""
    return _sse(_object(asked, "chat.completion.chunk", choices=[], usage=_usage(asked)))


def _sse(fields: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def _refusal(act: Refuse) -> web.Response:
    error = {"message": act.message, "type": "server_error", "param": None, "code": act.code}
    headers = {"retry-after": str(RETRY_AFTER_S)} if act.status == 429 else {}
    return web.json_response({"error": error}, status=act.status, headers=headers)
