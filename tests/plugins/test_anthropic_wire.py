"""The Anthropic translation against a server that is as strict as the vendor's SDK."""

import aiohttp
import orjson
import pytest
from anthropic import AsyncAnthropic
from fake_anthropic import KEY, REQUESTS, Refusal, fake_anthropic
from folding import folded
from openai.types.chat import ChatCompletion

from gateway.errors import CallError, Outcome
from gateway.schema import ChatRequest
from gateway_anthropic import Anthropic
from gateway_anthropic.request import Settings

MODEL = "claude-sonnet-5-5"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


def provider_at(server, key=KEY, **settings):
    return Anthropic(
        Settings.model_validate(
            {"type": "anthropic", "base_url": str(server.make_url("/")), "api_key": key, **settings}
        )
    )


async def call(session, provider, body, stream=False):
    """The assistant's message, its finish reason, its usage, and the names that were dropped."""
    request = ChatRequest(MODEL, {"model": "polish", **body}, stream, call_id="call-1")
    built = provider.build_request(request)
    async with session.post(built.url, data=built.body, headers=dict(built.headers)) as response:
        raw = await response.read()
        if response.status != 200:
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise provider.parse_error(response.status, headers, raw)
    if not stream:
        answer = provider.parse_response(request, raw)
        completion = orjson.loads(answer.body)
        ChatCompletion.model_validate(completion)
        message = completion["choices"][0]["message"]
        return message, answer.finish_reason, answer.usage, built.dropped
    return *folded(provider, request, raw), built.dropped


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_thinking_comes_back_signed_through_a_tool_loop(aiohttp_server, session, stream):
    server = await aiohttp_server(fake_anthropic())
    provider = provider_at(server)
    body = {"tools": [WEATHER, CLOCK], "reasoning_effort": "high"}
    question = {"role": "user", "content": "上海天气怎么样？"}

    first, finish_reason, _, _ = await call(
        session, provider, {**body, "messages": [question]}, stream
    )
    assert finish_reason == "tool_calls"
    assert [called["function"]["name"] for called in first["tool_calls"]] == ["weather", "clock"]
    results = [
        {"role": "tool", "tool_call_id": called["id"], "content": "晴"}
        for called in first["tool_calls"]
    ]
    second, finish_reason, _, dropped = await call(
        session, provider, {**body, "messages": [question, first, *results]}, stream
    )

    assert second["content"] == "All 2 tools answered."
    assert finish_reason == "stop"
    assert dropped == ()


async def test_thinking_that_was_tampered_with_is_the_clients_error(aiohttp_server, session):
    provider = provider_at(await aiohttp_server(fake_anthropic()))
    body = {"tools": [WEATHER], "reasoning_effort": "low"}
    question = {"role": "user", "content": "hi"}
    first, *_ = await call(session, provider, {**body, "messages": [question]})
    first["thinking_blocks"][0]["thinking"] += "!"
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "晴"}

    with pytest.raises(CallError, match="Invalid `signature`") as caught:
        await call(session, provider, {**body, "messages": [question, first, result]})
    assert caught.value.outcome is Outcome.UPSTREAM_REJECTED


LOST = "thinking (blocks of the open tool loop are missing)"
ADAPTIVE = {"reasoning_effort": "high"}
MANUAL = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.mark.parametrize(
    ("thinking", "dropped"), [(ADAPTIVE, ()), (MANUAL, (LOST,))], ids=["adaptive", "manual"]
)
async def test_a_tool_loop_that_lost_its_thinking_goes_on(
    aiohttp_server, session, thinking, dropped
):
    provider = provider_at(await aiohttp_server(fake_anthropic()))
    body = {"tools": [WEATHER], **thinking}
    question = {"role": "user", "content": "hi"}
    first, *_ = await call(session, provider, {**body, "messages": [question]})
    del first["thinking_blocks"], first["reasoning_content"]
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "晴"}

    second, *_, named = await call(
        session, provider, {**body, "messages": [question, first, result]}
    )

    assert second["content"] == "All 1 tools answered."
    assert named == dropped
    assert ("reasoning_content" in second) == (not dropped)


async def test_manual_thinking_stays_on_in_a_loop_that_opened_with_it(aiohttp_server, session):
    """A model may think before its first call only."""
    provider = provider_at(await aiohttp_server(fake_anthropic()))
    question = {"role": "user", "content": "hi"}
    body = {"tools": [WEATHER], **MANUAL}
    first, *_ = await call(session, provider, {**body, "messages": [question]})
    further = {"role": "assistant", "tool_calls": first["tool_calls"]}
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "晴"}
    loop = [question, first, result, further, result]

    answer, *_, dropped = await call(session, provider, {**body, "messages": loop})

    assert answer["reasoning_content"]
    assert dropped == ()


