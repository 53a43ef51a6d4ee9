"""Quotes over a real socket: asked for, admitted whole, drawn from by calls, given back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.app import Gateway, Options
from gateway.stores.keys import KeyFile
from tests.fakes.openai_upstream import KEY as UPSTREAM_KEY
from tests.fakes.openai_upstream import Hold, OpenAIUpstream

KEY = "sk-the-writers"
NANO = Decimal("0.000000001")
CONFIG = """
rehearsal: %s
providers:
  wire: {type: openai-compatible, base_url: "%s/v1", api_key: "${WIRE_KEY}"}
  rehearsal: {}
models:
  writer:
    targets: [wire/writer-1]
    context_tokens: 100000
    price: {input_per_mtok: "1", output_per_mtok: "4"}
  gauge:
    targets: [wire/gauge-1]
    capabilities: [embeddings]
    price: {input_per_mtok: "0.1", output_per_mtok: "0.1"}
  painter:
    targets: [wire/painter-1]
    capabilities: [image]
    price: {rules: [{per: image, price: "0.04"}]}
  understudy: {targets: [rehearsal/rehearsal-writer]}
tasks:
  draft: {models: [writer, understudy], max_output_tokens: 500}
money:
  cny_per_usd: "7.1"
  cny_per_usd_checked: "2026-11-20"
  cny_per_usd_source: a bank
  budgets: [%s]
"""


@dataclass
class Studio:
    """A gateway in this process, its address, its database and its upstream."""

    url: str
    session: aiohttp.ClientSession
    upstream: OpenAIUpstream
    database: Path
    other_key: str

    async def ask(
        self, method: str, path: str, body: Any = None, key: str = KEY, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer."""
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        headers = {"Authorization": f"Bearer {key}", **headers}
        url = f"{self.url}{path}"
        async with self.session.request(method, url, data=data, headers=headers) as response:
            assert response.headers["x-request-id"]
            return response.status, await response.json()

    async def quote(self, body: Any, **more: str) -> dict[str, Any]:
        status, quote = await self.ask("POST", "/v1/quotes", body, **more)
        assert status == 200, quote
        return quote

    async def admit(self, quote: dict[str, Any], body: Any = None) -> dict[str, Any]:
        status, hold = await self.ask("POST", f"/v1/quotes/{quote['id']}/admit", body)
        assert status == 200, hold
        return hold

    async def call(self, body: Any, hold: str, **headers: str) -> tuple[int, dict[str, Any]]:
        headers["X-Daobo-Hold"] = hold
        return await self.ask("POST", "/v1/chat/completions", body, **headers)

    async def hold_of(self, quote: dict[str, Any]) -> dict[str, Any]:
        _, shown = await self.ask("GET", f"/v1/quotes/{quote['id']}")
        return shown["hold"]

    async def until_left(self, quote: dict[str, Any], left: Decimal) -> None:
        """Calls are settled just after their answer; wait for that, not for long."""
        async with asyncio.timeout(5):
            while Decimal((await self.hold_of(quote))["left"]) != left:
                pass

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database, isolation_level=None)) as database:
            return database.execute(statement, values).fetchall()


Open = Callable[..., Awaitable[Studio]]


@pytest.fixture
async def open_studio(tmp_path, aiohttp_server):
    """Opens gateways with the budgets that a test wants, each on a database of its own."""
    upstream = OpenAIUpstream()
    server = await aiohttp_server(upstream.app)
    gateways: list[Gateway] = []
    async with aiohttp.ClientSession() as session:

        async def opened(budgets: str = "", rehearsal: str = "never") -> Studio:
            state = tmp_path / str(len(gateways))
            state.mkdir()
            config = state / "gateway.yaml"
            origin = str(server.make_url("")).rstrip("/")
            config.write_text(CONFIG % (rehearsal, origin, budgets))
            environ = {"DAOBO_KEY": KEY, "WIRE_KEY": UPSTREAM_KEY}
            _, other_key = KeyFile(state).create("editors", None, 0)
            gateway = Gateway(Options(config, state, environ), lambda record: None)
            gateways.append(gateway)
            public = await aiohttp_server(gateway.public_app())
            url = str(public.make_url("")).rstrip("/")
            return Studio(url, session, upstream, state / "ledger.db", other_key)

        yield opened
    for gateway in gateways:
        await gateway.close()


