"""A script in parts keeps to the limits that single calls keep to, and leaves room for them."""

from __future__ import annotations

import asyncio

import pytest

from .acts import Hold
from .scenes import mark_of, written
from .stage import PLACES, Stage, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORCE = {"x-daobo-chunking": "force"}


async def test_each_part_counts_as_a_request_and_waits_for_its_turn(stage: Stage) -> None:
    """Five may come at once; the call has six parts, and a seventh request is one too many."""
    script, project = written(6).text, {"x-daobo-project": "counted"}
    reply = await stage.ask(script, model="scenes", headers={**FORCE, **project})
    assert (reply.text, reply.results) == (script, ["answered"] * 6)
    refused = await stage.ask("雨", model="scenes", headers=project)
    assert refused.status == 429


async def test_a_call_none_of_whose_parts_may_begin_is_refused_at_once(stage: Stage) -> None:
    project = {"x-daobo-project": "used-up"}
    assert (await stage.ask("雨", model="scenes", headers=project)).status == 200
    stage.upstream.forget()
    reply = await stage.ask(written(6).text, model="scenes", headers={**FORCE, **project})
    assert reply.status == 429
    assert "retry-after" in reply.headers
    assert stage.upstream.asked == []


async def test_a_small_call_is_not_starved_by_two_long_scripts(stage: Stage) -> None:
    """What is sent between its arrival and its turn is bounded by the pools, not by the scripts."""
    pool, in_flight = 4, stage.gateway.permanent.in_flight
    holds = [Hold() for _ in range(PLACES)]
    for hold in holds:
        stage.upstream.order("", hold)
    scripts = [written(20, title=title).text for title in ("长的", "更长的")]
    long = [
        asyncio.ensure_future(stage.ask(script, model="narrow", headers=FORCE))
        for script in scripts
    ]
    await until(lambda: len(stage.upstream.asked) == PLACES, "the provider is busy")
    small = asyncio.ensure_future(stage.ask("一句话的小事", model="narrow"))
    await until(lambda: in_flight.total == 3, "the small call has arrived")
    for hold in holds:
        hold.release.set()
    assert (await small).text == "一句话的小事"
    place = next(n for n, asked in enumerate(stage.upstream.asked) if "小事" in asked.text)
    assert place <= 2 * pool + PLACES
    for script, reply in zip(scripts, await asyncio.gather(*long), strict=True):
        assert reply.text == script
    assert len(stage.upstream.with_text(mark_of(20))) == 2
