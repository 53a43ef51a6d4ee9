"""What tests of kept answers share: raw replies, the SDK, and what the ledger says."""

from __future__ import annotations

from typing import Any

import orjson
from openai import AsyncOpenAI

from gateway.stores.connections import connect
from gateway.stores.verify import verify

from .conftest import KEY, House

MESSAGES: Any = [{"role": "user", "content": "A scene, please."}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
COST = "0.002000000"
CACHED = {"X-Daobo-Cache": "on"}


def reply(content: str = "Once", status: str = "200 OK", **body: Any) -> list[bytes]:
    """A whole answer, as the upstream writes it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": "writer-1",
        "choices": [{**choice, "finish_reason": "stop"}],
        "usage": USAGE,
        **body,
    }
    return json_reply(answer, status)


def json_reply(answer: dict[str, Any], status: str = "200 OK") -> list[bytes]:
    raw = orjson.dumps(answer)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}"
    return [head.encode() + b"\r\n\r\n" + raw]


def stream() -> list[bytes]:
    """The same as events, its usage at the end."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "On"}, {"content": "ce"}, {}]
    chunks = [
        _chunk([{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}])
        for delta in deltas
    ]
    events = [*chunks, {**_chunk([]), "usage": USAGE}]
    body = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    body += b"data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}"
    return [head.encode() + b"\r\n\r\n" + body]


def _chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_000_000}
    return {**head, "model": "writer-1", "choices": choices}


async def ask(house: House, headers: dict[str, str], key: str = KEY, **body: Any) -> Any:
    """What the official client gets, which asks once: the raw response, and the completion."""
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=key, max_retries=0) as client:
        wanted: Any = {"model": "writer", "messages": MESSAGES, "extra_headers": headers, **body}
        raw = await client.chat.completions.with_raw_response.create(**wanted)
        return raw, raw.parse()


async def ask_stream(house: House, headers: dict[str, str], **body: Any) -> list[Any]:
    """The chunks that it gets of a stream."""
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as client:
        wanted: Any = {"model": "writer", "messages": MESSAGES, "extra_headers": headers, **body}
        return [
            chunk async for chunk in await client.chat.completions.create(**wanted, stream=True)
        ]


def another_key(house: House) -> str:
    """Of another client, without a tenant."""
    _, secret = house.gateway.key_file.create("other", None, 0)
    house.gateway.ring.refresh()
    return secret


def ledger(house: House, sql: str) -> list[tuple[Any, ...]]:
    """What the closed gateway's ledger says; it has to add up."""
    connection = connect(house.gateway.database_url)
    try:
        assert verify(connection, 0).named == []
        return connection.execute(sql)
    finally:
        connection.close()
