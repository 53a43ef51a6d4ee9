"""With too much to do, calls are refused unread, and everything else goes on."""

import asyncio

import orjson
import pytest

from gateway.server.refusals import header_text

from .conftest import KEY

CHAT = {"model": "seer", "messages": [{"role": "user", "content": "x"}]}
ANSWER = orjson.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    ANSWER
)


@pytest.fixture
def full(house):
    """A house with all its places taken but those of two calls."""
    house.gateway.permanent.in_flight.max_in_flight = 2
    house.upstream.script = [HEAD + ANSWER]
    return house


async def test_a_shed_call_is_told_when_to_come_back_on_a_connection_that_stays(full):
    busy = asyncio.Event()
    full.upstream.script = [busy, HEAD + ANSWER]
    calls = [asyncio.ensure_future(full.post(json=CHAT)) for _ in range(2)]
    async with asyncio.timeout(5):
        while full.gateway.permanent.in_flight.total < 2:
            await asyncio.sleep(0)
    body = orjson.dumps({**CHAT, "pad": "x" * 15_000})
    reader, writer = await asyncio.open_connection(*full.address)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
        + f"Authorization: Bearer {KEY}\r\n\r\n".encode()
    )
    writer.write(head)  # refused before the body has come, which then must not be taken for a head
    async with asyncio.timeout(5):
        refused = await reader.readuntil(b"}}")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in refused
        assert b"connection: close" not in refused
        busy.set()
        for call in calls:
            assert (await call).status == 200
        writer.write(body + head + body)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert full.gateway.overload.shed == 1


async def test_models_and_health_are_answered_all_the_same(full):
    full.gateway.permanent.in_flight.max_in_flight = 0
    assert (await full.refusal(json=CHAT))[0] == 503
    for path in ("/v1/models", "/healthz", "/readyz"):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with full.session.get(full.url + path, headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x", "a\0b", "é\x85b", "x" * 9000, "\u2028"])
def test_what_goes_into_a_header_is_one_line_of_ascii(value):
    text = header_text(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 5000
