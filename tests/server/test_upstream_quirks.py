"""Upstreams with habits of their own, and what the official SDK gets to see of them: nothing."""

import asyncio
from pathlib import Path

import orjson
import pytest
from openai import APIError, AsyncOpenAI

from gateway.app import Gateway, Options
from gateway.errors import Outcome

from .conftest import CUT, KEY, House, RawUpstream

CONFIG = """
rehearsal: never
providers:
  wire: {{type: openai-compatible, base_url: "{root}/v1", {flags}}}
  claude: {{type: anthropic, base_url: "{root}"}}
models:
  seer: {{targets: [wire/seer-1], capabilities: [chat, tools], price: {{free: true}}}}
  twins:
    targets: [wire/twin-1, wire/twin-2]
    price: {{input_per_mtok: "1", output_per_mtok: "2"}}
  writer: {{targets: [claude/writer-1], price: {{free: true}}}}
"""
GOLDEN = Path(__file__).parents[1] / "plugins" / "golden"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MESSAGES = [{"role": "user", "content": "x"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
USAGE = {"prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36}


@pytest.fixture
async def house_of(tmp_path, aiohttp_server):
    """Opens a house whose upstream ``wire`` has ``flags``, and the SDK's client of it."""
    upstream = RawUpstream()
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    root = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    gateways, clients = [], []

    async def open_house(flags="max_connections: 100"):
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(root=root, flags=flags))
        records = []
        gateway = Gateway(Options(config, tmp_path, {"DAOBO_KEY": KEY}), records.append)
        gateways.append(gateway)
        server = await aiohttp_server(gateway.public_app())
        url = str(server.make_url("/v1"))
        client = AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
        clients.append(client)
        return House(url, upstream, None, gateway, records), client.chat.completions

    yield open_house
    for client in clients:
        await client.close()
    for gateway in gateways:
        await gateway.close()
    listener.close()


def framed(*events):
    pieces = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    return [STREAM, *pieces, b"0\r\n\r\n"]


def event(choices, **more):
    top = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**top, "choices": choices, **more}) + b"\n\n"


def delta(said, finish=None, index=0):
    return event([{"index": index, "delta": said, "finish_reason": finish}])


DONE = event([], usage=USAGE) + b"data: [DONE]\n\n"


def whole(message, finish="stop"):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    top = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    body = orjson.dumps({**top, "choices": [choice], "usage": USAGE})
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return [head % len(body) + body]


def sent_body(house, number=-1):
    return orjson.loads(house.upstream.requests[number].partition(b"\r\n\r\n")[2])


def call_piece(**fields):
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function}


async def test_an_upstream_that_only_streams_gives_whole_answers(house_of):
    house, chat = await house_of("stream_only: true")
    pieces = [{"index": 0, "id": "a", "type": "function", "function": {"name": "weather"}}]
    more = [{"index": 0, "function": {"arguments": "{}"}}]
    house.upstream.script = framed(
        delta({"role": "assistant", "content": "", "reasoning_content": "先想。"}),
        delta({"content": "雨"}),
        delta({"content": "夜"}),
        delta({"tool_calls": pieces}),
        delta({"tool_calls": more}),
        delta({"content": "雪"}, index=1),
        delta({}, "stop", 1),
        delta({}, "tool_calls"),
        DONE,
    )
    answer = await chat.create(model="seer", messages=MESSAGES, n=2)
    first, second = answer.choices
    assert (first.message.content, second.message.content) == ("雨夜", "雪")
    assert first.message.reasoning_content == "先想。"
    assert first.message.tool_calls[0].function.arguments == "{}"
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "stop")
    assert answer.usage.total_tokens == 36
    assert sent_body(house)["stream_options"] == {"include_usage": True}
    (record,) = house.records
    assert (record.usage.input_tokens, record.usage.output_tokens) == (30, 6)
    assert not record.stream


async def test_a_stream_that_breaks_off_is_no_whole_answer_and_another_target_is_tried(house_of):
    house, chat = await house_of("stream_only: true")
    first = [STREAM, framed(delta({"content": "Rain"}))[1], CUT]
    second = framed(delta({"content": "Snow"}), delta({}, "stop"), DONE)
    house.upstream.script = iter([*first, *second])
    answer = await chat.create(model="twins", messages=MESSAGES)
    assert answer.choices[0].message.content == "Snow"
    (record,) = house.records
    cut, ok = record.attempts
    assert (cut.outcome, ok.outcome) == (Outcome.UPSTREAM_CUT, Outcome.OK)
    assert cut.usage.estimated
    assert cut.bill.cost_nano > 0


