"""A client that goes away takes its upstream call with it, at once, and leaves its record."""

import asyncio

import pytest

from gateway.errors import Outcome

SOON_S = 30.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(DELTA), DELTA)


def body(stream):
    return {"model": "seer", "stream": stream, "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("script", "stream"),
    [([], False), ([], True), ([HEAD, CHUNK, CHUNK], True)],
    ids=["waiting for an answer", "before the first token", "in the middle of a stream"],
)
async def test_the_upstreams_socket_is_closed_while_the_upstream_would_go_on(house, script, stream):
    house.upstream.script = script
    house.upstream.hold_open = True
    call = asyncio.ensure_future(
        house.session.post(
            f"{house.url}/v1/chat/completions",
            json=body(stream),
            headers={"Authorization": "Bearer sk-door-test"},
        )
    )
    await house.upstream.arrived.wait()
    if script:
        response = await call
        await response.content.readany()
        response.close()
    else:
        call.cancel()
    async with asyncio.timeout(SOON_S):
        await house.upstream.gone.wait()
    [record] = house.records
    assert record.outcome is Outcome.CLIENT_GONE
    assert record.usage.estimated == bool(script)
    assert [attempt.outcome for attempt in record.attempts] == [Outcome.CLIENT_GONE]


async def test_an_upstream_that_never_ends_its_stream_does_not_keep_the_client_waiting(house):
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    house.upstream.script = [HEAD, CHUNK, b"%x\r\n%b\r\n" % (len(end), end)]
    house.upstream.hold_open = True
    async with asyncio.timeout(30), house.post(json=body(True)) as response:
        text = await response.read()
    assert text.endswith(b"data: [DONE]\n\n")
    assert [record.outcome for record in house.records] == [Outcome.OK]