@pytest.fixture
async def studio(open_studio: Open) -> Studio:
    return await open_studio()


def chat(text: str = "雨夜", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "draft", "messages": messages, "max_tokens": 200, **fields}


def admit_path(quote: dict[str, Any]) -> str:
    return f"/v1/quotes/{quote['id']}/admit"


# What a quote says


async def test_a_single_body_is_quoted_as_it_is(studio: Studio) -> None:
    quote = await studio.quote(chat())
    (entry,) = quote["requests"]
    assert quote["object"] == "quote"
    assert quote["expires_at"] == quote["created"] + 86_400
    assert (entry["model"], entry["task"], entry["chosen"]) == ("draft", "draft", "wire/writer-1")
    assert quote["total"]["USD"] == entry["each"]["USD"]
    assert quote["exchange_rate"] == {
        "cny_per_usd": "7.10", "checked": "2026-11-20", "source": "a bank",
    }  # fmt: skip


async def test_all_shapes_of_a_request_come_to_the_same_money(studio: Studio) -> None:
    body = chat()
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    quote = await studio.quote({"requests": [body, {**body, "endpoint": "chat"}, line]})
    first, second, third = quote["requests"]
    assert first["each"] == second["each"] == third["each"]
    assert [entry["custom_id"] for entry in quote["requests"]] == [None, None, "a"]


async def test_a_list_may_stand_alone(studio: Studio) -> None:
    quote = await studio.quote([chat(), chat()])
    assert [entry["index"] for entry in quote["requests"]] == [0, 1]


async def test_a_count_multiplies(studio: Studio) -> None:
    one, many = await studio.quote(chat()), await studio.quote(chat(count=40))
    for figure in ("min", "likely", "max"):
        once, often = (Decimal(q["total"]["USD"][figure]) for q in (one, many))
        assert often == 40 * once
    assert Decimal(many["to_admit"]["amount"]) == Decimal(many["total"]["USD"]["max"])


async def test_the_endpoint_is_told_from_the_fields(studio: Studio) -> None:
    quote = await studio.quote(
        [
            chat(),
            {"model": "gauge", "input": "rain"},
            {"model": "painter", "prompt": "rain", "n": 2, "size": "1024x1024"},
            {"model": "kling/kling-v3", "prompt": "rain", "seconds": "5", "resolution": "4k"},
            {"model": "speech-2.8-hd", "input": "下雨了", "voice": "lin"},
        ]
    )
    endpoints = [entry["endpoint"] for entry in quote["requests"]]
    assert endpoints == ["chat", "embeddings", "images", "video", "speech"]
    assert [entry["served"] for entry in quote["requests"]] == [True, True, False, False, False]
    assert quote["requests"][2]["each"]["USD"]["max"] == "0.08"


async def test_the_most_is_what_the_call_then_holds(studio: Studio) -> None:
    quote = await studio.quote(chat())
    spelled = orjson.dumps(chat(), option=orjson.OPT_INDENT_2)
    status, _ = await studio.ask("POST", "/v1/chat/completions", spelled)
    assert status == 200
    async with asyncio.timeout(5):
        while not (held := studio.sql("SELECT held_nano FROM requests")):
            await studio.ask("GET", "/v1/models")
    assert held[0][0] * NANO == Decimal(quote["total"]["USD"]["max"])


