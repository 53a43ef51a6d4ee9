"""Limits on real sockets: who is refused, what headers say, and where a call goes instead."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway, Options

from .conftest import KEY, House, RawUpstream

CHAT = {"model": "writer", "messages": [{"role": "user", "content": "雨"}], "max_tokens": 100}
ANSWER = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}'
)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)
CONFIG = """
rehearsal: never
providers:
  one: {type: openai-compatible, base_url: "%(root)s/v1"}
  two: {type: openai-compatible, base_url: "%(root)s/v1"}
models:
  writer: {targets: [one/writer-1], price: {free: true}}
  ladder: {targets: [one/first, two/second], price: {free: true}}
limits:
  rules: %(rules)s
"""


class Limited(House):
    """A gateway whose rules a test chooses."""

    def __init__(self, upstream, gateway, url, session, path, root):
        super().__init__(url, upstream, session, gateway)
        self._path, self._root = path, root

    async def limit(self, *rules):
        self._path.write_text(CONFIG % {"root": self._root, "rules": f"[{', '.join(rules)}]"})
        await self.gateway.reload()

    async def head(self, **body):
        """Status and headers of a call's answer, once it has been read."""
        async with self.post(json={**CHAT, **body}) as response:
            await response.read()
            return response.status, response.headers


@pytest.fixture
async def limited(tmp_path: Path, aiohttp_server):
    upstream = RawUpstream()
    upstream.script = [REPLY]
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    root = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG % {"root": root, "rules": "[]"})
    gateway = Gateway(Options(path, tmp_path, {"DAOBO_KEY": KEY}), lambda record: None)
    server = await aiohttp_server(gateway.public_app())
    url = str(server.make_url("")).rstrip("/")
    async with aiohttp.ClientSession() as session:
        yield Limited(upstream, gateway, url, session, path, root)
    await gateway.close()
    listener.close()


def told(headers):
    return {
        name.lower(): v for name, v in headers.items() if name.lower().startswith("x-ratelimit")
    }


async def test_without_rules_nothing_is_said_of_limits(limited):
    status, headers = await limited.head()
    assert (status, told(headers)) == (200, {})


async def test_an_answer_says_what_is_left(limited):
    await limited.limit('{key: "*", requests_per_minute: 60, tokens_per_minute: 6000}')
    status, headers = await limited.head()
    reserved = 100 + len('{"model": "writer", "messages": [{"role": "user"') // 4
    tokens_left = int(headers["x-ratelimit-remaining-tokens"])
    assert status == 200
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-reset-requests"] == "1s"
    assert headers["x-ratelimit-limit-tokens"] == "6000"
    assert 6000 - 2 * reserved < tokens_left < 6000 - 100


async def test_the_next_call_pays_for_what_the_last_one_used(limited):
    await limited.limit("{tokens_per_minute: 6000}")
    await limited.head()  # the upstream says 1,500
    _, headers = await limited.head()
    assert 4200 < int(headers["x-ratelimit-remaining-tokens"]) < 4450


async def test_a_stream_says_what_is_left(limited):
    limited.upstream.script = [STREAM]
    await limited.limit("{requests_per_minute: 5}")
    status, headers = await limited.head(stream=True)
    assert (status, headers["x-ratelimit-remaining-requests"]) == (200, "4")


async def test_one_call_too_many_is_refused_before_it_is_sent(limited):
    await limited.limit('{key: "*", requests_per_minute: 2}')
    statuses = [(await limited.head())[0] for _ in range(3)]
    sent = len(limited.upstream.requests)
    status, headers = await limited.head()
    assert (statuses, sent) == ([200, 200, 429], 2)
    assert status == 429
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert 29 <= int(headers["retry-after"]) <= 30
    assert 28_000 < int(headers["retry-after-ms"]) <= 30_000
    code, error = await limited.refusal(json=CHAT)
    assert (code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert error["message"].startswith(
        "limits.rules[0] lets key key_environment make 2 requests a minute; 0 are left."
    )


async def test_above_a_rule_on_caller_and_target_a_call_goes_to_the_next_target(limited):
    await limited.limit('{key: "*", target: one/first, requests_per_minute: 1}')
    answered_by = [(await limited.head(model="ladder"))[1]["x-daobo-model"] for _ in range(2)]
    assert answered_by == ["first", "second"]


async def test_above_such_a_rule_on_the_only_target_a_call_is_refused(limited):
    await limited.limit('{key: "*", model: writer, requests_per_minute: 1}')
    statuses = [(await limited.head())[0] for _ in range(2)]
    code, error = await limited.refusal(json=CHAT)
    assert (statuses, code) == ([200, 429], 429)
    assert "limits.rules[0] lets key key_environment and model writer make 1 request" in str(error)
    assert limited.gateway.permanent.in_flight.total == 0


async def test_a_reload_gives_nobody_a_second_burst(limited):
    await limited.limit('{key: "*", requests_per_minute: 2}')
    assert [(await limited.head())[0] for _ in range(2)] == [200, 200]
    await limited.limit('{key: "*", requests_per_minute: 2}', "{requests_per_minute: 100}")
    assert (await limited.head())[0] == 429


async def test_a_call_that_failed_gives_its_tokens_and_its_place_back(limited):
    limited.upstream.script = [b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n"]
    await limited.limit("{tokens_per_minute: 200, concurrency: 1}")
    statuses = [(await limited.head())[0] for _ in range(4)]
    assert statuses == [400] * 4
