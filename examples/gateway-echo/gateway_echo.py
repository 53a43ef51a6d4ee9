"""A whole plugin in one module: it says your words back, and counts how often.

The provider speaks OpenAI to itself: ``OpenAICompatible`` translates, and ``open_upstream`` brings
along the other end, so that it works without a network. Leave ``open_upstream`` out, name a
``base_url``, and the gateway's connections take its place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from pydantic import Field

from gateway import (
    CallRecord,
    ChatRequest,
    OpenAICompatible,
    ProviderSettings,
    RegisterObserver,
    RegisterProvider,
    RegisterStrategy,
    RouteView,
    Target,
    Timeouts,
    Upstream,
    UpstreamRequest,
    UpstreamResponse,
    Usage,
    completion_body,
    completion_chunk,
    hookimpl,
)

# The provider


class EchoSettings(ProviderSettings):
    """What an entry of ``providers:`` with ``type: echo`` may say besides the usual."""

    times: int = Field(1, ge=1, le=10)
    """How often the words come back."""


class Echo(OpenAICompatible):
    base_url = "echo://here"
    settings: EchoSettings

    def open_upstream(self) -> Upstream:
        return EchoUpstream(self.settings.times)


class EchoUpstream:
    """The other end: takes requests as bytes, like a server would."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def send(self, request: UpstreamRequest, timeouts: Timeouts) -> UpstreamResponse:
        body = json.loads(request.body)
        words = str(body["messages"][-1]["content"])
        kind = "text/event-stream" if body.get("stream") else "application/json"
        return EchoResponse(kind, answer(body, " ".join([words] * self.times)))

    async def close(self) -> None:
        """There is nothing to give back."""


def answer(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    request = ChatRequest(model=body["model"], body=body, call_id="echo")
    usage = Usage(input_tokens=len(text), output_tokens=len(text))
    if not body.get("stream"):
        yield completion_body(request, {"content": text}, "stop", usage)
        return
    yield completion_chunk(request, {"role": "assistant", "content": text})
    yield completion_chunk(request, {}, "stop")
    yield completion_chunk(request, None, usage=usage)
    yield b"data: [DONE]\n\n"


class EchoResponse:
    """An answer that is there at once, so there is nothing to wait for and nothing to pause."""

    status = 200

    def __init__(self, content_type: str, pieces: Iterator[bytes]) -> None:
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self.pieces = pieces

    async def read(self, max_bytes: int) -> bytes:
        return b"".join(self.pieces)

    async def first(self) -> bytes:
        return next(self.pieces, b"")

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        for piece in self.pieces:
            receive(piece)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


@hookimpl
def register_providers(register: RegisterProvider) -> None:
    register("echo", EchoSettings, Echo)


# The strategy


def roomiest(targets: Sequence[Target], view: RouteView) -> list[Target]:
    """The longest context first; whoever does not say how long comes last."""
    return sorted(targets, key=lambda target: -(target.context_tokens or 0))


@hookimpl
def register_strategies(register: RegisterStrategy) -> None:
    register("roomiest", roomiest)


# The observer, and a page that shows what it saw

TALLY: Counter[str] = Counter()


def tally(record: CallRecord) -> None:
    TALLY[record.outcome.label] += 1


@hookimpl
def register_observers(register: RegisterObserver) -> None:
    register(tally)


async def show_tally(request: web.Request) -> web.Response:
    return web.json_response(TALLY)


@asynccontextmanager
async def fresh_tally(app: web.Application) -> AsyncIterator[None]:
    TALLY.clear()
    yield


@hookimpl
def configure_app(app: web.Application, config: Any) -> None:
    app.cleanup_ctx.append(fresh_tally)
    app.router.add_get("/echo/tally", show_tally)
