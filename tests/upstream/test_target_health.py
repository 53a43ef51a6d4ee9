"""What is shown of targets that are left alone: to clients, to operators, to Prometheus."""

from __future__ import annotations

import asyncio
import os

import orjson
import pytest
from ladder_house import KEY, answers, ladder_house, says


@pytest.fixture
async def house(tmp_path):
    """With a first target whose breaker is open."""
    async with ladder_house(tmp_path) as it:
        it.upstreams[0].act = says(500)
        for _ in range(5):
            await it.call()
        yield it


async def models(house, name=""):
    headers = {"Authorization": f"Bearer {KEY}"}
    async with house.session.get(f"{house.url}v1/models{name}", headers=headers) as response:
        return orjson.loads(await response.read())


async def test_clients_see_which_targets_are_left_alone_for_how_long_and_why(house):
    model = await models(house, "/writer")
    first, second = model["daobo"]["ladder"]
    assert (first["state"], first["why"]) == ("open", "5 failures in a row")
    assert 0 < first["retry_in_s"] <= 2
    assert second["state"] == "closed"
    listed = await models(house)
    assert {entry["id"]: entry for entry in listed["data"]}["writer"]["id"] == "writer"


async def test_operators_see_counts_accounts_and_the_last_error(house):
    found = orjson.loads(await house.admin("admin/targets"))
    rows = {row["target"]: row for row in found["data"]}
    row = rows["p0/m"]
    assert (row["state"], row["models"], row["failures_in_row"]) == ("open", ["writer"], 5)
    assert row["window"] == {"seconds": 30, "calls": 5, "failures": 5, "slow": 0}
    assert row["last_error"]["outcome"] == "upstream_failed"
    assert row["accounts"] == [{"account": "p0", "usable": True, "why": "", "retry_in_s": None}]
    assert rows["p1/m"]["last_error"] is None
    assert found["retry_budget"]["taken"] == {"upstream_failed": 5}


async def test_operators_need_a_key_with_the_right(house):
    async with house.session.get(house.admin_url + "admin/targets") as response:
        assert response.status == 401


async def test_prometheus_sees_states_transitions_and_the_budget(house):
    page = await house.admin("metrics")
    for line in (
        'daobo_target_state{model="m",provider="p0"} 2.0',
        'daobo_target_state{model="m",provider="p1"} 0.0',
        'daobo_breaker_transitions_total{model="m",provider="p0",state="open"} 1.0',
        'daobo_retries_total{reason="upstream_failed"} 5.0',
        "daobo_retries_denied_total 0.0",
        "daobo_retry_budget_balance 5.0",
    ):
        assert line in page


async def reload(house, old, new):
    """Change the configuration and wait until the gateway has seen it."""
    path = house.gateway.options.config_path
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(1, 1))
    await house.gateway.reload()


async def test_a_reload_keeps_what_is_known(house):
    await reload(house, "deadline_s: 20", "deadline_s: 21")
    assert (await models(house, "/writer"))["daobo"]["ladder"][0]["state"] == "open"


async def test_a_provider_whose_entry_changed_starts_afresh(house):
    house.upstreams[0].act = answers
    await reload(house, f"{house.upstreams[0].port}/v1", f"{house.upstreams[0].port}/v1/")
    assert (await house.call()).provider == "p0"


async def test_a_redacted_error_is_all_that_is_kept(tmp_path):
    async with ladder_house(tmp_path, size=1) as house:
        secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
        body = orjson.dumps({"error": {"message": f"bad key {secret}", "code": "x"}})

        async def act(asked):
            await asked.reply(404, body)

        house.upstreams[0].act = act
        await house.call()
        page = await house.admin("admin/targets")
        assert "bad key" in page
        assert secret not in page


async def test_calls_that_come_together_send_one_probe(tmp_path):
    more = "breaker: {open_s: 0.05}\n"
    async with ladder_house(tmp_path, more=more) as house:
        first = house.upstreams[0]
        first.act = says(500)
        for _ in range(5):
            await house.call()
        released = asyncio.Event()

        async def act(asked):
            await released.wait()
            await answers(asked)

        first.act = act
        await asyncio.sleep(0.06)  # the time that the breaker is open
        probing = asyncio.ensure_future(house.call())
        await first.was_asked(6)
        found = await asyncio.gather(*(house.call() for _ in range(20)))
        assert {answer.provider for answer in found} == {"p1"}
        released.set()
        assert (await probing).provider == "p0"
        assert len(first.asked) == 6