@pytest.mark.parametrize("flags", ["json_only: true", "stream_usage: true"])
async def test_a_whole_answer_reaches_a_streaming_client_in_chunks(house_of, flags):
    house, chat = await house_of(flags)
    calls = [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    house.upstream.script = whole({"content": "雨夜", "tool_calls": calls}, "tool_calls")
    async with chat.stream(
        model="seer", messages=MESSAGES, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].message.content == "雨夜"
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.total_tokens == 36
    assert sent_body(house).get("stream", False) == (flags != "json_only: true")


async def test_an_upstream_that_streams_unasked_gives_a_whole_answer(house_of):
    house, chat = await house_of()
    house.upstream.script = framed(delta({"content": "雨夜"}), delta({}, "stop"), DONE)
    answer = await chat.create(model="seer", messages=MESSAGES)
    assert answer.choices[0].message.content == "雨夜"


@pytest.mark.parametrize(
    ("flags", "pieces"),
    [
        (
            "max_connections: 100",
            [
                call_piece(id="a", name="weather", arguments='{"city":'),
                call_piece(arguments='"上海"}'),
                call_piece(id="b", name="weather", arguments='{"city":"上海"}'),
            ],
        ),
        (
            "max_connections: 100",
            [
                call_piece(index=1, id="a", name="weather", arguments='{"city":'),
                call_piece(index=1, id="a", name="weather", arguments='"上海"}'),
                call_piece(index=2, id="b", name="weather", arguments='{"city":"上海"}'),
            ],
        ),
        (
            "cumulative_tool_calls: true",
            [
                call_piece(index=0, id="a", name="weather", arguments='{"city":'),
                call_piece(index=0, arguments='{"city":"上海"}'),
                call_piece(index=1, id="b", name="weather", arguments='{"city":"上海"}'),
            ],
        ),
    ],
)
async def test_the_sdk_puts_tool_calls_together_whatever_the_accent(house_of, flags, pieces):
    house, chat = await house_of(flags)
    deltas = [delta({"tool_calls": [piece]}) for piece in pieces]
    house.upstream.script = framed(*deltas, delta({}, "tool_calls"), DONE)
    async with chat.stream(model="seer", messages=MESSAGES, tools=TOOLS) as stream:
        answer = await stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert [(call.id, call.function.name) for call in calls] == [("a", "weather"), ("b", "weather")]
    assert [call.function.arguments for call in calls] == ['{"city":"上海"}'] * 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_in_tags_arrives_as_thinking(house_of, streamed):
    house, chat = await house_of("thinking_tags: true")
    if streamed:
        cut = [delta({"content": text}) for text in ("<thi", "nk>先想。</th", "ink>\n\n", "雨夜")]
        house.upstream.script = framed(*cut, delta({}, "stop"), DONE)
        thinking = content = ""
        async for chunk in await chat.create(model="seer", messages=MESSAGES, stream=True):
            for choice in chunk.choices:
                thinking += getattr(choice.delta, "reasoning_content", None) or ""
                content += choice.delta.content or ""
    else:
        house.upstream.script = whole({"content": "<think>先想。</think>\n\n雨夜"})
        answer = await chat.create(model="seer", messages=MESSAGES)
        thinking = answer.choices[0].message.reasoning_content
        content = answer.choices[0].message.content
    assert (thinking, content) == ("先想。", "雨夜")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_filters_verdict_without_a_word_is_an_error_with_its_exact_price(
    house_of, streamed
):
    house, chat = await house_of()
    role = delta({"role": "assistant", "content": ""})
    house.upstream.script = (
        framed(role, delta({}, "content_filter"), DONE)
        if streamed
        else whole({"content": ""}, "content_filter")
    )
    with pytest.raises(APIError) as failure:
        await chat.create(model="twins", messages=MESSAGES, stream=streamed)
    assert failure.value.code == "content_policy_violation"
    (record,) = house.records
    assert (record.usage.input_tokens, record.usage.estimated) == (30, False)


async def test_a_target_that_only_said_that_it_begins_is_left_for_the_next(house_of):
    house, chat = await house_of()
    first = [STREAM, framed(delta({"role": "assistant", "content": ""}))[1], CUT]
    second = framed(delta({"content": "Snow"}), delta({}, "stop"), DONE)
    house.upstream.script = iter([*first, *second])
    stream = await chat.create(model="twins", messages=MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]
    assert [choice.delta.content for chunk in chunks for choice in chunk.choices] == ["Snow", None]
    (record,) = house.records
    assert [a.outcome for a in record.attempts] == [Outcome.UPSTREAM_CUT, Outcome.OK]


async def test_a_long_answer_is_streamed_from_anthropic_and_comes_whole(house_of):
    house, chat = await house_of()
    golden = GOLDEN / "anthropic/stream_thinking_and_tools/upstream_stream.sse"
    house.upstream.script = framed(golden.read_bytes())
    answer = await chat.create(model="writer", messages=MESSAGES, max_tokens=32_000)
    assert sent_body(house)["stream"] is True
    message = answer.choices[0].message
    assert message.reasoning_content
    assert message.thinking_blocks
    assert orjson.loads(message.tool_calls[0].function.arguments)
    assert answer.usage.completion_tokens


async def test_a_short_answer_is_not_streamed_from_anthropic(house_of):
    house, chat = await house_of()
    golden = (GOLDEN / "anthropic/text/upstream_response.json").read_bytes()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    house.upstream.script = [head % len(golden) + golden]
    answer = await chat.create(model="writer", messages=MESSAGES, max_tokens=4000)
    assert "stream" not in sent_body(house)
    assert answer.choices[0].message.content
