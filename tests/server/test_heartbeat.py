"""A stream that has nothing to say gives a sign of life, and may still be answered elsewhere."""

import asyncio

import orjson
import pytest

from gateway.errors import Outcome
from gateway.server.heartbeat import LOOKS, Heartbeat

from .conftest import CUT

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
BEAT = b": keep-alive\n\n"
INTERVAL_S = 0.08


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def call(model="seer"):
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def silent(house):
    """The house with fast heartbeats; the upstream goes on after ``release``."""
    house.set_server(heartbeat_s=INTERVAL_S)
    return house


async def beaten(response, received=b""):
    """Read until a heartbeat has come."""
    async with asyncio.timeout(30):
        while not received.endswith(BEAT):
            received += await response.content.readany()
    return received


async def test_before_the_first_token_the_head_leaves_with_a_heartbeat_and_facts_follow(silent):
    silent.upstream.script = [asyncio.Event(), HEAD + chunk(DELTA + END) + b"0\r\n\r\n"]
    async with silent.post(json=call()) as response:
        assert response.status == 200
        assert response.headers["x-request-id"]
        assert "x-daobo-model" not in response.headers
        received = await beaten(response)
        assert received.replace(BEAT, b"") == b""
        silent.upstream.script[0].set()
        received += await response.read()
    facts, _, rest = received.replace(BEAT, b"").partition(b"\n\n")
    assert facts.startswith(b": x-daobo-model: seer-1\n: x-daobo-provider: wire\n")
    assert all(line.startswith(b": ") for line in facts.split(b"\n"))
    assert rest.startswith(DELTA)
    assert rest.endswith(b"data: [DONE]\n\n")
    assert [record.outcome for record in silent.records] == [Outcome.OK]


async def test_in_a_pause_of_the_answer_heartbeats_come_and_nothing_is_lost(silent):
    silent.upstream.script = [
        HEAD + chunk(DELTA),
        asyncio.Event(),
        chunk(DELTA + END) + b"0\r\n\r\n",
    ]
    async with silent.post(json=call()) as response:
        assert response.headers["x-daobo-model"] == "seer-1"
        received = await beaten(response)
        silent.upstream.script[1].set()
        received += await response.read()
    assert received.count(DELTA) == 2
    assert received.endswith(b"data: [DONE]\n\n")


async def test_after_a_heartbeat_the_next_target_may_still_answer(silent):
    answers = iter([[CUT], [HEAD + chunk(DELTA + END) + b"0\r\n\r\n"]])
    first = asyncio.Event()

    def script():
        return [first, *next(answers)]

    silent.upstream.script = script
    async with silent.post(json=call("twins")) as response:
        received = await beaten(response)
        first.set()
        received += await response.read()
    assert b": x-daobo-model: twin-2\n" in received
    assert b": x-daobo-attempts: 2\n" in received
    assert received.count(DELTA) == 1
    assert received.endswith(b"data: [DONE]\n\n")


async def test_after_a_heartbeat_an_error_is_an_event_and_there_is_no_done(silent):
    silent.upstream.script = [asyncio.Event(), CUT]
    async with silent.post(json=call()) as response:
        received = await beaten(response)
        silent.upstream.script[0].set()
        received += await response.read()
    last = received.replace(BEAT, b"").strip().splitlines()[-1]
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_cut"
    assert b"[DONE]" not in received


async def test_heartbeats_can_be_switched_off(house):
    house.set_server(heartbeat_s=0)
    house.upstream.script = [HEAD + chunk(DELTA + END) + b"0\r\n\r\n"]
    async with house.post(json=call()) as response:
        assert BEAT not in await response.read()


class Listening:
    """A stream that only counts its heartbeats."""

    def __init__(self):
        self.writes = self.seen_writes = self.silent_looks = self.group = self.beats = 0

    def beat(self):
        self.beats += 1
        self.writes += 1


async def test_a_stream_that_speaks_gets_no_heartbeat_and_one_timer_serves_all():
    loop, heartbeat = asyncio.get_running_loop(), Heartbeat(lambda: 0.1)
    silent, speaking = Listening(), [Listening() for _ in range(40)]
    for stream in (silent, *speaking):
        heartbeat.join(stream)
    began_s = loop.time()
    while silent.beats < 3:
        for stream in speaking:
            stream.writes += 1
        await asyncio.sleep(0.005)
    elapsed_s = loop.time() - began_s
    assert not any(stream.beats for stream in speaking)
    assert elapsed_s > 3 * 0.1 * (LOOKS - 2) / LOOKS
    for stream in (silent, *speaking):
        heartbeat.leave(stream)
    async with asyncio.timeout(30):
        while heartbeat._timer is not None:
            await asyncio.sleep(0.005)
