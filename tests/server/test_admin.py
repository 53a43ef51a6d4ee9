"""The admin API on its own listener: who may use it, and what it does to calls under way."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

import aiohttp
import orjson
import pytest

from gateway.app import Gateway, Options
from gateway.config_file import default_config_path
from gateway.telemetry.exposition import CONTENT_TYPE

KEY, ADMIN_KEY = "sk-for-calls", "sk-for-operators"
MARKET = {"scope": {"project": "night-market"}, "cap": "1", "window": "day"}
ROUTES = [
    ("GET", "/admin/budgets"),
    ("PUT", "/admin/budgets"),
    ("DELETE", "/admin/budgets?scope=everything"),
    ("GET", "/admin/holds"),
    ("GET", "/admin/report"),
]


@dataclass
class Studio:
    """A gateway with the configuration that it comes with, and no provider's key."""

    gateway: Gateway
    session: aiohttp.ClientSession
    public_url: str
    admin_url: str

    async def ask(self, method, path, body=None, key=ADMIN_KEY):
        """Status and answer of the admin API."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.session.request(
            method, self.admin_url + path, data=orjson.dumps(body), headers=headers
        ) as response:
            return response.status, await response.json()

    async def refusal(self, method, path, body=None, key=ADMIN_KEY):
        status, answer = await self.ask(method, path, body, key)
        return status, answer["error"]

    async def settled(self):
        """Every call that has ended is written down."""
        await self.gateway.ledger.stop(5)

    async def call(self, project="night-market", max_tokens=3000):
        """Status, headers and answer of a call."""
        body = {
            "model": "rewrite",
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "一场雨夜的戏"}],
        }
        headers = {"Authorization": f"Bearer {KEY}", "X-Daobo-Project": project}
        url = f"{self.public_url}/v1/chat/completions"
        async with self.session.post(url, json=body, headers=headers) as response:
            return response.status, response.headers, await response.json()


@pytest.fixture
async def studio(tmp_path, aiohttp_server):
    environ = {"DAOBO_KEY": KEY, "DAOBO_ADMIN_KEY": ADMIN_KEY}
    gateway = Gateway(Options(default_config_path(), tmp_path, environ), lambda record: None)
    public = await aiohttp_server(gateway.public_app())
    admin = await aiohttp_server(gateway.admin_app())
    async with aiohttp.ClientSession() as session:
        yield Studio(gateway, session, *(str(s.make_url("")).rstrip("/") for s in (public, admin)))
    await gateway.close()


# A budget from the first call to the last


async def test_a_budget_lets_calls_pass_until_it_has_no_room_and_again_once_it_is_raised(studio):
    await studio.ask("PUT", "/admin/budgets", MARKET)
    passed = 0
    while (reply := await studio.call())[0] == 200:
        await studio.settled()
        passed += 1
    assert passed > 1
    status, headers, answer = reply
    assert status == 429
    assert headers["x-should-retry"] == "false"
    assert answer["error"]["type"] == answer["error"]["code"] == "insufficient_quota"
    message = answer["error"]["message"]
    _, listed = await studio.ask("GET", "/admin/budgets")
    (node,) = listed["data"]
    assert f"budget {node['node']} has no room" in message
    assert node["node"] == "project=night-market"
    assert f"cap CNY {node['cap']} a day, rehearsed {node['rehearsed']}, held 0.00" in message
    assert f"room again from {node['resets_at']}" in message
    assert (await studio.call(project="other"))[0] == 200
    await studio.ask("PUT", "/admin/budgets", {**MARKET, "cap": "2"})
    assert (await studio.call())[0] == 200


async def test_a_rehearsal_counts_in_a_book_of_its_own(studio):
    await studio.ask("PUT", "/admin/budgets", {**MARKET, "cap": "5"})
    await studio.call()
    await studio.settled()
    (node,) = (await studio.ask("GET", "/admin/budgets"))[1]["data"]
    assert (node["spent"], node["held"], node["left"]) == ("0.00", "0.00", "5.00")
    assert node["rehearsed"] != "0.00"


async def test_a_soft_budget_warns_and_refuses_nothing(studio):
    await studio.ask("PUT", "/admin/budgets", {**MARKET, "cap": "0.0001", "mode": "soft"})
    status, headers, _ = await studio.call()
    assert status == 200
    assert "budget project=night-market is at" in headers["x-daobo-warning"]


async def test_a_removed_budget_refuses_nothing(studio):
    await studio.ask("PUT", "/admin/budgets", {**MARKET, "cap": "0"})
    assert (await studio.call())[0] == 429
    path = "/admin/budgets?scope=project=night-market&window=day"
    assert (await studio.ask("DELETE", path))[0] == 200
    assert (await studio.call())[0] == 200


# Who may


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_done_without_a_key(studio, method, path):
    status, error = await studio.refusal(method, path, MARKET, key=None)
    assert (status, error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_key_for_calls_is_not_enough(studio, method, path):
    status, error = await studio.refusal(method, path, MARKET, key=KEY)
    assert (status, error["type"]) == (403, "permission_error")
    assert "daobo keys create NAME --admin" in error["message"]


async def test_an_unknown_key_is_neither(studio):
    status, error = await studio.refusal("GET", "/admin/budgets", key="sk-unknown")
    assert status == 401
    assert "sk-unknown" not in error["message"]


async def test_the_operators_key_of_the_environment_makes_no_calls(studio):
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with studio.session.get(f"{studio.public_url}/v1/models", headers=headers) as response:
        assert response.status == 401


async def test_a_key_that_was_made_for_operators_may_until_it_is_revoked(studio):
    key, text = studio.gateway.key_file.create("Mei", None, 0, admin=True)
    studio.gateway.ring.refresh()
    assert (await studio.ask("GET", "/admin/budgets", key=text))[0] == 200
    studio.gateway.key_file.revoke(key.id, 0)
    studio.gateway.ring.refresh()
    assert (await studio.ask("GET", "/admin/budgets", key=text))[0] == 401


async def test_metrics_and_health_stay_open(studio):
    async with studio.session.get(f"{studio.admin_url}/metrics") as response:
        assert (response.status, response.headers["content-type"]) == (200, CONTENT_TYPE)
    async with studio.session.get(f"{studio.admin_url}/healthz") as response:
        assert response.status == 200


async def test_the_clients_listener_has_no_admin_api(studio):
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    url = f"{studio.public_url}/admin/budgets"
    async with studio.session.get(url, headers=headers) as response:
        assert response.status == 404


# What a budget may be


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "scope must be an object of levels", "scope"),
        ({**MARKET, "cap": 0.5}, 'send it as a string, such as "0.50"', "cap"),
        ({**MARKET, "cap": True}, "cap must be a decimal string", "cap"),
        ({**MARKET, "cap": "1e3"}, "'1e3' is no amount", None),
        ({**MARKET, "cap": "-1"}, "'-1' is no amount", None),
        ({**MARKET, "cap": "0.0000000001"}, "at most nine decimals", None),
        ({**MARKET, "cap": "1000000001"}, "larger than 1000000000", None),
        ({**MARKET, "currency": "EUR"}, "'EUR' is no currency here; there are CNY, USD", None),
        ({**MARKET, "window": "7w"}, "'7w' is no window", None),
        ({**MARKET, "window": 7}, "window must be a string", "window"),
        ({**MARKET, "mode": "firm"}, "'firm' is no mode", None),
        ({**MARKET, "warn_at_percent": [0.5]}, "a list of whole numbers", "warn_at_percent"),
        ({**MARKET, "warn_at_percent": [0]}, "not between 1 and 1000 %", None),
        ({**MARKET, "scope": {"film": "x"}}, "'film' is no level; there are tenant", "scope"),
        ({**MARKET, "scope": {"project": 7}}, "scope must be an object of levels", "scope"),
        ({**MARKET, "scope": {"project": " "}}, "scope.project is empty", "scope"),
        ({**MARKET, "cap": 1e23}, "or too large a one", "cap"),
        ({**MARKET, "scope": "project"}, "'project' is not LEVEL=VALUE", "scope"),
        ({**MARKET, "scope": "task=drft"}, "no task is called 'drft' (did you mean", None),
        ({**MARKET, "scope": "key=Mei"}, "no key has the id 'Mei'", None),
        ({**MARKET, "scope": {"project": "x" * 201}}, "longer than 200 characters", None),
        ({**MARKET, "limit": "1"}, "'limit' is no field here", "limit"),
    ],
)
async def test_what_is_no_budget_is_a_sentence(studio, body, message, param):
    status, error = await studio.refusal("PUT", "/admin/budgets", body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]
    assert (await studio.ask("GET", "/admin/budgets"))[1]["data"] == []


@pytest.mark.parametrize("scope", [{"project": "a", "episode": "*"}, "episode=*,project=a"])
async def test_a_scope_is_an_object_or_text(studio, scope):
    body = {"scope": scope, "cap": 1000, "currency": "USD", "window": "24h", "mode": "soft"}
    status, answer = await studio.ask("PUT", "/admin/budgets", {**body, "warn_at_percent": [50]})
    assert status == 200
    (node,) = answer["data"]
    assert node.pop("resets_at")
    assert node == {
        "node": "project=a,episode=*",
        "window": "1d",
        "currency": "USD",
        "cap": "1000.00",
        "spent": "0.00",
        "held": "0.00",
        "left": "1000.00",
        "used_percent": 0,
        "rehearsed": "0.00",
        "rehearsal_held": "0.00",
        "mode": "soft",
        "warn_at_percent": [50],
        "origin": "admin",
        "scope": "project=a,episode=*",
    }


async def test_removing_what_is_not_there_says_what_is(studio):
    await studio.ask("PUT", "/admin/budgets", MARKET)
    status, error = await studio.refusal("DELETE", "/admin/budgets?scope=project=night-market")
    assert status == 400
    assert "there are: project=night-market (day)" in error["message"]


async def test_a_body_that_is_no_json_is_a_sentence(studio):
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    url = f"{studio.admin_url}/admin/budgets"
    async with studio.session.put(url, data=b"{", headers=headers) as response:
        assert response.status == 400
        assert "not valid JSON" in (await response.json())["error"]["message"]


# The rest


async def test_open_holds_are_listed_with_their_place(studio):
    await studio.call()
    await studio.settled()
    database = sqlite3.connect(studio.gateway.options.state / "ledger.db")
    (rate,) = database.execute("SELECT id FROM exchange_rates").fetchone()
    with database:
        database.execute(
            "INSERT INTO holds (id, owner, started_us, amount_nano, currency, rehearsal, "
            "exchange_rate, about, project, key_id) VALUES ('lost', 'nobody', 1, 1500000000, "
            "'USD', FALSE, ?, '{}', 'night-market', 'k1')",
            (rate,),
        )
    database.close()
    _, answer = await studio.ask("GET", "/admin/holds")
    (hold,) = answer["data"]
    assert hold.pop("age_s") > 0
    assert hold == {
        "id": "lost",
        "place": {"project": "night-market", "key": "k1"},
        "amount": "1.50",
        "currency": "USD",
        "rehearsal": False,
        "owner_alive": False,
        "expires_in_s": None,
        "drawn_from": None,
    }
    assert answer["has_more"] is False


async def test_a_report_is_made_of_what_was_called(studio):
    await studio.call()
    await studio.settled()
    status, report = await studio.ask("GET", "/admin/report?by=project")
    assert status == 200
    assert "night-market" in orjson.dumps(report["groups"]).decode()


@pytest.mark.parametrize("query", ["by=nothing", "since=yesterday-ish", "format=xml"])
async def test_a_report_that_cannot_be_is_a_sentence(studio, query):
    status, error = await studio.refusal("GET", f"/admin/report?{query}")
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_a_database_that_is_away_is_503(studio):
    await asyncio.to_thread((studio.gateway.options.state / "ledger.db").mkdir)
    status, error = await studio.refusal("GET", "/admin/budgets")
    assert (status, error["code"]) == (503, "ledger_unavailable")
