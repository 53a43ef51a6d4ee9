"""A gateway in this process, on a real socket, before an upstream that echoes scripts."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from gateway.app import Gateway, Options
from gateway.schema import CallRecord
from gateway.server.listener import Listener
from gateway.stores.opening import prepare_ledger

from .acts import INPUT_NANO, OUTPUT_NANO
from .replies import Reply, read_answer, read_stream
from .script_upstream import ScriptUpstream

KEY = "sk-long-scripts"
BUDGETS = (200, 800, 4000)
POOLS = (1, 8)
BARE = {"bible": False, "last_lines": 0, "next_heading": False}
IMPATIENT_S = 0.3
SOON_S = 0.5
"""All that the parts of a call have together, in the task that is soon over."""
PLACES = 2
"""Calls in flight at the provider that is narrow."""
TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.005


def echo_task(budget_tokens: int, with_context: bool, pool: int) -> str:
    """The name of the task that cuts so."""
    return f"echo-{budget_tokens}-{'told' if with_context else 'bare'}-{pool}"


def _echo_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    for budget_tokens in BUDGETS:
        for pool in POOLS:
            for with_context in (True, False):
                chunking = {"mode": "map", "budget_tokens": budget_tokens, "pool": pool}
                chunking |= {"keep_s": 0} if with_context else {"keep_s": 0, "context": BARE}
                name = echo_task(budget_tokens, with_context, pool)
                yield name, {"models": ["echo"], "chunking": chunking}


def configuration(root: str) -> dict[str, Any]:
    """Each story has a task, a model or a project of its own."""
    price = {
        "currency": "USD",
        "input_per_mtok": f"{INPUT_NANO / 1000:.2f}",
        "output_per_mtok": f"{OUTPUT_NANO / 1000:.2f}",
    }
    wide = {"price": price, "context_tokens": 200_000, "max_output_tokens": 32_768}
    upstream = {"type": "openai-compatible", "base_url": f"{root}/v1"}
    small = {"mode": "map", "budget_tokens": 300, "pool": 4, "keep_s": 0}

    def task(*models: str, **chunking: Any) -> dict[str, Any]:
        return {"models": list(models), "chunking": {**small, **chunking}}

    return {
        "rehearsal": "never",
        "max_attempts": 2,
        "retries": {"budget": 10, "backoff_s": 0.01, "max_backoff_s": 0.1},
        "breaker": {"consecutive_failures": 100_000, "min_calls": 100_000},
        "providers": {
            "script": upstream,
            "second": upstream,
            "impatient": {**upstream, "first_byte_timeout_s": IMPATIENT_S},
            "narrow": {**upstream, "max_concurrency": PLACES},
            "rehearsal": {"token_delay_s": 0},
        },
        "models": {
            "echo": {"targets": ["script/echo-1"], **wide},
            "two-homes": {"targets": ["script/echo-1", "second/echo-2"], **wide},
            "impatient": {"targets": ["impatient/echo-1", "second/echo-2"], **wide},
            "small": {"targets": ["script/small-1"], **wide, "context_tokens": 8192},
            "able": {
                "targets": ["script/small-1"],
                **wide,
                "context_tokens": 8192,
                "capabilities": ["chat", "tools", "json_object"],
            },
            "narrow-echo": {"targets": ["narrow/echo-1"], **wide},
            "rehearsal-echo": {"targets": ["rehearsal/rehearsal-echo"], "context_tokens": 8192},
            "rehearsal-polish": {"targets": ["rehearsal/rehearsal-polish"], "context_tokens": 8192},
        },
        "tasks": {
            **dict(_echo_tasks()),
            "polish": task("two-homes", budget_tokens=4000, pool=8),
            "scenes": task("two-homes"),
            "one-home": task("echo"),
            "four-scenes": task("two-homes", budget_tokens=850),
            "one-by-one": task("two-homes", pool=1),
            "hurried": task("impatient"),
            "soon-over": task("two-homes", deadline_s=SOON_S),
            "kept": task("two-homes", keep_s=3600),
            "kept-bare": task("two-homes", keep_s=3600, context=BARE),
            "all-can": task("able", budget_tokens=4000),
            "narrow": task("narrow-echo"),
            "by-itself": task("small", budget_tokens=4000),
            "room-elsewhere": task("small", "echo", budget_tokens=4000),
            "refine": task("echo", mode="refine"),
            "reduce": task("echo", mode="reduce"),
            "uncut": {"models": ["small"]},
            "rehearsed": task("rehearsal-polish", budget_tokens=4000),
        },
        "money": {"budgets": [{"project": "poor", "cap": "0.05", "currency": "USD"}]},
        "limits": {
            "rules": [
                {"project": "counted", "requests_per_minute": 60, "burst_requests": 5},
                {"project": "used-up", "requests_per_minute": 1, "burst_requests": 1},
            ]
        },
    }


@dataclass
class Stage:
    """The gateway and its address, the upstream, and the records of calls that have ended."""

    url: str
    upstream: ScriptUpstream
    gateway: Gateway
    session: aiohttp.ClientSession
    state: Path
    observed: list[CallRecord] = field(default_factory=list)

    @property
    def records(self) -> list[CallRecord]:
        self.gateway.records.flush()
        return self.observed

    def forget(self) -> None:
        self.upstream.forget()
        self.gateway.records.flush()
        self.observed.clear()

    @asynccontextmanager
    async def post(
        self,
        script: str,
        *,
        model: str = "echo",
        task: str | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call with the script as its only message, unless ``messages`` says otherwise."""
        body = {"model": model, "messages": [{"role": "user", "content": script}], **fields}
        named = {"x-daobo-task": task} if task else {}
        async with self.session.post(
            f"{self.url}/v1/chat/completions",
            data=orjson.dumps(body),
            headers={"content-type": "application/json", **named, **(headers or {})},
        ) as response:
            yield response

    async def ask(self, script: str, *, stream: bool = False, **more: Any) -> Reply:
        async with asyncio.timeout(TIMEOUT_S), self.post(script, stream=stream, **more) as response:
            raw = await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
            if response.status != 200:
                return Reply(response.status, headers, "", error=orjson.loads(raw)["error"])
            return read_stream(raw, headers) if stream else read_answer(raw, headers)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.state / "ledger.db")) as database:
            return database.execute(statement).fetchall()

    async def settled(self) -> None:
        """Everything that has ended is in the ledger."""
        await until(lambda: not self.gateway.ledger.backlog, "calls are written down")


async def until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"
        await asyncio.sleep(POLL_INTERVAL_S)


@asynccontextmanager
async def listening(runner: web.AppRunner) -> AsyncIterator[str]:
    """Run it on a free port; its address."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened_stage(folder: Path, **more: Any) -> AsyncIterator[Stage]:
    """``more`` are parts of the configuration that take the place of those above."""
    upstream = ScriptUpstream()
    runner = web.AppRunner(upstream.app, handler_cancellation=True, shutdown_timeout=0.1)
    async with listening(runner) as root:
        path = folder / "gateway.yaml"
        path.write_bytes(orjson.dumps({**configuration(root), **more}))  # JSON is YAML
        records: list[CallRecord] = []
        gateway = Gateway(Options(path, folder, {"DAOBO_KEY": KEY}), records.append)
        prepare_ledger(gateway.database_url)
        public = Listener(
            gateway.public_app(),
            lambda: gateway.rooms.loaded.config.server,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=0.1,
        )
        try:
            async with (
                listening(public) as url,
                aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session,
            ):
                yield Stage(url, upstream, gateway, session, folder, records)
        finally:
            await gateway.close()
