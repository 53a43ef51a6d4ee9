"""What is paid for a script in parts: once for each part, and only for what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import Outcome

from . import answers
from .acts import Answer, HangUp, Hold, Refuse
from .books import assert_ledger_is_the_books
from .scenes import mark_of, written
from .stage import Stage, opened_stage, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCENES = 6
PLACES = ["1-1", "1-2", "1-3", "1-4", "1-5", "2-1"]
FORCE = {"x-daobo-chunking": "force"}
BILLION = 1_000_000_000


async def test_one_usage_and_one_cost_are_the_sum_of_all_parts(stage: Stage) -> None:
    reply = await stage.ask(written(SCENES).text, model="scenes", headers=FORCE)
    asked = stage.upstream.asked
    assert reply.usage is not None
    assert reply.usage["prompt_tokens"] == sum(each.input_tokens for each in asked)
    assert reply.usage["completion_tokens"] == sum(each.output_tokens for each in asked)
    assert int(reply.headers["x-daobo-cost"].replace(".", "")) == stage.upstream.billed_nano
    assert (reply.headers["x-daobo-chunking"], reply.headers["x-daobo-parts"]) == ("map", "6")
    assert [part["number"] for part in reply.parts] == [1, 2, 3, 4, 5, 6]
    assert [part["sections"][-1] for part in reply.parts] == PLACES
    assert {part["target"] for part in reply.parts} == {"script/echo-1"}
    assert [part["input_tokens"] for part in reply.parts] == [
        stage.upstream.with_text(mark_of(number))[0].input_tokens for number in range(1, SCENES + 1)
    ]
    await assert_ledger_is_the_books(stage, reply)


async def test_a_stream_says_the_same_in_its_last_chunks(stage: Stage) -> None:
    options = {"stream_options": {"include_usage": True}}
    reply = await stage.ask(
        written(SCENES).text, model="scenes", headers=FORCE, stream=True, **options
    )
    asked = stage.upstream.asked
    assert reply.usage is not None
    assert reply.usage["completion_tokens"] == sum(each.output_tokens for each in asked)
    assert reply.results == ["answered"] * SCENES
    await assert_ledger_is_the_books(stage, reply)


async def test_one_hold_covers_the_whole_and_is_over_with_it(stage: Stage) -> None:
    hold = Hold()
    stage.upstream.order(mark_of(2), hold)
    asking = asyncio.ensure_future(stage.ask(written(SCENES).text, model="scenes", headers=FORCE))
    await hold.begun.wait()
    [(held_nano,)] = stage.sql("SELECT amount_nano FROM holds")
    hold.release.set()
    reply = await asking
    assert held_nano > stage.upstream.billed_nano
    await stage.settled()
    assert stage.sql("SELECT COUNT(*) FROM holds") == [(0,)]
    assert reply.status == 200


async def test_each_attempt_is_a_row_of_the_one_call(stage: Stage) -> None:
    stage.upstream.order(mark_of(3), Refuse(500))
    await stage.ask(written(SCENES).text, model="scenes", headers=FORCE)
    [record] = stage.records
    assert record.outcome is Outcome.OK
    assert sorted(attempt.part or 0 for attempt in record.attempts) == [1, 2, 3, 3, 4, 5, 6]
    assert record.parts is not None
    assert sum(record.parts) == SCENES


async def test_a_budget_that_is_reached_in_the_middle_keeps_what_was_answered(
    tmp_path: Path,
) -> None:
    """Attempts of which nobody knows what was used are charged at their bound, so that what is
    held for the whole is used up and the budget has to give more."""
    script = written(SCENES).text
    async with opened_stage(tmp_path) as rich:
        reply = await rich.ask(script, model="one-by-one", headers=FORCE)
        await rich.settled()
        [(held_nano,)] = rich.sql("SELECT held_nano FROM requests")
    cap_nano = held_nano + 1_000
    budget = {"project": "poor", "cap": f"{cap_nano / BILLION:.9f}", "currency": "USD"}
    (tmp_path / "poor").mkdir()
    async with opened_stage(tmp_path / "poor", money={"budgets": [budget]}) as poor:
        for number in range(3, SCENES + 1):
            poor.upstream.order(mark_of(number), HangUp(), times=None)
        headers = {**FORCE, "x-daobo-project": "poor"}
        reply = await poor.ask(script, model="one-by-one", headers=headers)
        await poor.settled()
        assert reply.text == script
        assert reply.results[:2] == ["answered"] * 2
        assert set(reply.results[2:]) == {"source"}
        assert any("budget" in flag["why"] for flag in reply.flagged)
        [(spent_nano,)] = poor.sql("SELECT SUM(cost_nano) FROM attempts")
        assert poor.upstream.billed_nano <= spent_nano <= cap_nano
        assert poor.sql("SELECT COUNT(*) FROM holds") == [(0,)]


async def test_the_cost_of_parts_in_two_currencies_is_all_of_it(tmp_path: Path) -> None:
    yuan = {"currency": "CNY", "input_per_mtok": "7.10", "output_per_mtok": "28.40"}
    size = {"context_tokens": 200_000, "max_output_tokens": 32_768}
    models = {
        "in-dollars": {"targets": ["script/echo-1"], "price": {**yuan, "currency": "USD"}, **size},
        "in-yuan": {"targets": ["second/echo-2"], "price": yuan, **size},
    }
    chunking = {"mode": "map", "budget_tokens": 300, "pool": 1, "keep_s": 0}
    tasks = {"mixed": {"models": list(models), "chunking": chunking}}
    async with opened_stage(tmp_path, models=models, tasks=tasks, money={}) as stage:
        stage.upstream.order(mark_of(SCENES), Refuse(503), times=None, model="echo-1")
        reply = await stage.ask(written(SCENES).text, model="mixed", headers=FORCE)
        await stage.settled()
        rows = stage.sql("SELECT currency, SUM(cost_nano) FROM attempts GROUP BY currency")
        cost_nano = {currency: nano for currency, nano in rows if currency}
        assert cost_nano.keys() == {"CNY", "USD"}
        in_dollars = cost_nano["USD"] + -(-cost_nano["CNY"] * 10 // 71)
        assert reply.headers["x-daobo-currency"] == "USD"
        assert reply.headers["x-daobo-cost"] == f"{in_dollars / BILLION:.9f}"


async def test_a_budget_that_the_whole_does_not_fit_in_refuses_it_before_anything_is_sent(
    stage: Stage,
) -> None:
    headers = {**FORCE, "x-daobo-project": "poor"}
    reply = await stage.ask(written(SCENES).text, model="scenes", headers=headers)
    assert reply.status == 429
    assert reply.error is not None
    assert reply.error["code"] == "insufficient_quota"
    assert stage.upstream.asked == []


async def test_a_client_that_leaves_ends_the_rest_and_pays_for_what_came(stage: Stage) -> None:
    script = written(12)
    before = asyncio.all_tasks()
    holds = [Hold(), Hold()]
    for number, hold in zip((3, 4), holds, strict=True):
        stage.upstream.order(mark_of(number), hold)
    for number in range(5, 13):
        stage.upstream.order(mark_of(number), Hold())
    async with stage.post(script.text, model="scenes", stream=True, headers=FORCE) as response:
        for hold in holds:
            await hold.begun.wait()
        call_id = response.headers["x-request-id"]
    await until(lambda: stage.records, "the call is on record")
    await until(lambda: not stage.upstream.under_way, "the upstream's sockets are closed")
    [record] = stage.records
    assert record.outcome is Outcome.CLIENT_GONE
    assert len(stage.upstream.asked) <= 6  # two that ended, and as many as the pool has
    assert {asked.fate for asked in stage.upstream.asked} == {"whole", "left"}
    await stage.settled()
    costs = stage.sql(f"SELECT cost_nano FROM attempts WHERE request_id = '{call_id}'")
    assert len(costs) == len(stage.upstream.asked)
    assert sum(cost for (cost,) in costs) >= stage.upstream.billed_nano
    assert all(cost for (cost,) in costs)
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")


# What was answered before


async def test_a_call_that_is_sent_again_asks_only_for_what_failed(stage: Stage) -> None:
    script = written(SCENES, title="又一次").text
    stage.upstream.order(mark_of(3), Refuse(500), times=None)
    first = await stage.ask(script, model="kept", headers=FORCE)
    assert first.results == ["answered", "answered", "source", "answered", "answered", "answered"]
    stage.upstream.forget()
    second = await stage.ask(script, model="kept", headers=FORCE)
    assert second.text == script
    assert second.results == ["kept", "kept", "answered", "kept", "kept", "kept"]
    [asked] = stage.upstream.asked
    assert mark_of(3) in asked.text
    assert second.flagged == []
    await assert_ledger_is_the_books(stage, second)


async def test_a_client_that_left_finds_what_was_finished(stage: Stage) -> None:
    script = written(SCENES, title="中途离开")
    hold = Hold()
    stage.upstream.order(mark_of(5), hold)
    stage.upstream.order(mark_of(6), Hold())
    async with stage.post(script.text, model="kept", stream=True, headers=FORCE) as response:
        text = b""
        while mark_of(4).encode() not in text:
            text += await response.content.readany()
        await hold.begun.wait()
    await until(lambda: not stage.upstream.under_way, "the upstream's sockets are closed")
    stage.upstream.forget()
    again = await stage.ask(script.text, model="kept", headers=FORCE)
    assert again.text == script.text
    assert again.results[:4] == ["kept"] * 4
    assert all(mark_of(5) in a.text or mark_of(6) in a.text for a in stage.upstream.asked)


async def test_a_client_that_wants_nothing_kept_has_every_part_asked_for(stage: Stage) -> None:
    script = written(SCENES, title="从头来过").text
    await stage.ask(script, model="kept", headers=FORCE)
    stage.upstream.forget()
    reply = await stage.ask(script, model="kept", headers={**FORCE, "x-daobo-cache": "off"})
    assert reply.results == ["answered"] * SCENES
    assert len(stage.upstream.asked) == SCENES


async def test_an_edit_of_one_scene_asks_for_that_part_again(stage: Stage) -> None:
    script = written(SCENES, title="改一场").text
    await stage.ask(script, model="kept-bare", headers=FORCE)
    stage.upstream.forget()
    edited = script.replace(f"{mark_of(4)}，赔偿", f"{mark_of(4)}，后来，赔偿")
    reply = await stage.ask(edited, model="kept-bare", headers=FORCE)
    assert reply.text == edited
    assert reply.results == ["kept", "kept", "kept", "answered", "kept", "kept"]


async def test_an_answer_that_is_not_taken_is_not_kept(stage: Stage) -> None:
    script = written(SCENES, title="不算数").text
    stage.upstream.order(mark_of(3), Answer(answers.refusal), times=None)
    await stage.ask(script, model="kept", headers=FORCE)
    stage.upstream.forget()
    reply = await stage.ask(script, model="kept", headers=FORCE)
    assert reply.results[2] == "answered"
