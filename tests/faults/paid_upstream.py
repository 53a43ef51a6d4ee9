"""An upstream that bills, as a process of its own: ``python -m tests.faults.paid_upstream``.

It speaks OpenAI chat, JSON and server-sent events. What it bills it appends to its books before it
answers, and the books outlive it: the truth that the gateway's ledger is compared with. What it is
to do with a call stands in the call itself (an ``Order`` as the text of the first message), so one
process plays every part at once. The field ``user`` tells the calls apart. Beside the books it
keeps a list of visits: who asked, and who hung up before the end, each with the time.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from aiohttp import web

Ending = Literal["whole", "cut", "reset", "error", "garbage", "never"]
Visit = Literal["asked", "left"]
MAX_BODY_BYTES = 64 * 1024 * 1024
INPUT_NANO, OUTPUT_NANO = 1_000, 4_000
"""Its prices for a token, in billionths of a dollar."""
CHARS_PER_TOKEN = 4
GATE_POLL_S = 0.05


@dataclass(frozen=True)
class Order:
    """What the upstream is to do with a call."""

    after_s: float = 0.0
    """It thinks so long before it says anything."""
    chunks: int = 4
    """Pieces of a stream, a token each; an answer that comes whole has as many tokens."""
    chunk_chars: int = 0
    """More text in each piece than the few letters that it has."""
    pace_s: float = 0.0
    """Between two pieces."""
    ending: Ending = "whole"
    input_tokens: int | None = None
    """To be billed in the place of what the text has."""
    gate: str | None = None
    """A file: nothing is answered before it exists."""
    gated: str = ""
    """Only for those whose last message has this in it."""
    echoes: bool = False
    """The answer is the last message, and its tokens are counted as those of what is asked."""

    @property
    def text(self) -> str:
        return orjson.dumps(asdict(self)).decode()


def input_tokens(text: str, order: Order) -> int:
    """What the upstream bills for the text of an order."""
    return len(text) // CHARS_PER_TOKEN if order.input_tokens is None else order.input_tokens


class Books:
    """The append-only list of what was billed. A line is in the file once ``bill`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def bill(self, user: str, input_tokens: int, output_tokens: int) -> None:
        os.write(self._file, f"{user} {input_tokens} {output_tokens}\n".encode())


class Visits:
    """The append-only list of who came and who left, with nanoseconds of CLOCK_MONOTONIC, which
    all processes of a machine share."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: Visit, user: str) -> None:
        os.write(self._file, f"{what} {user} {time.monotonic_ns()}\n".encode())


def visits_beside(books: Path) -> Path:
    return books.with_name(f"{books.name}.visits")


class PaidUpstream:
    """Answers ``POST /v1/chat/completions`` as ordered, after it has billed it."""

    def __init__(self, books: Path) -> None:
        self._open(books)

    def _open(self, books: Path) -> None:
        self._books = Books(books)
        self._visits = Visits(visits_beside(books))

    async def begin_books(self, request: web.Request) -> web.Response:
        """For calls that come from now on; those under way stay in the books they began in."""
        self._open(Path(await request.text()))
        return web.Response()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        books, visits = self._books, self._visits
        body: dict[str, Any] = orjson.loads(await request.read())
        visits.note("asked", body["user"])
        try:
            return await self._answer(request, body, books)
        except asyncio.CancelledError:
            visits.note("left", body["user"])
            raise
        except ConnectionError:  # found out by writing
            visits.note("left", body["user"])
            return web.Response()

    async def _answer(
        self, request: web.Request, body: dict[str, Any], books: Books
    ) -> web.StreamResponse:
        text = body.get("metadata", {}).get("order") or body["messages"][0]["content"]
        order = Order(**orjson.loads(text))
        if order.echoes:
            return await self._echo(request, body, order)
        if order.ending == "error":  # what fails before it begins is not billed
            await asyncio.sleep(order.after_s)
            return web.json_response({"error": {"message": "overheated"}}, status=500)
        asked = input_tokens(text, order)
        streamed = bool(body.get("stream"))
        books.bill(body["user"], asked, 0 if streamed else order.chunks)
        await asyncio.sleep(3600 if order.ending == "never" else order.after_s)
        while order.gate and not Path(order.gate).exists():
            await asyncio.sleep(GATE_POLL_S)
        if order.ending == "reset":
            return _hang_up(request)
        if streamed:
            return await self._stream(request, body["user"], order, books)
        return await _whole(request, order, asked)

    async def _echo(
        self, request: web.Request, body: dict[str, Any], order: Order
    ) -> web.StreamResponse:
        """To a part of a script, which has the order in its field ``metadata``."""
        text = body["messages"][-1]["content"]
        asked = sum(len(message["content"]) for message in body["messages"]) // CHARS_PER_TOKEN
        self._books.bill(body["user"], asked, 0)
        while order.gate and order.gated in text and not Path(order.gate).exists():
            await asyncio.sleep(GATE_POLL_S)
        said = len(text) // CHARS_PER_TOKEN
        self._books.bill(body["user"], 0, said)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_event({"role": "assistant", "content": text}))
        for event in _closing(asked, said):
            await response.write(event)
        return response

    async def _stream(
        self, request: web.Request, user: str, order: Order, books: Books
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        if order.ending == "garbage":
            await response.write(b"<html>out of order</html>\n\n")
            return response
        await response.write(_event({"role": "assistant", "content": ""}))
        more = "-" * order.chunk_chars
        for number in range(order.chunks):
            if order.ending == "cut" and number == order.chunks // 2:
                return _hang_up(request)
            await asyncio.sleep(order.pace_s)
            books.bill(user, 0, 1)
            await response.write(_event({"content": f"word{number} {more}"}))
        for event in _closing(input_tokens(order.text, order), order.chunks):
            await response.write(event)
        return response


async def _whole(request: web.Request, order: Order, asked: int) -> web.StreamResponse:
    if order.ending == "garbage":
        return web.Response(body=b"<html>out of order</html>", content_type="application/json")
    message = {"role": "assistant", "content": "word " * order.chunks}
    answer = _object(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    body = orjson.dumps({**answer, "usage": _usage(asked, order.chunks)})
    if order.ending != "cut":
        return web.Response(body=body, content_type="application/json")
    response = web.StreamResponse(
        headers={"content-type": "application/json", "content-length": str(len(body))}
    )
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _object(**fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-paid", "created": 1_790_000_000, "model": "paid", **fields}


def _usage(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + orjson.dumps(_object(choices=[choice])) + b"\n\n"


def _closing(input_tokens: int, output_tokens: int) -> Iterator[bytes]:
    yield _event({}, "stop")
    usage = _object(choices=[], usage=_usage(input_tokens, output_tokens))
    yield b"data: " + orjson.dumps(usage) + b"\n\n"
    yield b"data: [DONE]\n\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    upstream = PaidUpstream(given.books)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1/chat/completions", upstream.chat)
    app.router.add_post("/books", upstream.begin_books)
    web.run_app(
        app,
        host="127.0.0.1",
        port=given.port,
        backlog=4096,
        access_log=None,
        print=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )


if __name__ == "__main__":
    main()
