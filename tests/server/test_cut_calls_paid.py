"""A call that is cut, from its hold to the ledger, before an upstream that bills each part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.app import Gateway, Options
from gateway.schema import CallRecord
from gateway.stores.connections import connect
from gateway.stores.verify import verify
from tests.chunking.scripts import write_script

KEY = "sk-cut"
CONFIG = """
rehearsal: never
providers: {wire: {type: openai-compatible, base_url: "%s/v1"}}
models:
  writer:
    targets: [wire/writer-1]
    context_tokens: 6000
    max_output_tokens: 2000
    price: {input_per_mtok: "1", output_per_mtok: "2"}
tasks:
  polish:
    models: [writer]
    chunking: {mode: map, budget_tokens: 600, keep_s: 0}
money:
  baseline_model: writer
  budgets: [{project: tiny, cap: "%s", currency: USD}]
limits:
  rules: [{project: slow, requests_per_minute: 600, burst_requests: 3, tokens_per_minute: 1000000}]
"""
SCRIPT = write_script("spaced", episodes=3, scenes=3, scene_chars=400)
"""Too long for the model in one piece."""
Act = Callable[[str], str | web.Response]


@dataclass
class Biller:
    """A model that says what ``act`` makes of the last message, and what it counts for that."""

    act: Act = lambda text: text
    asked: list[str] = field(default_factory=list)
    billed_nano: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        text = body["messages"][-1]["content"]
        self.asked.append(text)
        said = self.act(text)
        if isinstance(said, web.Response):
            return said
        usage = {"prompt_tokens": len(text) + 100, "completion_tokens": len(said)}
        self.billed_nano += usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for chunk in (
            {"choices": [{"index": 0, "delta": {"content": said}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {**usage, "total_tokens": sum(usage.values())}},
        ):
            event = {"id": "c", "object": "chat.completion.chunk", "model": "m", **chunk}
            await response.write(b"data: " + orjson.dumps(event) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


@dataclass
class House:
    url: str
    gateway: Gateway
    session: aiohttp.ClientSession
    biller: Biller
    observed: list[CallRecord]

    async def polish(
        self, script: str = SCRIPT, project: str = "market", **body: Any
    ) -> tuple[int, Any, Any]:
        messages = [{"role": "user", "content": script}]
        headers = {"Authorization": f"Bearer {KEY}", "X-Daobo-Project": project}
        asked = {"model": "polish", "messages": messages, **body}
        url = f"{self.url}/v1/chat/completions"
        async with self.session.post(url, json=asked, headers=headers) as answer:
            return answer.status, answer.headers, await answer.json()

    @property
    def record(self) -> CallRecord:
        self.gateway.records.flush()
        (record,) = self.observed
        return record

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Of the ledger, once all is written down and nothing in it is wrong."""
        await self.gateway.ledger.stop(5)
        return await asyncio.to_thread(self._rows, statement)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = connect(f"sqlite:///{self.gateway.options.state / 'ledger.db'}")
        try:
            assert verify(connection, 0).named == []
            assert connection.execute("SELECT COUNT(*) FROM holds") == [(0,)]
            return connection.execute(statement)
        finally:
            connection.close()


@pytest.fixture
def cap() -> str:
    return "0.001"


@pytest.fixture
async def house(tmp_path: Path, cap: str) -> AsyncIterator[House]:
    biller, records = Biller(), []
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", biller.chat)
    async with TestServer(app) as upstream:
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG % (str(upstream.make_url("")).rstrip("/"), cap))
        gateway = Gateway(Options(config, tmp_path, {"DAOBO_KEY": KEY}), records.append)
        async with TestServer(gateway.public_app()) as server, aiohttp.ClientSession() as session:
            url = str(server.make_url("")).rstrip("/")
            yield House(url, gateway, session, biller, records)
        await gateway.close()


async def test_one_hold_an_attempt_for_each_part_and_the_sum_of_what_was_billed(
    house: House,
) -> None:
    status, headers, answer = await house.polish()
    assert (status, answer["choices"][0]["message"]["content"]) == (200, SCRIPT)
    parts = len(house.biller.asked)
    assert parts > 3
    assert "".join(sorted(house.biller.asked, key=SCRIPT.index)) == SCRIPT
    assert house.gateway.ledger.tally.granted == 1
    attempts = await house.rows("SELECT part, outcome, cost_nano FROM attempts ORDER BY part")
    assert [(part, outcome) for part, outcome, _ in attempts] == [
        (number, "ok") for number in range(1, parts + 1)
    ]
    charged = sum(cost for *_, cost in attempts)
    assert charged == house.biller.billed_nano
    assert headers["x-daobo-cost"] == f"{charged / 1e9:.9f}"
    assert headers["x-daobo-attempts"] == str(parts)
    ((held, baseline, replayed),) = await house.rows(
        "SELECT held_nano, baseline_nano, replayed FROM requests"
    )
    assert held > charged == baseline
    assert replayed == ""


async def test_a_budget_too_small_for_the_whole_refuses_before_anything_is_sent(
    house: House,
) -> None:
    status, _, answer = await house.polish(project="tiny")
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert answer["error"]["message"].startswith("nothing was sent: ")
    assert house.biller.asked == []
    assert await house.rows("SELECT * FROM requests") == []


async def test_an_answer_of_no_use_is_paid_for_and_marked(house: House) -> None:
    """Two scenes of the first part are lost, once."""
    lost: list[str] = []

    def loses_once(text: str) -> str:
        if SCRIPT.startswith(text) and not lost:
            lost.append(text)
            return "好的。"
        return text

    house.biller.act = loses_once
    status, _, answer = await house.polish()
    assert (status, answer["choices"][0]["message"]["content"]) == (200, SCRIPT)
    rows = await house.rows("SELECT outcome, SUM(cost_nano) FROM attempts GROUP BY outcome")
    by_outcome = dict(rows)
    assert set(by_outcome) == {"ok", "discarded"}
    assert sum(by_outcome.values()) == house.biller.billed_nano
    used = [a.usage for a in house.record.attempts if a.outcome.label == "ok"]
    assert sum(usage.output_tokens for usage in used) == house.record.usage.output_tokens


async def test_a_call_that_its_upstream_finds_too_long_is_cut_and_paid_once(house: House) -> None:
    error = {"error": {"message": "too long", "code": "context_length_exceeded", "param": None,
                       "type": "invalid_request_error"}}  # fmt: skip

    def is_small(text: str) -> str | web.Response:
        return web.json_response(error, status=400) if len(text) > 600 else text

    house.biller.act = is_small
    script = SCRIPT[: SCRIPT.index("2-1")]
    status, _, answer = await house.polish(script)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, script)
    attempts = await house.rows("SELECT part, outcome, cost_nano FROM attempts ORDER BY number")
    assert attempts[0] == (None, "context_length_exceeded", 0)
    assert None not in [part for part, *_ in attempts[1:]]
    assert sum(cost for *_, cost in attempts) == house.biller.billed_nano


async def test_each_part_takes_of_the_callers_limits_and_waits_for_its_turn(house: House) -> None:
    began_s = asyncio.get_running_loop().time()
    status, headers, answer = await house.polish(project="slow")
    assert (status, answer["choices"][0]["message"]["content"]) == (200, SCRIPT)
    assert answer["daobo"]["flagged"] == []
    waited = len(house.biller.asked) - 3
    assert asyncio.get_running_loop().time() - began_s > 0.1 * (waited - 1)
    assert int(headers["x-ratelimit-limit-requests"]) == 3
