"""Several keys at one provider, and what a 429 or a refused key does to them: over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from gateway.app import Gateway, Options
from gateway.errors import CallError, Outcome
from gateway.limits.pacing import Pacer
from gateway.schema import CallRecord, Target

KEY = "sk-accounts-test"
FIRST, SECOND = "sk-first-of-the-studio", "sk-second-of-the-studio"
CONFIG = """
rehearsal: never
providers:
  studio: {type: openai-compatible, base_url: "%(url)s/v1", api_keys: ["${ONE}", "${TWO}"]}
  spare: {type: openai-compatible, base_url: "%(url)s/v1", api_key: "${SPARE}"}
  busy: {type: openai-compatible, base_url: "%(url)s/v1", max_concurrency: 1}
  pair:
    type: openai-compatible
    base_url: "%(url)s/v1"
    api_keys: ["${ONE}", "${TWO}"]
    max_concurrency: 1
  frugal: {type: openai-compatible, base_url: "%(url)s/v1", tokens_per_minute: 100000}
models:
  writer: {targets: [studio/writer], price: {free: true}}
  painter: {targets: [studio/painter], price: {free: true}}
  safe: {targets: [spare/writer, studio/writer], price: {free: true}}
  lonely: {targets: [spare/writer], price: {free: true}}
  queued: {targets: [busy/writer], price: {free: true}}
  paired: {targets: [pair/writer], price: {free: true}}
  counted: {targets: [frugal/writer], price: {free: true}}
