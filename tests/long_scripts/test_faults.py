"""Whatever a model does to one part, the script comes back: mended, asked for again, or flagged.

Scripts here have six scenes, each a part of its own, unless a story says otherwise; the third is
the one that something happens to.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from . import answers
from .acts import Act, Answer, Cut, HangUp, Hold, Never, Refuse
from .books import assert_ledger_is_the_books
from .replies import Reply
from .scenes import Written, mark_of, paid_in, written
from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCENES, FAULTY = 6, 3
MARK = mark_of(FAULTY)
FORCE = {"x-daobo-chunking": "force"}
SCRIPT = written(SCENES)
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


async def ask(stage: Stage, script: Written = SCRIPT, model: str = "scenes", **more: bool) -> Reply:
    reply = await stage.ask(script.text, model=model, headers=FORCE, **more)
    assert reply.error is None
    return reply


def times_asked(stage: Stage, *scenes: int) -> list[int]:
    """How many requests had something of these scenes in their script."""
    return [len(stage.upstream.with_text(mark_of(number))) for number in scenes]


OTHERS = [number for number in range(1, SCENES + 1) if number != FAULTY]


@dataclass(frozen=True)
class Fault:
    act: Act
    results: frozenset[str]
    """What the metadata may call what became of the part."""
    asks_again: bool = True
    model: str = "scenes"


ANSWERED = frozenset({"answered", "repeated"})
REPEATED = frozenset({"repeated"})
MENDED = frozenset({"mended"})

FAULTS = {
    "length": Fault(Answer(answers.first_half, "length"), REPEATED),
    "a quarter of it, and no word of that": Fault(Answer(answers.first_quarter), REPEATED),
    "refusal in words": Fault(Answer(answers.refusal), REPEATED),
    "the whole prompt": Fault(Answer(answers.whole_prompt), REPEATED),
    "thinking without end": Fault(Answer(answers.within_thinking), REPEATED),
    "nothing": Fault(Answer(answers.nothing), ANSWERED),
    "429": Fault(Refuse(429, "rate_limit_exceeded"), ANSWERED),
    "500": Fault(Refuse(500), ANSWERED),
    "context_length_exceeded": Fault(Refuse(400, "context_length_exceeded"), ANSWERED),
    "content policy": Fault(Refuse(400, "content_policy_violation"), ANSWERED),
    "cut stream": Fault(Cut(), ANSWERED),
    "cut before the first word": Fault(Cut(share=0.0), ANSWERED),
    "hung up on": Fault(HangUp(), ANSWERED),
    "silence": Fault(Never(), ANSWERED, model="hurried"),
    "fences": Fault(Answer(answers.in_fences), MENDED, asks_again=False),
    "preamble": Fault(Answer(answers.after_a_preamble), MENDED, asks_again=False),
    "thinking": Fault(Answer(answers.after_thinking), MENDED, asks_again=False),
}


@STREAMS
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_that_happens_once_leaves_no_trace_in_the_script(
    fault: Fault, stream: bool, stage: Stage
) -> None:
    stage.upstream.order(MARK, fault.act)
    reply = await ask(stage, model=fault.model, stream=stream)
    assert reply.text == SCRIPT.text
    assert reply.flagged == []
    assert reply.parts[FAULTY - 1]["result"] in fault.results
    others = reply.results[: FAULTY - 1] + reply.results[FAULTY:]
    assert set(others) == {"answered"}
    assert (len(stage.upstream.asked) > SCENES) == fault.asks_again
    assert sum(part["attempts"] for part in reply.parts) == len(stage.upstream.asked)
    assert times_asked(stage, *OTHERS) == [1] * len(OTHERS)
    await assert_ledger_is_the_books(stage, reply)


ELSEWHERE = {name: fault for name, fault in FAULTS.items() if name != "context_length_exceeded"}
"""A text that is too long for one model is not sent to another that takes no more."""


@pytest.mark.parametrize("fault", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_what_one_model_cannot_do_the_next_one_does(fault: Fault, stage: Stage) -> None:
    stage.upstream.order(MARK, fault.act, times=None, model="echo-1")
    reply = await ask(stage, model=fault.model)
    assert reply.text == SCRIPT.text
    assert reply.flagged == []
    assert times_asked(stage, *OTHERS) == [1] * len(OTHERS)
    models = [asked.model for asked in stage.upstream.with_text(MARK)]
    assert ("echo-2" in models) == fault.asks_again
    if not any(asked.status == 429 for asked in stage.upstream.asked):  # that concerns all calls
        elsewhere = [asked for asked in stage.upstream.asked if MARK not in asked.text]
        assert {asked.model for asked in elsewhere} == {"echo-1"}
    await assert_ledger_is_the_books(stage, reply)


FATAL = {name: fault for name, fault in FAULTS.items() if fault.asks_again and name != "silence"}


@STREAMS
@pytest.mark.parametrize("fault", FATAL.values(), ids=FATAL)
async def test_what_nobody_can_do_stays_the_source_and_is_flagged(
    fault: Fault, stream: bool, stage: Stage
) -> None:
    stage.upstream.order(MARK, fault.act, times=None)
    reply = await ask(stage, stream=stream)
    assert reply.text == SCRIPT.text
    assert reply.results[FAULTY - 1] == "source"
    assert {flag["part"] for flag in reply.flagged} == {FAULTY}
    assert all(flag["why"] for flag in reply.flagged)
    assert times_asked(stage, *OTHERS) == [1] * len(OTHERS)
    if not stream:  # a stream's head has left before anybody knows
        assert "1-3" in reply.headers["x-daobo-warning"]
    await assert_ledger_is_the_books(stage, reply)


async def test_a_part_that_is_not_there_when_time_is_up_stays_the_source(stage: Stage) -> None:
    stage.upstream.order(MARK, Hold(), times=None)
    reply = await ask(stage, model="soon-over")
    assert reply.text == SCRIPT.text
    assert reply.results == ["answered"] * 2 + ["source"] + ["answered"] * 3
    await assert_ledger_is_the_books(stage, reply)


# Scenes of a part with several of them: 1-4, 5-8, 9-12

LONGER = written(12)
WIDE = "four-scenes"


async def test_a_scene_that_was_dropped_is_asked_for_by_itself(stage: Stage) -> None:
    missing = LONGER.scene(6)
    stage.upstream.order(mark_of(6), Answer(answers.without(missing)))
    reply = await ask(stage, LONGER, WIDE)
    assert reply.text == LONGER.text
    assert reply.flagged == []
    assert times_asked(stage, 5, 6, 7, 8) == [1, 2, 1, 1]
    assert stage.upstream.with_text(mark_of(6))[1].text.strip() == missing.strip()
    await assert_ledger_is_the_books(stage, reply)


@pytest.mark.parametrize(
    "make",
    [
        answers.doubled(LONGER.scene(6)),
        answers.swapped(LONGER.scene(6), LONGER.scene(7)),
    ],
    ids=["doubled", "swapped"],
)
async def test_scenes_that_were_doubled_or_swapped_are_put_right_without_asking(
    make: answers.Make, stage: Stage
) -> None:
    stage.upstream.order(mark_of(6), Answer(make))
    reply = await ask(stage, LONGER, WIDE)
    assert reply.text == LONGER.text
    assert reply.results == ["answered", "mended", "answered"]
    assert len(stage.upstream.asked) == 3


async def test_an_edit_of_one_scene_leaves_every_other_byte_as_it_is(stage: Stage) -> None:
    old, new = f"{mark_of(6)}，赔偿", f"{mark_of(6)}，他说，赔偿"
    stage.upstream.order(mark_of(6), Answer(answers.changed(old, new)))
    reply = await ask(stage, LONGER, WIDE)
    assert reply.text == LONGER.text.replace(old, new)
    assert set(reply.results) == {"answered"}
    assert len(stage.upstream.asked) == 3


PAID, OVERPAID = paid_in(6), paid_in(66)


async def test_a_number_that_was_changed_is_asked_for_again(stage: Stage) -> None:
    stage.upstream.order(mark_of(6), Answer(answers.changed(PAID, OVERPAID)))
    reply = await ask(stage, LONGER, WIDE)
    assert reply.text == LONGER.text
    assert reply.flagged == []
    assert times_asked(stage, 1, 6, 9) == [1, 2, 1]


async def test_and_if_the_model_insists_it_is_taken_and_flagged(stage: Stage) -> None:
    stage.upstream.order(mark_of(6), Answer(answers.changed(PAID, OVERPAID)), times=None)
    reply = await ask(stage, LONGER, WIDE)
    assert reply.text == LONGER.text.replace(PAID, OVERPAID)
    [flag] = reply.flagged
    assert (flag["part"], flag["section"]) == (2, "2-1")
    assert PAID.removesuffix("元") in flag["why"]
    await assert_ledger_is_the_books(stage, reply)


async def test_if_no_part_can_be_answered_the_call_fails_with_the_last_error(stage: Stage) -> None:
    stage.upstream.order("", Refuse(500, message="the engine is on fire"), times=None)
    reply = await stage.ask(SCRIPT.text, model="scenes", headers=FORCE)
    assert reply.status == 502
    assert reply.error is not None
    assert "the engine is on fire" in reply.error["message"]
    assert len(stage.upstream.asked) < 2 * SCENES
