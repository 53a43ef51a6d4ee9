"""A script sent in parts comes back whole: in order, in one answer, in either form."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from random import Random

import pytest

from gateway.config_chunking import ChunkingConfig, ContextConfig
from gateway.contracts import Client
from gateway.errors import CallError
from gateway.journey import Journey
from gateway.schema import PartCounts

from .part_house import BUDGET_TOKENS, FIRST, Asked, House, Reader, Said
from .scripts import write_script

SCRIPT = write_script("mixed", episodes=3)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def shuffled(seed: int) -> House:
    """Answers come in an order of their own."""
    random = Random(seed)
    house = House()

    async def wait(asked: Asked) -> None:
        for _ in range(random.randrange(50)):
            await asyncio.sleep(0)

    house.before_answer = wait
    return house


@STREAMED
@pytest.mark.parametrize("seed", range(3))
async def test_echoed_parts_make_the_script_again_in_whatever_order_they_come(
    seed: int, stream: bool
) -> None:
    reader = await shuffled(seed).answer(SCRIPT, stream)
    assert reader.text == SCRIPT
    assert reader.has_ended


@pytest.mark.parametrize("pool", [1, 3])
async def test_no_more_parts_are_under_way_than_the_pool_is_wide(pool: int) -> None:
    house = shuffled(0)
    house.config = ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS, pool=pool)
    await house.answer(SCRIPT)
    assert house.most_under_way == pool


@STREAMED
async def test_the_answer_says_what_it_is_made_of(stream: bool) -> None:
    house = House()
    reader = await house.answer(SCRIPT, stream)
    facts = reader.facts
    assert (facts["mode"], facts["retries"], facts["flagged"]) == ("map", 0, [])
    assert [part["number"] for part in facts["parts"]] == list(range(1, len(house.asked) + 1))
    first = facts["parts"][0]
    assert first["sections"][:3] == ["front matter", "episode 1", "1-1"]
    assert (first["result"], first["attempts"], first["target"]) == ("answered", 1, FIRST.name)
    assert (first["input_tokens"], first["output_tokens"]) == (100, 50)


@STREAMED
async def test_the_record_has_the_sum_of_all_parts(stream: bool) -> None:
    house = House()
    journey = (await house.answer(SCRIPT, stream)).journey
    count = len(house.asked)
    assert journey is not None
    record = journey.record(house.now_s)
    assert record.parts == PartCounts(answered=count)
    assert (record.usage.input_tokens, record.usage.output_tokens) == (100 * count, 50 * count)
    assert record.cost is not None
    assert record.cost.nano == 1000 * count
    assert sorted(attempt.part or 0 for attempt in record.attempts) == list(range(1, count + 1))
    assert (record.finish_reason, record.flags) == ("stop", ())
    assert record.time_to_first_token_s == 0.0


async def test_a_stream_has_one_head_one_end_and_one_usage() -> None:
    house = House()
    reader = await house.answer(SCRIPT, stream=True, include_usage=True)
    *said, last, usage = reader.chunks
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in reader.chunks} == {
        ("chatcmpl-req_1", "chat.completion.chunk", 1_700_000_000, "m-1-real")
    }
    assert [n for n, c in enumerate(said) if "role" in c["choices"][0]["delta"]] == [0]
    assert all(c["choices"][0]["finish_reason"] is None for c in said)
    assert (last["choices"][0]["finish_reason"], "daobo" in last) == ("stop", True)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 50 * len(house.asked)


async def test_a_client_that_asks_for_no_usage_gets_no_chunk_of_it() -> None:
    reader = await House().answer(SCRIPT, stream=True)
    assert not any("usage" in chunk for chunk in reader.chunks)


async def test_sections_leave_as_soon_as_all_before_them_are_decided() -> None:
    house, late, reader = House(), asyncio.Event(), Reader()

    async def wait(asked: Asked) -> None:
        if asked.number == 2:
            await late.wait()

    house.before_answer = wait
    call = asyncio.ensure_future(
        house.mapper.send_parts(house.cut(SCRIPT, stream=True), reader, house.send)
    )
    await reader.begun.wait()
    while house.under_way > 1:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    second = next(asked for asked in house.asked if asked.number == 2)
    assert reader.text == SCRIPT[: SCRIPT.index(second.text)]
    late.set()
    await call
    assert reader.text == SCRIPT


async def test_a_client_whose_buffer_is_full_is_waited_for() -> None:
    house, reader = House(), Reader()
    reader.is_slow = True
    call = asyncio.ensure_future(
        house.mapper.send_parts(house.cut(SCRIPT, stream=True), reader, house.send)
    )
    while not call.done():
        writes = reader.writes
        while reader.resume is None and not call.done():
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert reader.writes <= writes + 1
        if reader.resume is not None:
            resume, reader.resume = reader.resume, None
            resume()
    assert reader.text == SCRIPT


async def test_long_sections_leave_in_pieces() -> None:
    long = "第1集\n\n1-1 日 内 客厅\n" + "△他站着不动，看着窗外的雨。\n" * 1000
    house = House(config=ChunkingConfig(mode="map", budget_tokens=5000))
    reader = await house.answer(long, stream=True)
    assert reader.text == long
    assert max(map(len, reader.deltas)) <= 4096


async def test_a_client_that_leaves_ends_all_that_is_under_way_and_pays_for_what_came() -> None:
    house, reader = House(), Reader()
    never = asyncio.Event()

    async def wait(asked: Asked) -> None:
        if asked.number > 2:
            await never.wait()

    house.before_answer = wait
    journey = house.cut(SCRIPT, stream=True)
    call = asyncio.ensure_future(house.mapper.send_parts(journey, reader, house.send))
    while house.under_way < 6:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert house.under_way == 0
    assert len(asyncio.all_tasks()) == 1
    assert journey.cost is not None
    assert journey.cost.nano == 2000
    assert journey.parts == PartCounts(answered=2)


async def test_a_part_is_asked_for_as_a_stream_and_its_time_counts_from_its_own_start() -> None:
    house = House()
    house.now_s = 1234.0
    journey = house.cut(SCRIPT)
    house.now_s = 1500.0
    await house.mapper.send_parts(journey, Reader(), house.send)
    assert {asked.call.stream for asked in house.asked} == {True}
    assert {asked.call.received_s for asked in house.asked} == {1500.0}


async def test_refine_tells_each_part_how_the_answer_before_it_ends() -> None:
    def rewrite(asked: Asked) -> Said:
        return Said(asked.text.replace("。", "！！"))

    house = House(rewrite, ChunkingConfig(mode="refine", budget_tokens=BUDGET_TOKENS))
    reader = await house.answer(SCRIPT)
    assert reader.text == SCRIPT.replace("。", "！！")
    assert house.most_under_way == 1
    assert [asked.number for asked in house.asked] == list(range(1, len(house.asked) + 1))
    for before, asked in pairwise(house.asked):
        assert rewrite(before).text.rstrip()[-6:] in asked.plan.body["messages"][0]["content"]


async def test_in_refine_a_part_is_told_of_all_scenes_that_end_the_answer_before_it() -> None:
    scenes = [f"1-{n} 日 内 客厅\n林晚：这是第{n}句话。\n\n" for n in range(1, 81)]
    house = House(
        lambda asked: Said(asked.text.replace("。", "！！")),
        ChunkingConfig(
            mode="refine", budget_tokens=BUDGET_TOKENS, context=ContextConfig(last_lines=6)
        ),
    )
    await house.answer("第1集\n" + "".join(scenes))
    assert len(house.asked) > 3
    for before, asked in pairwise(house.asked):
        said = re.findall("这是第.+", before.text.replace("。", "！！"))
        told = asked.plan.body["messages"][0]["content"]
        assert [line for line in said[-2:] if line not in told] == []


async def test_an_answer_that_is_no_script_is_joined_with_the_spaces_of_the_script() -> None:
    def note(asked: Asked) -> Said:
        return Said(f"Notes on {asked.number}.")

    config = ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS, answer="text")
    house = House(note, config)
    reader = await house.answer(SCRIPT)
    assert reader.text.split() == [
        word for n in range(1, len(house.asked) + 1) for word in ("Notes", "on", f"{n}.")
    ]


async def test_several_calls_share_the_places_of_the_process() -> None:
    house = shuffled(1)
    house.places = type(house.places)(3)
    first, second = await asyncio.gather(house.answer(SCRIPT), house.answer(SCRIPT, True))
    assert (first.text, second.text) == (SCRIPT, SCRIPT)
    assert house.most_under_way == 3


async def test_what_nobody_foresaw_is_raised_as_it_is() -> None:
    def broken(asked: Asked) -> Said | CallError:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await House(broken).answer(SCRIPT)


async def test_an_answer_to_a_part_begins_anew_when_another_target_takes_over() -> None:
    house = House()

    async def stumble(part: Journey, client: Client) -> None:
        await client.begin_stream(part, b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n')
        await house.send(part, client)

    reader = Reader()
    await house.mapper.send_parts(house.cut(SCRIPT), reader, stumble)
    assert reader.text == SCRIPT