limits: {queue: {max_waiting: 7, max_wait_s: 0.5}}
"""
ENVIRON = {"DAOBO_KEY": KEY, "ONE": FIRST, "TWO": SECOND, "SPARE": "sk-spare"}
LEAVE_ALONE = {"retry-after": "20"}

NOTHING: Mapping[str, Any] = {}
NOTHING_LEFT = {
    "x-ratelimit-limit-requests": "1",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "6m0s",
}
SPARE_WRITER = Target("spare", "writer", "lonely")
PAIR_WRITER = Target("pair", "writer", "paired")

Refusal = tuple[int, dict[str, str]]


def too_many(retry_after_s: float | None) -> CallError:
    return CallError(Outcome.UPSTREAM_RATE_LIMITED, "too many", retry_after_s=retry_after_s)


class Upstream:
    """Knows who called, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.users: list[str] = []
        self.refused: list[str] = []
        self.refusals: dict[tuple[str, str], Refusal] = {}
        """By key and model; an empty model is all of them."""
        self.headers: dict[str, str] = {}
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self._chat)

    def refuse(self, key: str, status: int, model: str = "", **headers: str) -> None:
        self.refusals[key, model] = status, {k.replace("_", "-"): v for k, v in headers.items()}

    async def _chat(self, request: web.Request) -> web.Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        body = await request.json()
        model = body["model"]
        for place in ((key, model), (key, "")):
            if place in self.refusals:
                status, headers = self.refusals[place]
                self.refused.append(key)
                error = {"error": {"message": f"no {key}", "type": "refused"}}
                return web.json_response(error, status=status, headers=headers)
        self.served.append(key)
        self.users.append(body.get("user", ""))
        self.arrived.set()
        await self.go_on.wait()
        answer = {
            "choices": [{"index": 0, "message": {"content": "好"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
        return web.json_response(answer, headers=self.headers)


class Studio:
    """A gateway on a real socket, its upstream, and the records of its calls."""

    def __init__(self, folder: Path, url: str) -> None:
        self.file = folder / "gateway.yaml"
        self.file.write_text(CONFIG % {"url": url})
        self.records: list[CallRecord] = []
        self.gateway = Gateway(Options(self.file, folder, ENVIRON), self.records.append)
        self.url = ""

    async def call(
        self, model: str, fields: Mapping[str, Any] = NOTHING, **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        """Status, body and headers of the answer."""
        body = {"model": model, "messages": [{"role": "user", "content": "写"}], **fields}
        sent = {"authorization": f"Bearer {KEY}", **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/chat/completions", json=body, headers=sent) as response,
        ):
            return response.status, await response.json(), response.headers

    async def statuses(self, model: str, count: int) -> Counter[int]:
        return Counter([(await self.call(model))[0] for _ in range(count)])

    def metric(self, name: str) -> float:
        self.gateway.records.flush()
        for line in self.gateway.metrics.render().decode().splitlines():
            if line.startswith(f'{name}{{gen_ai_provider_name="studio"}}'):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"{name} is not shown")


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def studio(
    tmp_path: Path, upstream: Upstream, aiohttp_server: AiohttpServer
) -> AsyncIterator[Studio]:
    behind = await aiohttp_server(upstream.app)
    studio = Studio(tmp_path, str(behind.make_url("")).rstrip("/"))
    front = await aiohttp_server(studio.gateway.public_app())
    studio.url = str(front.make_url("")).rstrip("/")
    yield studio
    await studio.gateway.close()


async def test_keys_take_turns(studio: Studio, upstream: Upstream) -> None:
    assert await studio.statuses("writer", 10) == {200: 10}
    assert Counter(upstream.served) == {FIRST: 5, SECOND: 5}


async def test_a_429_parks_the_target_and_the_next_target_serves(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.refuse("sk-spare", 429, retry_after="20")
    assert await studio.statuses("safe", 5) == {200: 5}
    assert upstream.refused == ["sk-spare"]
    status, body, headers = await studio.call("lonely")
    assert status == 429
    assert 15 < float(headers["retry-after"]) <= 20
    assert "the provider takes no more calls" in body["error"]["message"]


async def test_a_429_of_one_key_is_no_matter_for_the_other(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.refuse(FIRST, 429, model="writer", retry_after="20")
    assert await studio.statuses("writer", 6) == {200: 6}
    assert await studio.statuses("painter", 2) == {200: 2}
    assert upstream.refused == [FIRST]
    assert upstream.served.count(FIRST) == 1  # the painter's
    assert studio.metric("daobo_provider_targets_parked") == 1


async def test_a_call_waits_for_a_short_park_if_it_has_nowhere_else_to_go(
    studio: Studio, upstream: Upstream
) -> None:
    (account,) = studio.gateway.rooms.connected["spare"].pool.accounts
    account.failed(SPARE_WRITER, too_many(retry_after_s=0.1))
    began_s = time.monotonic()
    assert (await studio.call("lonely"))[0] == 200
    assert time.monotonic() - began_s >= 0.1
    assert upstream.served == ["sk-spare"]


async def test_a_revoked_key_costs_no_call_and_raises_one_alarm(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.refuse(SECOND, 401)
    with structlog.testing.capture_logs() as logs:
        assert await studio.statuses("writer", 10) == {200: 10}
    assert upstream.refused == [SECOND]
    assert studio.metric("daobo_provider_keys_retired") == 1
    (alarm,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (alarm["account"], alarm["status"], alarm["for_s"]) == ("studio#2", 401, 60)
    assert SECOND not in str(logs)


async def test_a_key_that_may_not_use_one_model_serves_the_others(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.refuse(SECOND, 403, model="writer")
    assert await studio.statuses("writer", 4) == {200: 4}
    assert upstream.served == [FIRST] * 4
    assert await studio.statuses("painter", 4) == {200: 4}
    assert Counter(upstream.served[4:]) == {FIRST: 2, SECOND: 2}
    assert upstream.refused == [SECOND]


async def test_with_the_only_key_refused_the_target_is_left_out_and_says_so(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.refuse("sk-spare", 402)
    assert (await studio.call("lonely"))[0] == 502
    status, body, _ = await studio.call("lonely")
    assert status == 502
    assert "the key of spare was refused (status 402)" in body["error"]["message"]
    assert "is tried again in" in body["error"]["message"]
    assert upstream.refused == ["sk-spare"]


async def test_a_reload_restores_a_key(studio: Studio, upstream: Upstream) -> None:
    upstream.refuse("sk-spare", 401)
    await studio.call("lonely")
    upstream.refusals.clear()
    await studio.gateway.reload()
    assert (await studio.call("lonely"))[0] == 200


async def test_what_the_provider_says_is_left_slows_calls_down(
    studio: Studio, upstream: Upstream
) -> None:
    upstream.headers = dict(NOTHING_LEFT)
    assert await studio.statuses("writer", 2) == {200: 2}  # one with each key
    status, _, headers = await studio.call("writer")
    assert (status, upstream.served) == (429, [FIRST, SECOND])
    assert float(headers["retry-after"]) >= 120


async def test_a_call_waits_where_the_provider_lets_it_go_first(
    studio: Studio, upstream: Upstream
) -> None:
    """One key has nothing left for minutes; of the other, all places are taken for a moment."""
    pool = studio.gateway.rooms.connected["pair"].pool
    held, busy = pool.accounts
    held.learn(PAIR_WRITER, NOTHING_LEFT)
    upstream.go_on.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(studio.call("paired"))
        await upstream.arrived.wait()
        waiting = tasks.create_task(studio.call("paired"))
        await queued(busy.pace, 1)
        upstream.go_on.set()
    assert waiting.result()[0] == 200
    assert upstream.served == [SECOND, SECOND]


async def test_a_header_may_ask_for_the_back_of_the_queue(studio: Studio) -> None:
    assert (await studio.call("writer", NOTHING, **{"x-daobo-priority": "Batch"}))[0] == 200
    status, body, _ = await studio.call("writer", NOTHING, **{"x-daobo-priority": "urgent"})
    assert status == 400
    assert "interactive or batch" in body["error"]["message"]


async def queued(pacer: Pacer, count: int) -> None:
    async with asyncio.timeout(30):
        while pacer.waiting < count:
            await asyncio.sleep(0.001)


async def test_the_queue_is_fair_and_one_call_too_many_is_refused_at_once(
    studio: Studio, upstream: Upstream
) -> None:
    """A busy provider: batch behind interactive, two projects in turn."""
    (pacer,) = studio.gateway.rooms.connected["busy"].pacers

    async def call(user: str, project: str, priority: str) -> int:
        headers = {"x-daobo-project": project, "x-daobo-priority": priority}
        return (await studio.call("queued", {"user": user}, **headers))[0]

    upstream.go_on.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call("first", "market", "interactive"))
        await upstream.arrived.wait()
        waiting = ["night batch", *["market"] * 4, *["lantern"] * 2]
        for count, user in enumerate(waiting, 1):
            project, _, priority = user.partition(" ")
            tasks.create_task(call(user, project, priority or "interactive"))
            await queued(pacer, count)
        assert await call("one too many", "lantern", "interactive") == 429
        upstream.go_on.set()
    taken = ["market", "lantern", "market", "lantern", "market", "market"]
    assert upstream.users == ["first", *taken, "night batch"]
    assert pacer.waiting == pacer.under_way == 0


async def test_tokens_at_a_provider_are_settled_to_what_was_used(
    studio: Studio, upstream: Upstream
) -> None:
    for _ in range(3):
        assert (await studio.call("counted", {"max_tokens": 90_000}))[0] == 200
    upstream.refuse("", 500)
    (pacer,) = studio.gateway.rooms.connected["frugal"].pacers
    assert (await studio.call("counted", {"max_tokens": 90_000}))[0] == 502
    assert pacer.under_way == 0