async def test_the_place_is_what_all_entries_have_in_common(studio: Studio) -> None:
    entries = [chat(scene="1"), chat(metadata={"scene": "2"}), {"body": chat(), "episode": "9"}]
    quote = await studio.quote(entries, **{"X-Daobo-Project": "market", "X-Daobo-Episode": "9"})
    assert quote["place"] == {"project": "market", "episode": "9", "task": "draft"}


# What is wrong with a list is said of its entry


WRONG: list[tuple[Any, int, str | None]] = [
    (b"[", 400, None),
    (b'"draft"', 400, None),
    ([], 400, "requests"),
    ({"requests": {}}, 400, "requests"),
    ({"requests": [], "count": 2}, 400, "count"),
    ([chat(), 3], 400, "requests[1]"),
    ([chat(), {"model": "draft", "messages": []}], 400, "requests[1].messages"),
    ([{"model": "draft", "messages": [{"role": 1}]}], 400, "requests[0].messages[0].role"),
    ({"model": "draft"}, 400, "endpoint"),
    ([chat(), chat(model="drat")], 404, "requests[1].model"),
    ([chat(endpoint="poems")], 400, "requests[0].endpoint"),
    ([{"url": "/v1/files", "body": chat()}], 400, "requests[0].url"),
    ([{"body": [], "url": "/v1/embeddings"}], 400, "requests[0].body"),
    ([{"body": chat(), "counts": 2}], 400, "requests[0].counts"),
    ([chat(count=0)], 400, "requests[0].count"),
    ([chat(count=True)], 400, "requests[0].count"),
    ([chat(custom_id=7)], 400, "requests[0].custom_id"),
    ([{"body": chat(), "metadata": "x"}], 400, "requests[0].metadata"),
    ([chat(scene=["1"])], 400, "requests[0].metadata.scene"),
    ([chat(model="writer", task="dance")], 400, "requests[0]"),
    ([{"model": "kling/kling-v3", "prompt": "x"}], 400, "requests[0].seconds"),
    ([{"prompt": "x"}], 400, "requests[0].model"),
    ([{"model": "nobody/knows", "prompt": "x"}], 400, "requests[0].model"),
    ([{"model": "nobody/knows", "input": "x", "voice": "y"}], 400, "requests[0].model"),
    ([chat()] * 10_001, 400, "requests"),
]


async def test_a_wrong_list_is_refused_by_entry_and_field(studio: Studio) -> None:
    refused = []
    for body, _, _ in WRONG:
        status, answer = await studio.ask("POST", "/v1/quotes", body)
        error = answer["error"]
        refused.append((body, status, error["param"]))
        assert "requests[" not in str(error["param"]) or error["message"].startswith("requests[")
    assert refused == WRONG


async def test_what_has_no_price_is_said_and_not_quoted_at_nothing(studio: Studio) -> None:
    _, answer = await studio.ask("POST", "/v1/quotes", {"model": "nobody/knows", "prompt": "x"})
    assert answer["error"]["code"] == "no_price"


# Admission


async def test_an_admitted_quote_pays_for_its_calls(studio: Studio) -> None:
    quote = await studio.quote(chat(count=2))
    hold = await studio.admit(quote)
    assert hold["amount"] == hold["left"] == quote["to_admit"]["amount"]
    status, answer = await studio.call(chat(), hold["id"])
    assert status == 200
    usage = answer["usage"]
    spent = usage["prompt_tokens"] * 1_000 + usage["completion_tokens"] * 4_000
    await studio.until_left(quote, Decimal(hold["amount"]) - spent * NANO)


async def test_what_a_call_under_way_may_cost_is_not_left(studio: Studio) -> None:
    quote = await studio.quote(chat(count=2))
    hold = await studio.admit(quote)
    waiting = Hold(0)
    studio.upstream.script(waiting)
    async with asyncio.TaskGroup() as calls:
        call = calls.create_task(studio.call(chat(), hold["id"]))
        await studio.until_left(quote, Decimal(hold["amount"]) / 2)
        waiting.release.set()
    assert call.result()[0] == 200


