"""Kept answers, as a client of the gateway sees them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.report import ReportQuery

from .conftest import House
from .kept import CACHED, COST, MESSAGES, another_key, ask, ask_stream, ledger, reply, stream


async def test_the_sdk_gets_the_same_answer_again_and_pays_once(house: House) -> None:
    house.upstream.script = reply()
    first, answer = await ask(house, CACHED)
    again, same = await ask(house, CACHED)
    assert len(house.upstream.requests) == 1
    assert same == answer
    assert first.headers["x-daobo-cache"] == "miss"
    assert again.headers["x-daobo-cache"] == "hit"
    assert (again.headers["age"], again.headers["x-daobo-attempts"]) == ("0", "0")
    costs = [one.headers["x-daobo-cost"] for one in (first, again)]
    assert costs == [COST, "0.000000000"]


async def test_a_stream_is_replayed_event_for_event(house: House) -> None:
    house.upstream.script = stream()
    heard = [await ask_stream(house, CACHED) for _ in range(2)]
    assert len(house.upstream.requests) == 1
    assert heard[0] == heard[1]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in heard[1]) == "Once"


async def test_a_replayed_stream_ends_like_any_other(house: House) -> None:
    house.upstream.script = stream()
    body = {"model": "writer", "messages": MESSAGES, "stream": True}
    texts = []
    for _ in range(2):
        async with house.post(json=body, headers=CACHED) as response:
            texts.append((await response.read()).decode())
    assert texts[1].endswith("\n\n: cost 0.000000000 USD\n\ndata: [DONE]\n\n")
    assert texts[0].partition(": cost")[0] == texts[1].partition(": cost")[0]


async def test_usage_is_told_only_to_those_who_asked_for_it(house: House) -> None:
    house.upstream.script = stream()
    told = []
    for options in ({}, {"include_usage": True}, {"include_usage": True}):
        chunks = await ask_stream(house, CACHED, stream_options=options)
        told.append(chunks[-1].usage is not None)
    assert told == [False, True, True]
    assert len(house.upstream.requests) == 2


async def test_without_the_header_nothing_is_kept_and_nothing_said(house: House) -> None:
    house.upstream.script = reply()
    for _ in range(2):
        raw, _ = await ask(house, {}, temperature=0, seed=7)
        assert "x-daobo-cache" not in raw.headers
    assert len(house.upstream.requests) == 2


async def test_a_header_that_says_something_else_is_refused(house: House) -> None:
    body = {"model": "writer", "messages": MESSAGES}
    status, error = await house.refusal(json=body, headers={"X-Daobo-Cache": "maybe"})
    assert status == 400
    assert error["message"] == "the header X-Daobo-Cache is 'maybe'; it must be on or off"


async def test_another_key_without_a_tenant_has_answers_of_its_own(house: House) -> None:
    house.upstream.script = reply()
    await ask(house, CACHED)
    raw, _ = await ask(house, CACHED, another_key(house))
    assert raw.headers["x-daobo-cache"] == "miss"
    assert len(house.upstream.requests) == 2


async def told(house: House) -> tuple[str, bytes]:
    """Where its answer is from, and the answer."""
    async with house.post(json={"model": "writer", "messages": MESSAGES}, headers=CACHED) as reply:
        return reply.headers["x-daobo-cache"], await reply.read()


async def test_fifty_at_once_are_one_call_upstream(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.script = [gate, *reply()]
    calls = [asyncio.ensure_future(told(house)) for _ in range(50)]
    async with asyncio.timeout(10):
        while house.gateway.permanent.in_flight.total < 50:
            await asyncio.sleep(0.005)
    gate.set()
    found = await asyncio.gather(*calls)
    assert len(house.upstream.requests) == 1
    assert sorted(found_in for found_in, _ in found) == ["miss"] + ["twin"] * 49
    assert len({text for _, text in found}) == 1


async def test_records_metrics_and_the_log_tell_of_it(house: House) -> None:
    house.upstream.script = reply()
    await ask(house, CACHED)
    await ask(house, CACHED)
    missed, hit = house.records
    assert (missed.missed, missed.replayed, hit.missed, hit.replayed) == (True, "", False, "cache")
    assert (str(hit.cost), str(hit.list_cost)) == ("0.000000000", COST)
    text = house.gateway.metrics.render().decode()
    assert 'daobo_cache_total{result="hit"} 1.0' in text
    assert 'daobo_cache_total{result="miss"} 1.0' in text
    assert 'daobo_saved_cost_total{currency="USD",result="hit"} 0.002' in text


async def test_a_hit_is_in_the_ledger_for_nothing_and_in_the_report_as_saved(
    house: House,
) -> None:
    house.upstream.script = reply()
    for _ in range(3):
        await ask(house, CACHED)
    await house.gateway.close()
    rows = ledger(house, "SELECT replayed, saved_nano, held_nano > 0 FROM requests ORDER BY id")
    assert [(row[0], row[1], bool(row[2])) for row in rows] == [
        ("", 0, True), ("cache", 2_000_000, False), ("cache", 2_000_000, False),
    ]  # fmt: skip
    spent = house.gateway._report(ReportQuery()).total.spent
    assert (spent.calls, spent.attempts, spent.replays) == (3, 1, 2)
    assert spent.converted("USD").total == 2_000_000
    assert spent.saved_nano("USD") == 4_000_000


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_what_was_cut_or_refused_is_asked_for_again(house: House, reason: str) -> None:
    message = {"role": "assistant", "content": "On"}
    house.upstream.script = reply(
        choices=[{"index": 0, "message": message, "finish_reason": reason}]
    )
    for _ in range(2):
        raw, _ = await ask(house, CACHED)
        assert raw.headers["x-daobo-cache"] == "miss"
    assert len(house.upstream.requests) == 2
