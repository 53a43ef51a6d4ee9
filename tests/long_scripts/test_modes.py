"""Side by side, one after the other, or down to one answer; and what a part is told of the rest."""

from __future__ import annotations

import pytest

from . import answers
from .acts import Answer, Asked
from .scenes import Written, mark_of, written
from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCENES = 6
FORCE = {"x-daobo-chunking": "force"}
SCRIPT = written(SCENES)


def part(stage: Stage, number: int) -> Asked:
    [asked] = stage.upstream.with_text(mark_of(number))
    return asked


async def test_a_part_is_told_what_stands_around_it_and_has_its_text_alone_to_answer(
    stage: Stage,
) -> None:
    await stage.ask(SCRIPT.text, model="scenes", headers=FORCE)
    third = part(stage, 3)
    assert third.text == SCRIPT.scene(3)
    assert SCRIPT.scene(2).rstrip("\n").split("\n")[-1] in third.system
    assert SCRIPT.scene(4).split("\n")[0] in third.system
    assert "急诊科医生" in third.system
    assert mark_of(4) not in third.system


async def test_the_fence_around_the_context_is_another_one_for_each_call(stage: Stage) -> None:
    for _ in range(2):
        await stage.ask(SCRIPT.text, model="scenes", headers=FORCE)
    first, second = stage.upstream.with_text(mark_of(3))
    assert first.text == second.text
    assert first.system != second.system


async def test_refine_goes_through_the_script_in_order_and_tells_how_the_answer_ends(
    stage: Stage,
) -> None:
    """Each part's last line is answered with other words, and those are what the next one sees."""
    last_lines = [scene.rstrip("\n").split("\n")[-1] for scene in SCRIPT.scenes]
    changed = [f"△{mark_of(number)}，改过了。" for number in range(1, SCENES + 1)]
    for number, (old, new) in enumerate(zip(last_lines, changed, strict=True), start=1):
        stage.upstream.order(mark_of(number), Answer(answers.changed(old, new)))
    reply = await stage.ask(SCRIPT.text, model="refine", headers=FORCE)
    assert stage.upstream.most_at_once == 1
    assert [asked.text for asked in stage.upstream.asked] == parts_of(SCRIPT)
    for line, asked in zip(changed, stage.upstream.asked[1:], strict=False):
        assert line in asked.system
    assert [line for line in reply.text.split("\n") if line in changed] == changed
    assert reply.headers["x-daobo-chunking"] == "refine"


def parts_of(script: Written) -> list[str]:
    """Each scene is one, and what stands before the first belongs to it."""
    return [script.front + script.scene(1), *script.scenes[1:]]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_reduce_puts_the_answers_together_in_the_order_of_the_script(
    stream: bool, stage: Stage
) -> None:
    for number in range(1, SCENES + 1):
        stage.upstream.order(mark_of(number), Answer(note_on(number)))
    stage.upstream.answer_late(seed=7, up_to_s=0.01)
    reply = await stage.ask(SCRIPT.text, model="reduce", headers=FORCE, stream=stream)
    *parts, joining = stage.upstream.asked
    assert len(parts) == SCENES
    places = [joining.text.index(f"意见{number}。") for number in range(1, SCENES + 1)]
    assert places == sorted(places)
    assert reply.text == joining.text
    assert reply.headers["x-daobo-chunking"] == "reduce"


def note_on(number: int) -> answers.Make:
    return lambda asked: f"意见{number}。节奏可以再快一些。"


async def test_what_cannot_be_put_together_is_not_cut(stage: Stage) -> None:
    script = written(100).text
    for name, value in {
        "n": 2,
        "logprobs": True,
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "save", "parameters": {}}}],
    }.items():
        reply = await stage.ask(script, model="all-can", **{name: value})
        assert reply.status == 400, name
        assert reply.error is not None
        assert reply.error["code"] == "context_length_exceeded"
        assert name in reply.error["message"]
    assert stage.upstream.asked == []


async def test_a_kept_answer_is_not_given_to_a_call_that_is_cut_in_another_manner(
    stage: Stage,
) -> None:
    script, headers = written(6, title="换个切法").text, {**FORCE, "x-daobo-cache": "on"}
    first = await stage.ask(script, model="one-home", headers=headers)
    again = await stage.ask(script, model="one-home", headers=headers)
    other = await stage.ask(script, model="refine", headers=headers)
    caches = [reply.headers["x-daobo-cache"] for reply in (first, again, other)]
    assert caches == ["miss", "hit", "miss"]
    assert other.daobo is not None
    assert other.daobo["mode"] == "refine"
