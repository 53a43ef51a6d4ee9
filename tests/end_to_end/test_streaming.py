"""Streams flow: each event reaches the client while the upstream is still holding back the next."""

import pytest
from openai import APIConnectionError, AsyncOpenAI
from pydantic import BaseModel

from tests.fakes.openai_upstream import KEY, TEXT, Hold, OpenAIUpstream, Say
from tests.fakes.openai_wire import PIECE_CHARS

from .conftest import Stage
from .gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "写一个短剧开场"}]


@pytest.fixture
async def openai_client(gateway: GatewayProcess):
    async with AsyncOpenAI(
        base_url=f"{gateway.root}/v1", api_key=gateway.key, max_retries=0
    ) as client:
        yield client


async def test_the_first_words_arrive_before_the_upstream_has_the_last(
    openai_client: AsyncOpenAI, upstream: OpenAIUpstream
):
    hold = Hold(chunks=2)
    upstream.script(hold)
    text = ""

    stream = await openai_client.chat.completions.create(
        model="studio-writer", messages=MESSAGES, stream=True
    )
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if text == TEXT[:PIECE_CHARS]:
            hold.release.set()

    assert text == TEXT


async def test_two_streams_of_one_client_do_not_wait_for_each_other(
    openai_client: AsyncOpenAI, upstream: OpenAIUpstream
):
    hold = Hold(chunks=2)
    upstream.script(hold)
    held = await openai_client.chat.completions.create(
        model="studio-writer", messages=MESSAGES, stream=True
    )

    other = await openai_client.chat.completions.create(
        model="studio-writer", messages=MESSAGES, stream=True
    )
    async for _ in other:
        pass
    hold.release.set()

    pieces = [chunk.choices[0].delta.content or "" async for chunk in held]
    assert "".join(pieces) == TEXT


async def test_leaving_a_stream_is_seen_by_the_gateway(
    openai_client: AsyncOpenAI, upstream: OpenAIUpstream, gateway: GatewayProcess
):
    hold = Hold(chunks=2)
    upstream.script(hold)
    raw = await openai_client.chat.completions.with_raw_response.create(
        model="studio-writer", messages=MESSAGES, stream=True
    )
    stream = raw.parse()
    await anext(stream)
    await stream.close()

    try:
        logged = gateway.logged(raw.headers["x-request-id"])
    finally:
        hold.release.set()
    assert logged["outcome"] == "client_gone"


class Show(BaseModel):
    title: str
    episodes: int


async def test_the_sdk_parses_structured_output_into_a_model(
    openai_client: AsyncOpenAI, upstream: OpenAIUpstream
):
    upstream.script(Say('{"title": "雨夜", "episodes": 80}'))

    completion = await openai_client.chat.completions.parse(
        model="studio-writer", messages=MESSAGES, response_format=Show
    )

    assert completion.choices[0].message.parsed == Show(title="雨夜", episodes=80)


async def test_a_deadline_of_the_client_ends_the_call(
    openai_client: AsyncOpenAI, upstream: OpenAIUpstream
):
    hold = Hold(chunks=0)
    upstream.script(hold)
    try:
        with pytest.raises(APIConnectionError):
            await openai_client.chat.completions.create(
                model="studio-writer", messages=MESSAGES, timeout=0.2
            )
    finally:
        hold.release.set()


async def test_the_fake_itself_satisfies_the_sdk(stage: Stage, upstream: OpenAIUpstream):
    """What passes through the gateway untouched is only as true as the fake is."""
    async with AsyncOpenAI(base_url=f"{stage.upstream_root}/v1", api_key=KEY) as sdk:
        whole = await sdk.chat.completions.create(model="any", messages=MESSAGES)
        async with sdk.chat.completions.stream(model="any", messages=MESSAGES) as events:
            streamed = await events.get_final_completion()

    assert type(whole).model_validate(whole.model_dump(), strict=True) == whole
    assert streamed.choices[0].message.content == whole.choices[0].message.content == TEXT