async def test_a_hold_that_is_used_up_stops_the_next_call(studio: Studio) -> None:
    quote = await studio.quote(chat())
    hold = await studio.admit(quote)
    waiting = Hold(0)
    studio.upstream.script(waiting)
    async with asyncio.TaskGroup() as calls:
        calls.create_task(studio.call(chat(), hold["id"]))
        await studio.until_left(quote, Decimal(0))
        status, answer = await studio.call(chat(), hold["id"])
        waiting.release.set()
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert f"{hold['id']} has USD 0.00 left" in answer["error"]["message"]


async def test_admitting_twice_holds_once(studio: Studio) -> None:
    quote = await studio.quote(chat())
    answers = await asyncio.gather(
        *(studio.ask("POST", admit_path(quote)) for _ in range(8)), return_exceptions=False
    )
    assert 200 in {status for status, _ in answers}
    assert studio.sql("SELECT count(*) FROM holds") == [(1,)]
    (standing,) = studio.sql("SELECT id FROM holds")[0]
    assert (await studio.admit(quote))["id"] == standing


async def test_what_is_released_is_gone_and_the_quote_may_be_admitted_again(studio: Studio) -> None:
    quote = await studio.quote(chat())
    first = await studio.admit(quote)
    status, answer = await studio.ask("DELETE", admit_path(quote))
    assert (status, answer["released"]) == (200, True)
    assert await studio.hold_of(quote) is None
    second = await studio.admit(quote)
    assert second["id"] != first["id"]
    assert studio.sql("SELECT id FROM holds") == [(second["id"],)]


async def test_releasing_what_was_never_admitted_is_an_error(studio: Studio) -> None:
    quote = await studio.quote(chat())
    status, answer = await studio.ask("DELETE", admit_path(quote))
    assert status == 400
    assert "is not admitted" in answer["error"]["message"]


async def test_a_deleted_quote_is_gone_with_its_hold(studio: Studio) -> None:
    quote, other = await studio.quote(chat()), await studio.quote(chat())
    await studio.admit(quote)
    status, answer = await studio.ask("DELETE", f"/v1/quotes/{quote['id']}")
    assert (status, answer["deleted"]) == (200, True)
    assert (await studio.ask("GET", f"/v1/quotes/{quote['id']}"))[0] == 404
    standing = (await studio.admit(other))["id"]  # commits after the release
    assert studio.sql("SELECT id FROM holds") == [(standing,)]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_quote_is_nobody_elses_business(studio: Studio, method: str) -> None:
    quote = await studio.quote(chat())
    path = f"/v1/quotes/{quote['id']}"
    status, answer = await studio.ask(method, path, key=studio.other_key)
    assert (status, answer["error"]["code"]) == (404, "quote_not_found")
    assert (await studio.ask("POST", f"{path}/admit", key=studio.other_key))[0] == 404


async def test_another_key_cannot_draw(studio: Studio) -> None:
    hold = await studio.admit(await studio.quote(chat()))
    status, answer = await studio.call(chat(), hold["id"], key=studio.other_key)
    assert status == 429
    assert "is for another key or place" in answer["error"]["message"]


async def test_an_admission_may_name_its_place_and_its_time(studio: Studio) -> None:
    quote = await studio.quote(chat(count=2))
    hold = await studio.admit(quote, {"project": "market", "episode": "7", "expires_in_s": 60})
    assert hold["place"] == {"project": "market", "episode": "7", "task": "draft"}
    assert 0 <= hold["expires_at"] - time.time() <= 60
    there = {"X-Daobo-Project": "market", "X-Daobo-Episode": "7"}
    assert (await studio.call(chat(), hold["id"], **there))[0] == 200
    assert (await studio.call(chat(), hold["id"]))[0] == 429