async def test_a_loop_that_is_over_may_have_lost_its_thinking(aiohttp_server, session):
    provider = provider_at(await aiohttp_server(fake_anthropic()))
    question = {"role": "user", "content": "hi"}
    first, *_ = await call(session, provider, {"tools": [WEATHER], "messages": [question]})
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "晴"}
    over = [question, first, result, {"role": "assistant", "content": "Sunny."}, question]

    answer, *_, dropped = await call(session, provider, {**MANUAL, "messages": over})

    assert answer["reasoning_content"]
    assert dropped == ()


async def test_a_stream_says_what_the_whole_answer_says(aiohttp_server, session):
    provider = provider_at(await aiohttp_server(fake_anthropic()))
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole, *rest = await call(session, provider, body)
    streamed, *streamed_rest = await call(session, provider, body, stream=True)

    # A stream opens with empty content where a whole answer has null.
    assert {**streamed, "content": None} == whole
    assert streamed_rest == rest


async def test_everything_a_client_may_say_is_valid_upstream(aiohttp_server, session):
    app = fake_anthropic()
    provider = provider_at(await aiohttp_server(app), system_messages="in_place")
    pixel = "data:image/png;base64,iVBORw0KGgo="
    mark = {"type": "ephemeral", "ttl": "1h"}
    body = {
        "messages": [
            {"role": "system", "content": "You write dramas.", "cache_control": mark},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look.", "cache_control": mark},
                    {"type": "image_url", "image_url": {"url": pixel}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {
                        "type": "file",
                        "file": {
                            "filename": "script.pdf",
                            "file_data": "data:application/pdf;base64,JVBERg==",
                        },
                    },
                    {"type": "file", "file": {"file_data": "data:text/plain;base64,5L2g5aW9"}},
                ],
            },
            {"role": "assistant", "content": "\n\n", "refusal": "No."},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Please."},
        ],
        "tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "scene", "schema": {"type": "object", "properties": {}}},
        },
        "reasoning_effort": "minimal",
        "stop": "END",
        "user": "u-1",
        "service_tier": "default",
        "max_completion_tokens": 500,
        "cache_control": mark,
    }
    await call(session, provider, body)

    (received,) = app[REQUESTS]
    assert [turn["role"] for turn in received["messages"]] == [
        "user", "assistant", "user", "system",
    ]  # fmt: skip
    assert received["output_config"]["effort"] == "low"


async def test_sampling_is_sent_where_the_old_version_is_chosen(aiohttp_server, session):
    app = fake_anthropic()
    server = await aiohttp_server(app)
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0.2, "top_p": 1}

    old = provider_at(server, anthropic_version="2023-06-01")
    assert (await call(session, old, body))[-1] == ()
    assert (await call(session, provider_at(server), body))[-1] == ("temperature",)
    assert [received.get("temperature") for received in app[REQUESTS]] == [0.2, None]


async def test_an_unknown_key_is_a_matter_of_the_operators(aiohttp_server, session):
    provider = provider_at(await aiohttp_server(fake_anthropic()), key="wrong")
    with pytest.raises(CallError) as caught:
        await call(session, provider, {"messages": [{"role": "user", "content": "hi"}]})
    assert caught.value.outcome is Outcome.UPSTREAM_CREDENTIALS


async def test_a_rate_limit_says_when_to_come_back(aiohttp_server, session):
    def busy(body):
        raise Refusal(429, "rate_limit_error", "too many tokens", retry_after="7")

    provider = provider_at(await aiohttp_server(fake_anthropic(busy)))
    with pytest.raises(CallError) as caught:
        await call(session, provider, {"messages": [{"role": "user", "content": "hi"}]})
    assert caught.value.outcome is Outcome.UPSTREAM_RATE_LIMITED
    assert caught.value.retry_after_s == 7


async def test_the_vendors_own_sdk_finds_the_fake_in_order(aiohttp_server):
    server = await aiohttp_server(fake_anthropic())
    async with AsyncAnthropic(api_key=KEY, base_url=str(server.make_url("/"))) as client:
        asked = {
            "model": MODEL,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
            "thinking": {"type": "adaptive"},
        }
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()

    assert [block.type for block in whole.content] == ["thinking", "tool_use"]
    assert streamed.content == whole.content
    assert streamed.usage == whole.usage


@pytest.mark.parametrize(
    "spoilt",
    [
        {"seed": 1},
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "n": 1}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [{"role": "tool", "content": "hi"}]},
        {"tool_choice": {"type": "required"}},
    ],
)
async def test_the_fake_refuses_what_the_vendor_does_not_know(aiohttp_client, spoilt):
    client = await aiohttp_client(fake_anthropic())
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": KEY, "anthropic-version": "2026-10-21"}
    answers = [
        (await client.post("/v1/messages", json=sent, headers=headers)).status
        for sent in (body, {**body, **spoilt})
    ]
    assert answers == [200, 400]
