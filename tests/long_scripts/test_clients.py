"""What a user types: a long script through the SDKs, and the headers that allow it or forbid it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from openai import AsyncAzureOpenAI, AsyncOpenAI, BadRequestError

from tests.chunking.scripts import write_script

from .acts import Hold
from .replies import events_in
from .scenes import mark_of, written
from .stage import KEY, TIMEOUT_S, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

EPISODES, SCENES = 60, 20
POLISH = {"X-Daobo-Task": "polish"}


@pytest.fixture(scope="module")
def season() -> str:
    """1,200 scenes."""
    return write_script("mixed", episodes=EPISODES, scenes=SCENES, scene_chars=180)


@pytest_asyncio.fixture(loop_scope="session")
async def openai(stage: Stage) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=KEY, base_url=f"{stage.url}/v1", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def azure(stage: Stage) -> AsyncIterator[AsyncAzureOpenAI]:
    async with AsyncAzureOpenAI(
        api_key=KEY, azure_endpoint=stage.url, api_version="2024-10-21", max_retries=0
    ) as client:
        yield client


async def whole(client: AsyncOpenAI, script: str) -> str:
    answer = await client.chat.completions.create(
        model="rehearsal-echo",
        messages=[{"role": "user", "content": script}],
        extra_headers=POLISH,
    )
    [choice] = answer.choices
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    return choice.message.content or ""


async def streamed(client: AsyncOpenAI, script: str) -> str:
    deltas = []
    stream = await client.chat.completions.create(
        model="rehearsal-echo",
        messages=[{"role": "user", "content": script}],
        stream=True,
        extra_headers=POLISH,
    )
    async for chunk in stream:
        deltas += [choice.delta.content or "" for choice in chunk.choices]
    return "".join(deltas)


@pytest.mark.parametrize("way", [whole, streamed])
async def test_1200_scenes_come_back_through_the_openai_sdk(
    way: Callable[[AsyncOpenAI, str], Awaitable[str]], openai: AsyncOpenAI, season: str
) -> None:
    assert await way(openai, season) == season


@pytest.mark.parametrize("way", [whole, streamed])
async def test_and_through_azures_client(
    way: Callable[[AsyncOpenAI, str], Awaitable[str]], azure: AsyncAzureOpenAI, season: str
) -> None:
    assert await way(azure, season) == season


async def test_without_a_task_a_long_script_is_refused_with_the_header_that_would_allow_it(
    openai: AsyncOpenAI, season: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await openai.chat.completions.create(
            model="rehearsal-echo", messages=[{"role": "user", "content": season}]
        )
    assert refused.value.code == "context_length_exceeded"
    assert "X-Daobo-Task" in refused.value.message


async def test_a_header_forbids_what_the_task_allows(stage: Stage) -> None:
    reply = await stage.ask(
        written(100).text,
        model="small",
        task="by-itself",
        headers={"x-daobo-chunking": "off"},
    )
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["code"] == "context_length_exceeded"
    assert stage.upstream.asked == []


async def test_a_header_cuts_what_would_fit(stage: Stage) -> None:
    script = written(6).text
    as_it_is = await stage.ask(script, model="scenes")
    assert (as_it_is.text, as_it_is.daobo, len(stage.upstream.asked)) == (script, None, 1)
    cut = await stage.ask(script, model="scenes", headers={"x-daobo-chunking": "force"})
    assert (cut.text, len(cut.parts)) == (script, 6)


async def test_a_word_that_the_header_does_not_know_is_refused(stage: Stage) -> None:
    reply = await stage.ask("雨", model="scenes", headers={"x-daobo-chunking": "please"})
    assert reply.status == 400
    assert reply.error is not None
    assert "force" in reply.error["message"]


async def test_a_task_that_does_not_cut_names_what_would(stage: Stage) -> None:
    reply = await stage.ask(written(100).text, model="uncut")
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["code"] == "context_length_exceeded"


async def test_a_later_model_with_the_room_is_asked_before_anything_is_cut(stage: Stage) -> None:
    script = written(100).text
    reply = await stage.ask(script, model="room-elsewhere")
    assert (reply.text, reply.daobo) == (script, None)
    assert [asked.model for asked in stage.upstream.asked] == ["echo-1"]


async def test_an_upstream_that_takes_less_than_its_listing_says_has_the_call_cut_once(
    stage: Stage,
) -> None:
    script = written(6)
    stage.upstream.max_chars = len(script.text) - 1
    reply = await stage.ask(script.text, model="one-home")
    assert reply.text == script.text
    assert [asked.fate for asked in stage.upstream.asked] == ["refused"] + ["whole"] * 6


async def test_a_stand_in_polishes_a_script_that_is_cut_and_keeps_its_scenes(stage: Stage) -> None:
    script = written(40)
    reply = await stage.ask(script.text, model="rehearsed", headers={"x-daobo-chunking": "force"})
    kept = iter(reply.text.splitlines())
    assert all(line in kept for line in script.text.splitlines())
    assert len(reply.text) > len(script.text)
    assert reply.flagged == []


async def test_the_script_may_stand_among_other_messages(stage: Stage) -> None:
    script = written(6).text
    messages = [
        {"role": "system", "content": "你是剧本编辑。"},
        {"role": "user", "content": "下一条是剧本。"},
        {"role": "assistant", "content": "好。"},
        {"role": "user", "content": [{"type": "text", "text": script}]},
    ]
    reply = await stage.ask(
        "", model="scenes", messages=messages, headers={"x-daobo-chunking": "force"}
    )
    assert reply.text == script
    for asked in stage.upstream.asked:
        assert asked.system.startswith("你是剧本编辑。")
        assert asked.messages[1:3] == messages[1:3]


async def test_what_is_ready_is_streamed_while_later_parts_are_under_way(stage: Stage) -> None:
    script, hold = written(6), Hold()
    stage.upstream.order(mark_of(3), hold)
    first = script.front + script.scene(1) + script.scene(2)
    text, raw = "", b""
    async with (
        asyncio.timeout(TIMEOUT_S),
        stage.post(
            script.text, model="scenes", stream=True, headers={"x-daobo-chunking": "force"}
        ) as response,
    ):
        async for data in response.content.iter_any():
            raw += data
            text = text_of(raw)
            if text == first:
                hold.release.set()
            assert hold.release.is_set() or first.startswith(text)
    assert text == script.text


def text_of(raw: bytes) -> str:
    """Of the events that are complete."""
    complete = raw[: raw.rfind(b"\n\n") + 2]
    choices = [event.get("choices") or () for event in events_in(complete)]
    return "".join(choice["delta"].get("content") or "" for each in choices for choice in each)