SENSELESS: list[tuple[Any, str | None]] = [
    ({"expires_in_s": 0}, "expires_in_s"),
    ({"expires_in_s": "1"}, "expires_in_s"),
    ({"expires_in_s": 10**9}, "expires_in_s"),
    ({"episodes": "7"}, "episodes"),
    ({"project": ""}, "project"),
    ({"project": 3}, "project"),
    ({"project": "mar\u0000ket"}, "project"),
    ({"episode": "7" * 201}, "episode"),
    ([], None),
]


async def test_an_admission_that_makes_no_sense_holds_nothing(studio: Studio) -> None:
    quote = await studio.quote(chat())
    refused = []
    for body, _ in SENSELESS:
        status, answer = await studio.ask("POST", admit_path(quote), body)
        assert status == 400
        refused.append((body, answer["error"]["param"]))
    assert refused == SENSELESS
    assert await studio.hold_of(quote) is None


async def test_what_nobody_serves_is_not_admitted(studio: Studio) -> None:
    quote = await studio.quote([chat(), {"model": "painter", "prompt": "rain"}])
    status, answer = await studio.ask("POST", admit_path(quote))
    assert (status, answer["error"]["param"]) == (400, "requests[1]")


# Expiry


async def test_an_expired_quote_is_gone(studio: Studio) -> None:
    quote = await studio.quote(chat())
    studio.sql("UPDATE quotes SET expires_us = 1")
    assert (await studio.ask("GET", f"/v1/quotes/{quote['id']}"))[0] == 404
    assert (await studio.ask("POST", admit_path(quote)))[0] == 404
    await studio.quote(chat())
    assert (quote["id"],) not in studio.sql("SELECT id FROM quotes")


async def test_an_expired_quote_is_kept_while_its_hold_stands(studio: Studio) -> None:
    quote = await studio.quote(chat())
    hold = await studio.admit(quote)
    studio.sql("UPDATE quotes SET expires_us = 1")
    await studio.quote(chat())
    assert (await studio.hold_of(quote))["id"] == hold["id"]


async def test_nobody_draws_from_a_hold_that_has_expired(studio: Studio) -> None:
    hold = await studio.admit(await studio.quote(chat()))
    studio.sql("UPDATE holds SET expires_us = 1")
    status, answer = await studio.call(chat(), hold["id"])
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert "has expired" in answer["error"]["message"]


async def test_an_expired_hold_is_not_given_out_again(studio: Studio) -> None:
    quote = await studio.quote(chat())
    hold = await studio.admit(quote)
    studio.sql("UPDATE holds SET expires_us = 1")
    assert (await studio.hold_of(quote))["released"] is True
    assert (await studio.ask("POST", admit_path(quote)))[0] == 400
    assert (await studio.ask("DELETE", admit_path(quote)))[0] == 200
    assert (await studio.admit(quote))["id"] != hold["id"]


async def test_a_quote_whose_hold_was_swept_says_so_and_is_not_admitted_in_silence(
    studio: Studio,
) -> None:
    quote = await studio.quote(chat())
    hold = await studio.admit(quote)
    studio.sql("DELETE FROM holds")
    assert await studio.hold_of(quote) == {
        "id": hold["id"], "object": "hold", "quote": quote["id"], "released": True,
    }  # fmt: skip
    status, answer = await studio.ask("POST", admit_path(quote))
    assert status == 400
    assert "has ended" in answer["error"]["message"]


# Budgets and rehearsals


def episode() -> list[dict[str, Any]]:
    return [
        chat(f"第七集，第{scene}场：雨夜，两人在巷口相遇。", scene=str(scene))
        for scene in range(40)
    ]


IN_EPISODE = {"X-Daobo-Project": "market", "X-Daobo-Episode": "7"}


