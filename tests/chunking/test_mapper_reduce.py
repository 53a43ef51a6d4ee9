"""One answer about a long script: read in parts, joined in rounds, the last one relayed."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from gateway.config_chunking import ChunkingConfig
from gateway.errors import CallError, Outcome
from gateway.schema import Money

from .part_house import BUDGET_TOKENS, FIRST, Asked, House, Reader, Said, whole_cut
from .scripts import write_script

SCRIPT = write_script("mixed", episodes=3)
REDUCE = ChunkingConfig(mode="reduce", budget_tokens=BUDGET_TOKENS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def noted(asked: Asked) -> Said:
    """Names itself and all notes that it was given."""
    if asked.text in SCRIPT:
        return Said(f"<{asked.number}>")
    names = [name for name in asked.text.split() if name.startswith("<")]
    return Said(" ".join(names))


@STREAMED
async def test_the_last_answer_is_made_of_all_others_in_their_order(stream: bool) -> None:
    house = House(noted, REDUCE)
    reader = await house.answer(SCRIPT, stream)
    journey = house.cut(SCRIPT)
    count = len(whole_cut(journey).pieces)
    assert reader.text.split() == [f"<{n}>" for n in range(1, count + 1)]
    assert reader.facts["mode"] == "reduce"
    assert reader.has_ended


@STREAMED
async def test_usage_cost_and_record_are_those_of_all_requests(stream: bool) -> None:
    house, reader = House(noted, REDUCE), Reader()
    journey = house.cut(SCRIPT, stream, include_usage=True)
    await house.mapper.send_parts(journey, reader, house.send)
    body = reader.chunks[-1] if stream else orjson.loads(reader.body)
    assert body["usage"]["completion_tokens"] == 50 * len(house.asked)
    record = journey.record(house.now_s)
    assert record.cost == reader.cost == Money(1000 * len(house.asked))
    assert len(record.attempts) == len(house.asked)
    assert {attempt.outcome for attempt in record.attempts} == {Outcome.OK}
    assert record.finish_reason == "stop"


async def test_notes_that_are_too_many_for_one_request_are_joined_in_rounds() -> None:
    def wordy(asked: Asked) -> Said:
        if asked.text in SCRIPT:
            return Said(f"<{asked.number}> " + "这一场写了很多。" * 60)
        names = [name for name in asked.text.split() if name.startswith("<")]
        return Said(" ".join(names) + " " + "合起来。" * 60)

    house = House(wordy, REDUCE, targets=(replace(FIRST, context_tokens=2500),))
    reader = await house.answer(SCRIPT)
    parts = len(whole_cut(house.cut(SCRIPT)).pieces)
    assert len(house.asked) > parts + 1
    names = [name for name in reader.text.split() if name.startswith("<")]
    assert names == [f"<{n}>" for n in range(1, parts + 1)]


async def test_a_part_that_nobody_answers_is_missing_and_flagged() -> None:
    def model(asked: Asked) -> Said | CallError:
        if asked.number == 2 and asked.text in SCRIPT:
            return CallError(Outcome.UPSTREAM_FAILED, "500")
        return noted(asked)

    reader = await House(model, REDUCE).answer(SCRIPT)
    assert "<2>" not in reader.text.split()
    assert {flag["part"] for flag in reader.facts["flagged"]} == {2}
    assert "nothing in the answer" in reader.facts["flagged"][0]["why"]


async def test_a_last_request_that_fails_fails_the_call() -> None:
    def model(asked: Asked) -> Said | CallError:
        return noted(asked) if asked.text in SCRIPT else CallError(Outcome.UPSTREAM_FAILED, "500")

    house, reader = House(model, REDUCE), Reader()
    with pytest.raises(CallError, match="500"):
        await house.mapper.send_parts(house.cut(SCRIPT, stream=True), reader, house.send)
    assert not reader.committed
