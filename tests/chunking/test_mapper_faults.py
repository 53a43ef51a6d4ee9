"""What goes wrong with a part is put right or flagged; its neighbours never notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.chunking.answering import asking, part_work
from gateway.chunking.answering.whole import LEAST_WASTED, MAX_WASTED_PER_PART
from gateway.config_chunking import ChunkingConfig
from gateway.errors import CallError, Outcome
from gateway.schema import PartCounts

from .part_house import BUDGET_TOKENS, FIRST, SECOND, Asked, House, Model, Reader, Said, echo
from .scripts import write_script

SCRIPT = write_script("mixed", episodes=3)
REFUSAL = Said("抱歉，我无法协助处理这一内容。")
VICTIM = 3
"""The part that things happen to."""


def at_first(fault: Said | CallError | Callable[[Asked], Said]) -> Model:
    """The first request for one part goes wrong, all others are echoed."""

    seen: list[int] = []

    def model(asked: Asked) -> Said | CallError:
        seen.append(asked.number)
        if asked.number == VICTIM and seen.count(VICTIM) == 1:
            return fault(asked) if callable(fault) else fault
        return echo(asked)

    return model


def always(fault: Said | CallError) -> Model:
    return lambda asked: fault if asked.number == VICTIM else echo(asked)


def cut_short(asked: Asked) -> Said:
    return Said(asked.text[: len(asked.text) // 3], "length")


async def outcome(house: House) -> tuple[str, PartCounts, list[dict[str, object]]]:
    """Text, counts and flags of the house's call."""
    reader = await house.answer(SCRIPT)
    assert reader.journey is not None
    assert reader.journey.parts is not None
    return reader.text, reader.journey.parts, reader.facts["flagged"]