async def test_an_episode_is_admitted_whole_and_filmed_to_the_last_scene(open_studio: Open) -> None:
    needed = (await (await open_studio()).quote(episode()))["to_admit"]["amount"]
    studio = await open_studio(f'{{project: market, cap: "{needed}", currency: USD}}')
    quote = await studio.quote(episode(), **IN_EPISODE)
    hold = await studio.admit(quote)
    assert hold["place"] == {"project": "market", "episode": "7", "task": "draft"}
    for scene in episode():
        there = {**IN_EPISODE, "X-Daobo-Scene": scene.pop("scene")}
        status, answer = await studio.call(scene, hold["id"], **there)
        assert status == 200, answer
    async with asyncio.timeout(5):
        while studio.sql("SELECT count(*) FROM requests") != [(40,)]:
            await studio.ask("GET", "/v1/models")
    (spent,) = studio.sql("SELECT sum(cost_nano) FROM attempts")[0]
    await studio.until_left(quote, Decimal(needed) - spent * NANO)
    await studio.ask("DELETE", admit_path(quote))
    await studio.admit(await studio.quote(chat(), **IN_EPISODE))  # commits after the release
    assert studio.sql("SELECT spent_nano FROM balances") == [(spent,)]


async def test_a_budget_too_small_by_a_billionth_admits_nothing(open_studio: Open) -> None:
    needed = Decimal((await (await open_studio()).quote(episode()))["to_admit"]["amount"])
    studio = await open_studio(f'{{project: market, cap: "{needed - NANO}", currency: USD}}')
    quote = await studio.quote(episode(), **IN_EPISODE)
    status, answer = await studio.ask("POST", admit_path(quote))
    assert (status, answer["error"]["type"]) == (429, "insufficient_quota")
    assert answer["error"]["message"].startswith(
        "nothing is held: budget project=market has no room for this quote: "
    )
    assert studio.sql("SELECT count(*) FROM holds") == [(0,)]
    assert studio.sql("SELECT held_nano FROM balances") == [(0,)]
    assert await studio.hold_of(quote) is None


async def test_while_an_episode_is_admitted_nobody_else_gets_its_money(open_studio: Open) -> None:
    needed = (await (await open_studio()).quote(chat()))["to_admit"]["amount"]
    studio = await open_studio(f'{{cap: "{needed}", currency: USD}}')
    hold = await studio.admit(await studio.quote(chat()))
    assert (await studio.ask("POST", "/v1/chat/completions", chat()))[0] == 429
    assert (await studio.call(chat(), hold["id"]))[0] == 200


async def test_a_rehearsal_is_admitted_beside_the_money(open_studio: Open) -> None:
    studio = await open_studio('{cap: "1", currency: USD}', rehearsal="always")
    quote = await studio.quote(chat(count=3))
    assert quote["rehearsal"]
    hold = await studio.admit(quote)
    assert hold["rehearsal"]
    columns = "held_nano, rehearsal_held_nano > 0"
    assert studio.sql(f"SELECT {columns} FROM balances") == [(0, 1)]
    assert (await studio.call(chat(), hold["id"]))[0] == 200


# The door


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("GET", "/v1/quotes", "POST"),
        ("POST", "/v1/quotes/quote_1", "GET and DELETE"),
        ("GET", "/v1/quotes/quote_1/admit", "POST and DELETE"),
    ],
)
async def test_the_wrong_method_is_told_the_right_ones(studio, method, path, served) -> None:
    status, answer = await studio.ask(method, path)
    assert status == 405
    assert f"is served with {served}, not {method}" in answer["error"]["message"]


async def test_quotes_need_a_key(studio: Studio) -> None:
    assert (await studio.ask("POST", "/v1/quotes", chat(), key="sk-nobody"))[0] == 401


async def test_without_its_database_a_quote_is_not_given_out(studio: Studio) -> None:
    await studio.quote(chat())
    studio.database.write_bytes(b"not a database, whatever came of it" * 100)
    status, answer = await studio.ask("POST", "/v1/quotes", chat())
    assert (status, answer["error"]["code"]) == (503, "ledger_unavailable")
