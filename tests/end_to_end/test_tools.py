"""Every client goes through a two-turn tool loop and gives back what it was given."""

import json

from tests.fakes.openai_upstream import CALL_ARGUMENTS, OpenAIUpstream

from .drivers import Client

MESSAGES = [{"role": "user", "content": "上海外景那三天天气如何？"}]


def tool(name: str) -> dict[str, object]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("weather"), tool("daylight")]
RESULTS = {"weather": "小雨，14 度", "daylight": "06:20 至 16:55"}


def test_tool_calls_arrive_with_their_arguments(client: Client, upstream: OpenAIUpstream):
    report = client.chat(model="studio-writer", messages=MESSAGES, tools=TOOLS)

    assert report["finish_reason"] == "tool_calls"
    assert report["text"] is None
    assert [call["name"] for call in report["calls"]] == ["weather", "daylight"]
    assert {call["arguments"] for call in report["calls"]} == {CALL_ARGUMENTS}
    assert upstream.received[0].body["tools"] == TOOLS


def test_streamed_arguments_arrive_in_fragments_that_fit(client: Client, upstream):
    report = client.stream(model="studio-writer", messages=MESSAGES, tools=TOOLS)

    assert report["finish_reason"] == "tool_calls"
    assert [(call["id"], call["name"]) for call in report["calls"]] == [
        ("call_0", "weather"),
        ("call_1", "daylight"),
    ]
    for call in report["calls"]:
        assert json.loads(call["arguments"]) == {"city": "上海", "days": 3}


def test_the_second_turn_brings_the_calls_and_their_results(
    client: Client, upstream: OpenAIUpstream
):
    report = client.tool_loop(
        model="studio-writer", messages=MESSAGES, tools=TOOLS, results=RESULTS
    )

    assert report["text"] == "工具说：小雨，14 度；06:20 至 16:55"
    assert report["finish_reason"] == "stop"
    check_second_turn(upstream)


def test_a_streamed_loop_does_the_same(client: Client, upstream: OpenAIUpstream):
    report = client.streamed_tool_loop(
        model="studio-writer", messages=MESSAGES, tools=TOOLS, results=RESULTS
    )

    assert report["text"] == "工具说：小雨，14 度；06:20 至 16:55"
    check_second_turn(upstream)


def check_second_turn(upstream: OpenAIUpstream) -> None:
    _, second = upstream.received
    asked, called, *told = second.body["messages"]
    assert [asked] == MESSAGES
    assert called["role"] == "assistant"
    assert [(call["id"], call["function"]["name"]) for call in called["tool_calls"]] == [
        ("call_0", "weather"),
        ("call_1", "daylight"),
    ]
    assert told == [
        {"role": "tool", "tool_call_id": "call_0", "content": RESULTS["weather"]},
        {"role": "tool", "tool_call_id": "call_1", "content": RESULTS["daylight"]},
    ]