@pytest.mark.parametrize(
    "fault",
    [cut_short, REFUSAL, Said(""), lambda asked: Said(asked.text[: len(asked.text) // 3])],
    ids=["length", "refusal", "empty", "lost"],
)
async def test_a_part_that_went_wrong_once_is_asked_for_again_and_no_other(
    fault: Said | Callable[[Asked], Said],
) -> None:
    house = House(at_first(fault))
    text, parts, flagged = await outcome(house)
    assert text == SCRIPT
    assert (parts.repeated, parts.source, flagged) == (1, 0, [])
    numbers = [asked.number for asked in house.asked]
    assert all(numbers.count(n) == 1 for n in set(numbers) - {VICTIM})


async def test_after_a_cut_only_what_was_lost_is_asked_for_again() -> None:
    house = House(at_first(cut_short))
    await house.answer(SCRIPT)
    first, *again = [asked.text for asked in house.asked if asked.number == VICTIM]
    assert all(text in first and len(text) < len(first) for text in again)


async def test_an_answer_of_no_use_is_asked_of_the_next_target() -> None:
    def model(asked: Asked) -> Said:
        return REFUSAL if asked.target == FIRST and asked.number == VICTIM else echo(asked)

    house = House(model, targets=(FIRST, SECOND))
    text, parts, _ = await outcome(house)
    assert text == SCRIPT
    assert parts.repeated == 1
    tried = [asked.target for asked in house.asked if asked.number == VICTIM]
    assert tried == [FIRST, SECOND]


async def test_what_nobody_answers_is_the_source_and_is_flagged() -> None:
    house = House(always(REFUSAL))
    text, parts, flagged = await outcome(house)
    assert text == SCRIPT
    assert parts.source == 1
    assert {flag["part"] for flag in flagged} == {VICTIM}
    assert sum(asked.number == VICTIM for asked in house.asked) <= part_work.MAX_REQUESTS


async def test_a_model_that_answers_one_scene_at_a_time_is_not_asked_for_ever() -> None:
    scenes = [f"1-{n} 日 内 客厅\n△雨点敲着玻璃。\n林晚：这是第{n}句话。\n\n" for n in range(1, 25)]
    script = "第1集\n" + "".join(scenes)
    house = House(lambda asked: Said(asked.text.split("\n\n")[0]), ChunkingConfig(mode="map"))
    reader = await house.answer(script)
    assert reader.text == script
    assert len(house.asked) == part_work.MAX_REQUESTS
    flagged = reader.facts["flagged"]
    assert [flag["section"] for flag in flagged] == [f"1-{n}" for n in range(17, 25)]
    assert all("16 requests for its part were not enough" in flag["why"] for flag in flagged)


async def test_one_bloody_scene_does_not_cost_its_neighbours() -> None:
    bloody = "人物："
    scenes = next(asked.text for asked in await _asked_of(House()) if asked.number == VICTIM)
    heading = next(line for line in scenes.splitlines() if line.strip())

    def model(asked: Asked) -> Said | CallError:
        if asked.number == VICTIM and heading in asked.text:
            return CallError(Outcome.CONTENT_POLICY, "too much blood")
        return Said(asked.text.replace(bloody, "角色："))

    house = House(model)
    reader = await house.answer(SCRIPT)
    flagged = reader.facts["flagged"]
    assert len(flagged) == 1
    assert "too much blood" in str(flagged[0]["why"])
    assert reader.text.count(bloody) <= 1


async def _asked_of(house: House) -> list[Asked]:
    await house.answer(SCRIPT)
    return house.asked


@pytest.mark.parametrize(
    "error",
    [
        CallError(Outcome.BUDGET_EXHAUSTED, "the season's money is spent"),
        CallError(Outcome.UPSTREAM_FAILED, "500"),
        CallError(Outcome.UPSTREAM_CUT, "broke off"),
        CallError(Outcome.UPSTREAM_RATE_LIMITED, "slower"),
        CallError(Outcome.UPSTREAM_TIMEOUT, "silent"),
    ],
    ids=lambda error: str(error.outcome.label),
)
async def test_a_part_whose_ladder_failed_is_not_tried_again_here(error: CallError) -> None:
    house = House(always(error))
    text, parts, flagged = await outcome(house)
    assert text == SCRIPT
    assert parts.source == 1
    assert sum(asked.number == VICTIM for asked in house.asked) == 1
    assert all(error.message in str(flag["why"]) for flag in flagged)


async def test_a_call_of_which_no_part_can_be_answered_fails_with_the_last_error() -> None:
    house, reader = House(lambda asked: CallError(Outcome.UPSTREAM_FAILED, "500")), Reader()
    with pytest.raises(CallError, match="500") as failure:
        await house.mapper.send_parts(house.cut(SCRIPT, stream=True), reader, house.send)
    assert failure.value.outcome is Outcome.UPSTREAM_FAILED
    assert not reader.committed


async def test_after_as_many_failures_as_the_pool_is_wide_the_rest_is_not_tried() -> None:
    house = House(lambda asked: CallError(Outcome.UPSTREAM_FAILED, "500"))
    house.config = ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS, pool=3)
    with pytest.raises(CallError):
        await house.answer(SCRIPT)
    assert len(house.asked) <= 5


async def test_where_all_answers_are_of_no_use_the_client_is_told_why() -> None:
    with pytest.raises(CallError, match="could be used"):
        await House(lambda asked: REFUSAL).answer(SCRIPT)


async def test_nothing_leaves_before_a_model_has_answered() -> None:
    """The first part fails for good, the second is answered late."""
    gate, house, reader = asyncio.Event(), House(), Reader()

    def model(asked: Asked) -> Said | CallError:
        failed = CallError(Outcome.UPSTREAM_FAILED, "500")
        return failed if asked.number == 1 else echo(asked)

    async def wait(asked: Asked) -> None:
        if asked.number > 1:
            await gate.wait()

    house.model, house.before_answer = model, wait
    call = asyncio.ensure_future(
        house.mapper.send_parts(house.cut(SCRIPT, stream=True), reader, house.send)
    )
    for _ in range(50):
        await asyncio.sleep(0)
    assert house.asked
    assert not reader.committed
    gate.set()
    await call
    assert reader.text == SCRIPT


async def test_a_limit_that_refuses_the_first_request_refuses_the_call() -> None:
    error = CallError(Outcome.RATE_LIMITED, "wait a minute", retry_after_s=60.0)
    house = House(lambda asked: error)
    with pytest.raises(CallError) as refused:
        await house.answer(SCRIPT)
    assert refused.value is error


async def test_a_limit_that_refuses_a_later_part_is_waited_for() -> None:
    error = CallError(Outcome.RATE_LIMITED, "a moment", retry_after_s=0.01)
    house = House(at_first(error))
    text, parts, flagged = await outcome(house)
    assert (text, flagged) == (SCRIPT, [])
    assert parts.answered == len(house.asked) - 1
    assert [asked.number for asked in house.asked].count(VICTIM) == 2


async def test_the_deadline_of_a_part_ends_no_later_than_that_of_the_whole() -> None:
    house = House()
    house.config = ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS, deadline_s=60.0, pool=1)

    async def wait(asked: Asked) -> None:
        house.now_s += 15.0

    house.before_answer = wait
    journey = house.cut(SCRIPT)
    assert journey.plan is not None
    own = [part._replace(plan=part.plan._replace(deadline_s=40.0)) for part in journey.plan.parts]
    journey.plan = journey.plan._replace(parts=tuple(own))
    await house.mapper.send_parts(journey, Reader(), house.send)
    assert [asked.plan.deadline_s for asked in house.asked] == [40.0, 40.0, 30.0, 15.0]


@pytest.mark.parametrize("kind", asking.MAX_WAITS, ids=lambda kind: str(kind.label))
async def test_who_says_when_to_come_back_is_waited_for_a_few_times(kind: Outcome) -> None:
    error = CallError(kind, "slower", retry_after_s=0.001)
    house = House(always(error))
    text, parts, _ = await outcome(house)
    assert text == SCRIPT
    assert parts.source == 1
    tries = [asked.number for asked in house.asked].count(VICTIM)
    assert tries == 1 + asking.MAX_WAITS[error.outcome]


async def test_a_limit_that_opens_after_the_deadline_of_the_whole_is_not_waited_for() -> None:
    error = CallError(Outcome.RATE_LIMITED, "tomorrow", retry_after_s=86_400.0)
    async with asyncio.timeout(10):
        text, parts, (flag,) = await outcome(House(at_first(error)))
    assert (text, parts.source) == (SCRIPT, 1)
    assert "tomorrow" in str(flag["why"])


async def test_no_part_begins_after_the_deadline_of_the_whole() -> None:
    house = House()
    house.config = ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS, deadline_s=60.0, pool=2)

    async def wait(asked: Asked) -> None:
        house.now_s += 25.0

    house.before_answer = wait
    text, parts, flagged = await outcome(house)
    assert text == SCRIPT
    assert parts.answered == len(house.asked) == 3
    assert parts.source > 0
    assert "60 s" in str(flagged[0]["why"])
    left_s = [asked.plan.deadline_s for asked in house.asked]
    assert left_s[0] == 60.0


