"""What a running gateway shows of its money: real calls, and a ledger that can be in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient, AiohttpServer
from records import samples, value
from structlog.testing import capture_logs

from gateway.app import Gateway, Options
from gateway.budget import amount
from gateway.ledger import NANO, ExchangeRate, HoldRequest, Place
from gateway.money.recovery import closing_of_orphan
from tests.fakes.openai_upstream import KEY as UPSTREAM_KEY
from tests.fakes.openai_upstream import OpenAIUpstream, Refuse

KEY = "sk-test"
TIMEOUT_S = 30.0
POLL_S = 0.01
PRICE = {"currency": "USD", "input_per_mtok": "1.00", "output_per_mtok": "4.00"}


@dataclass
class House:
    """A gateway with both of its listeners, and the upstream behind it."""

    gateway: Gateway
    upstream: OpenAIUpstream
    public: TestClient[Any, Any]
    admin: TestClient[Any, Any]
    database: Path

    async def call(self, project: str = "moonlight", model: str = "writer") -> int:
        reply = await self.public.post(
            "/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": "A night market."}]},
            headers={"authorization": f"Bearer {KEY}", "x-daobo-project": project},
        )
        await reply.read()
        return reply.status

    async def page(self) -> bytes:
        return await (await self.admin.get("/metrics")).read()

    async def settled(self) -> None:
        await until(lambda: self.gateway.ledger.backlog == 0)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.database) as connection:
            return connection.execute(statement).fetchall()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(POLL_S)


@pytest.fixture
async def house(
    tmp_path: Path, aiohttp_server: AiohttpServer, aiohttp_client: AiohttpClient
) -> AsyncIterator[House]:
    upstream = OpenAIUpstream()
    served = await aiohttp_server(upstream.app)
    path = tmp_path / "gateway.yaml"
    path.write_bytes(orjson.dumps(configuration(f"http://127.0.0.1:{served.port}/v1")))
    gateway = Gateway(
        Options(path, tmp_path, {"DAOBO_KEY": KEY, "STUDIO_KEY": UPSTREAM_KEY}), lambda record: None
    )
    public = await aiohttp_client(gateway.public_app())
    admin = await aiohttp_client(gateway.admin_app())
    gateway.ledger.start()
    yield House(gateway, upstream, public, admin, tmp_path / "ledger.db")
    await gateway.close()


def configuration(base_url: str) -> dict[str, Any]:
    """Two homes of one model, in two currencies, and a budget for each project."""
    providers = {
        name: {"type": "openai-compatible", "base_url": base_url, "api_key": "${STUDIO_KEY}"}
        for name in ("dollars", "yuan")
    }
    model = {"price": PRICE, "max_output_tokens": 1000, "context_tokens": 100_000}
    in_yuan = {"yuan/writer-1": {**PRICE, "currency": "CNY"}}
    both = {**model, "targets": ["dollars/writer-1", "yuan/writer-1"], "target_prices": in_yuan}
    return {
        "rehearsal": "never",
        "providers": providers,
        "models": {"writer": {**model, "targets": ["dollars/writer-1"]}, "either": both},
        "money": {"budgets": [{"project": "*", "cap": "1", "currency": "USD"}]},
    }


async def test_the_page_shows_what_the_ledger_says(house: House) -> None:
    house.upstream.script(Refuse(500))
    assert [await house.call(model="either"), await house.call("harbour")] == [200, 200]
    await house.settled()
    text = await house.page()
    charged = house.rows(
        "SELECT currency, project, SUM(cost_nano) FROM attempts JOIN requests "
        "ON requests.id = request_id WHERE currency IS NOT NULL GROUP BY currency, project"
    )
    assert {(currency, project) for currency, project, _ in charged} >= {
        ("CNY", "moonlight"),
        ("USD", "harbour"),
    }
    for currency, project, nano in charged:
        shown = value(text, "daobo_cost_total", currency=currency, project=project)
        assert round(shown * NANO) == nano


async def test_holds_and_commits_are_counted(house: House) -> None:
    await house.call()
    await house.settled()
    text = await house.page()
    assert value(text, "daobo_ledger_holds_total", verdict="granted") == 1
    assert value(text, "daobo_ledger_closings_total") == 1
    assert value(text, "daobo_ledger_commits_total") == 2
    assert value(text, "daobo_ledger_commit_seconds_total") > 0
    assert value(text, "daobo_ledger_usable") == 1
    assert value(text, "daobo_held") == 0


async def test_what_is_held_is_shown_until_it_is_released(house: House) -> None:
    request = HoldRequest("call_1", Place(), 0, 3 * NANO, "CNY", ExchangeRate(7 * NANO))
    await house.gateway.ledger.hold(request)
    await house.gateway.ledger.hold(request._replace(amount_nano=NANO, extends=True))
    assert value(await house.page(), "daobo_held", currency="CNY", rehearsal="false") == 4
    orphan = request._replace(about='["chat", "m", "model", false, "p", "m", "m"]')
    house.gateway.ledger.close(lambda: closing_of_orphan(orphan))
    await house.settled()
    assert value(await house.page(), "daobo_held") == 0


async def test_a_hold_that_another_process_left_is_counted_as_leaked(house: House) -> None:
    left = HoldRequest(
        "call_1", Place(project="moonlight"), 0, NANO // 2, "USD", ExchangeRate(7 * NANO),
        about='["chat", "writer", "model", false, "dollars", "writer-1", "writer"]',
    )  # fmt: skip
    await house.gateway.ledger.hold(left)
    for _ in range(2):  # as two processes would that find it at the same time
        house.gateway.ledger.close(lambda: closing_of_orphan(left))
    await house.settled()
    with capture_logs() as lines:
        text = await house.page()
    assert [(line["log_level"], line["calls"]) for line in lines if "died" in line["event"]] == [
        ("warning", 1)
    ]
    assert value(text, "daobo_ledger_recovered_holds_total") == 1
    assert value(text, "daobo_cost_total", project="moonlight") == 0.5
    assert value(text, "daobo_wasted_cost_total", outcome="internal") == 0.5
    assert value(text, "daobo_ledger_late_closings_total") == 0


async def test_the_gauges_move_while_the_database_is_locked(house: House) -> None:
    assert await house.call() == 200
    await house.settled()
    held = HoldRequest("call_1", Place(), 0, 1, "USD", ExchangeRate(7 * NANO))
    await house.gateway.ledger.hold(held)
    with sqlite3.connect(house.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        house.gateway.ledger.close(
            lambda: closing_of_orphan(
                held._replace(about='["chat", "m", "model", false, "p", "m", "m"]')
            )
        )
        assert await house.call() == 503
        text = await house.page()
        assert value(text, "daobo_ledger_usable") == 0
        assert value(text, "daobo_ledger_holds_total", verdict="unavailable") == 1
        assert value(text, "daobo_ledger_backlog") >= 1
        assert value(text, "daobo_ledger_lag_seconds") > 0.4
        other.execute("ROLLBACK")
    await house.settled()
    text = await house.page()
    assert value(text, "daobo_ledger_usable") == 1
    assert value(text, "daobo_ledger_lag_seconds") == 0


async def test_a_budget_shows_its_cap_what_is_spent_and_how_full_it_is(house: House) -> None:
    await house.call("moonlight")
    await house.settled()
    request = HoldRequest(
        "call_1", Place(project="moonlight"), 0, NANO // 4, "USD", ExchangeRate(7 * NANO)
    )
    await house.gateway.ledger.hold(request)
    text = await house.page()
    ((labels, cap),) = samples(text)["daobo_budget_cap"]
    assert labels == {"budget": "project=*@total", "node": "project=moonlight", "currency": "USD"}
    ((spent_nano,),) = house.rows("SELECT spent_nano FROM balances")
    assert spent_nano > 0
    assert cap == 1
    assert value(text, "daobo_budget_spent") == spent_nano / NANO
    assert value(text, "daobo_budget_held") == 0.25
    assert value(text, "daobo_budget_fill_ratio") == pytest.approx(0.25 + spent_nano / NANO)


async def test_a_balance_that_is_wrong_is_shown_and_named_in_the_log(house: House) -> None:
    await house.call()
    await house.settled()
    ((spent_nano,),) = house.rows("SELECT spent_nano FROM balances")
    with sqlite3.connect(house.database) as other:
        other.execute("UPDATE balances SET spent_nano = spent_nano + 5")
    auditor = house.gateway.money_watch.auditor
    auditor.delay_s = 0.0
    with capture_logs() as lines:
        auditor.start()
        await until(lambda: auditor.last is not None)
    text = await house.page()
    assert value(text, "daobo_ledger_differences") == 1
    assert value(text, "daobo_ledger_difference_nano", currency="USD") == 5
    assert value(text, "daobo_ledger_audited_timestamp_seconds") > 0
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["budget"], line["node"]) == ("project=*@total", "project=moonlight")
    assert (line["counted"][0], line["true"][0]) == (amount(spent_nano + 5), amount(spent_nano))


async def test_before_an_audit_nothing_is_said_of_differences(house: House) -> None:
    assert "daobo_ledger_differences" not in samples(await house.page())
