"""Clients: many calls at once, and what each of them saw."""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.end_to_end.gateway_process import KEY

from .paid_upstream import Order

MAX_TOKENS = 256
CALL_TIMEOUT_S = 150.0
AT_ONCE = Order()


@dataclass(frozen=True)
class Wish:
    """One call that a client will make."""

    user: str
    """Unlike any other's: the mark by which books and ledger are compared."""
    order: Order = AT_ONCE
    stream: bool = False
    model: str = "writer"
    leaves_after_s: float | None = None
    """The client hangs up then, whatever it has."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return orjson.dumps(
            {
                "model": self.model,
                "user": self.user,
                "stream": self.stream,
                "max_tokens": MAX_TOKENS,
                "messages": [{"role": "user", "content": self.order.text}],
                **self.more,
            }
        )


@dataclass(frozen=True)
class Reply:
    """What the client saw."""

    wish: Wish
    status: int | None
    """None: there was no answer at all."""
    code: str | None
    """Of the error, in a reply of its own or at the end of a stream."""
    complete: bool
    """The whole answer came."""
    duration_s: float
    refused: bool = False
    """Nobody listened: the call did not begin."""
    headers: Mapping[str, str] = field(default_factory=dict)
    text: bytes = b""
    """What came of the body."""
    first_byte_s: float | None = None
    """Of the body, in loop time."""
    began_s: float = 0.0

    @property
    def words(self) -> str:
        """The text that a stream has brought, its pieces put together."""
        events = re.findall(rb"^data: (\{.*\})$", self.text, re.MULTILINE)
        choices = [orjson.loads(event).get("choices") for event in events]
        return "".join(c[0]["delta"].get("content") or "" for c in choices if c)


class Clients:
    """A crowd of clients of one or more gateways, with a connection for each call in flight."""

    def __init__(self, *roots: str, project: str = "night-market") -> None:
        self._roots = itertools.cycle(roots)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S),
            headers={"authorization": f"Bearer {KEY}", "x-daobo-project": project},
        )

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, wish: Wish) -> Reply:
        began_s = time.monotonic()
        status: int | None = None
        headers: Mapping[str, str] = {}
        first_byte_s: float | None = None
        text = bytearray()
        try:
            async with (
                asyncio.timeout(wish.leaves_after_s),
                self._session.post(
                    f"{next(self._roots)}/v1/chat/completions",
                    data=wish.body,
                    headers={"content-type": "application/json", **wish.headers},
                ) as response,
            ):
                status, headers = response.status, response.headers
                async for piece in response.content.iter_any():
                    first_byte_s = first_byte_s or time.monotonic()
                    text += piece
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            refused = isinstance(error, aiohttp.ClientConnectorError)
            code, complete = None, False
        else:
            refused = False
            code = _error_code(text, wish.stream and status == 200)
            complete = status == 200 and code is None and (not wish.stream or b"[DONE]" in text)
        took_s = time.monotonic() - began_s
        return Reply(
            wish,
            status,
            code,
            complete,
            took_s,
            refused,
            headers,
            bytes(text),
            first_byte_s,
            began_s,
        )

    async def all(self, wishes: Iterable[Wish]) -> list[Reply]:
        """Every wish at once."""
        return await asyncio.gather(*map(self.call, wishes))

    async def by_turns(
        self,
        wishes: Iterable[Wish],
        at_once: int,
        after_each: Callable[[Reply], Awaitable[None]] | None = None,
    ) -> list[Reply]:
        """So many clients, each with one wish after the other."""
        left, replies = iter(wishes), list[Reply]()

        async def client() -> None:
            for wish in left:
                reply = await self.call(wish)
                replies.append(reply)
                if after_each is not None:
                    await after_each(reply)

        await asyncio.gather(*(client() for _ in range(at_once)))
        return replies


def _error_code(text: bytes | bytearray, streamed: bool) -> str | None:
    """The code of the error that the answer is, or that its stream ends with."""
    if streamed:
        events = [line[6:] for line in text.split(b"\n") if line.startswith(b'data: {"error"')]
        text = events[-1] if events else b""
    if b'"error"' not in text:
        return None
    error = orjson.loads(text)["error"]
    return str(error["code"] or error["type"])


def users(prefix: str, count: int | None = None) -> Iterator[str]:
    """Marks of one length, so that all calls have the same bound; without end if no count."""
    return (f"{prefix}-{number:06d}" for number in itertools.islice(itertools.count(), count))