async def test_numbers_that_changed_are_asked_for_once_more_and_then_taken_and_flagged() -> None:
    script = SCRIPT + "\n3-99 日 内 天台\n林晚：我欠你1234567元，明天还。\n"

    def model(asked: Asked) -> Said:
        return Said(asked.text.replace("1234567", "7654321"))

    house = House(model, targets=(FIRST, SECOND))
    reader = await house.answer(script)
    assert reader.text == script.replace("1234567", "7654321")
    (flag,) = reader.facts["flagged"]
    assert "1234567" in flag["why"]
    assert [a.target for a in house.asked if "1234567" in a.text] == [FIRST, SECOND]


async def test_numbers_that_are_right_the_second_time_are_not_flagged() -> None:
    script = SCRIPT + "\n3-99 日 内 天台\n林晚：我欠你1234567元，明天还。\n"

    def model(asked: Asked) -> Said:
        if asked.target == FIRST:
            return Said(asked.text.replace("1234567", "7654321"))
        return echo(asked)

    reader = await House(model, targets=(FIRST, SECOND)).answer(script)
    assert reader.text == script
    assert reader.facts["flagged"] == []


async def test_a_wish_in_front_does_not_stand_in_for_an_answer() -> None:
    wish = "请润色下面的剧本：\n\n"
    house = House(lambda asked: REFUSAL if asked.number == 1 else echo(asked))
    reader = await house.answer(wish + SCRIPT)
    assert reader.text == SCRIPT


async def test_a_model_that_is_of_no_use_is_not_asked_for_everything_again_and_again() -> None:
    """Alone, each of its parts would be worth some requests more."""
    house = House(
        lambda asked: echo(asked) if asked.number == 1 else Said("第999集\n\n另一个故事。")
    )
    text, parts, _ = await outcome(house)
    pieces = sum(parts)
    assert (text, parts.source) == (SCRIPT, pieces - 1)
    assert (
        len(house.asked)
        <= pieces + max(LEAST_WASTED, MAX_WASTED_PER_PART * pieces) + house.config.pool
    )
