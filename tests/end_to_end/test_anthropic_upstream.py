"""OpenAI clients talk to Claude: text, streams, and tool loops with signed thinking.

The upstream refuses a tool loop whose thinking was touched, and one whose thinking is missing where
the client set a budget by hand, as the real API does.
"""

import json

import pytest

from .conftest import THINK_TWICE
from .drivers import Client

MODEL = "claude-studio"
TEXT = "你好, this is the fake speaking."
MESSAGES = [
    {"role": "system", "content": "你是短剧编剧。"},
    {"role": "user", "content": "上海外景那三天天气如何？"},
]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("weather", "daylight")
]
RESULTS = {"weather": "小雨，14 度", "daylight": "06:20 至 16:55"}
TWO_TURNS = {"model": MODEL, "messages": MESSAGES, "tools": TOOLS, "results": RESULTS}
THINKING_TWICE = [{"role": "user", "content": THINK_TWICE}]
TWO_THOUGHTS_AND_CALLS = ["thinking", "thinking", "tool_use", "tool_use"]
USAGE = (141, 42)
"""Tokens in and out: 11 fresh, 100 read from and 30 written to the cache; 8 of the 42 thought."""


def tokens(usage) -> tuple[int, int]:
    return usage["prompt_tokens"], usage["completion_tokens"]


def test_a_whole_answer(client: Client, anthropic_requests):
    report = client.chat(model=MODEL, messages=MESSAGES, max_tokens=500)

    assert (report["text"], report["finish_reason"]) == (TEXT, "stop")
    assert tokens(report["usage"]) == USAGE
    assert report["usage"]["prompt_tokens_details"]["cached_tokens"] == 100
    [body] = anthropic_requests
    assert (body["model"], body["max_tokens"]) == ("claude-studio-5", 500)
    assert body["system"]


def test_a_stream_without_include_usage(client: Client, anthropic_requests):
    report = client.stream(model=MODEL, messages=MESSAGES)

    assert (report["text"], report["finish_reason"]) == (TEXT, "stop")
    assert all(chunk["choices"] for chunk in report["chunks"])
    assert not any(chunk.get("usage") for chunk in report["chunks"])


def test_a_stream_with_include_usage(client: Client, anthropic_requests):
    report = client.stream(model=MODEL, messages=MESSAGES, stream_options={"include_usage": True})

    assert report["text"] == TEXT
    assert tokens(report["usage"]) == USAGE
    assert report["chunks"][-1]["choices"] == []


@pytest.mark.parametrize("operation", ["tool_loop", "streamed_tool_loop"])
def test_a_tool_loop(client: Client, anthropic_requests, operation: str):
    report = getattr(client, operation)(**TWO_TURNS)

    assert report["text"] == "All 2 tools answered."
    first, second = anthropic_requests
    assert [tool["name"] for tool in first["tools"]] == ["weather", "daylight"]
    told = second["messages"][-1]["content"]
    assert [block["tool_use_id"] for block in told] == ["toolu_0", "toolu_1"]


def test_signed_thinking_goes_back_with_the_appended_message(sdk: Client, anthropic_requests):
    report = sdk.tool_loop(reasoning_effort="high", **TWO_TURNS)

    assert report["text"] == "All 2 tools answered."
    assert report["reasoning"] == "Turn 3: what would help here?"
    [thinking, *calls] = anthropic_requests[1]["messages"][-2]["content"]
    assert thinking["type"] == "thinking"
    assert thinking["signature"]
    assert [call["type"] for call in calls] == ["tool_use", "tool_use"]


def test_signed_thinking_goes_back_through_the_stream_helper(
    helper_client: Client, anthropic_requests
):
    report = helper_client.helped_tool_loop(reasoning_effort="high", **TWO_TURNS)

    assert report["text"] == "All 2 tools answered."


def test_several_blocks_of_thinking_go_back(sdk: Client, anthropic_requests):
    sdk.tool_loop(reasoning_effort="high", **{**TWO_TURNS, "messages": THINKING_TWICE})

    assert kinds_sent_back(anthropic_requests) == TWO_THOUGHTS_AND_CALLS


def test_several_blocks_of_thinking_go_back_through_the_stream_helper(
    helper_client: Client, anthropic_requests
):
    helper_client.helped_tool_loop(
        reasoning_effort="high", **{**TWO_TURNS, "messages": THINKING_TWICE}
    )

    assert kinds_sent_back(anthropic_requests) == TWO_THOUGHTS_AND_CALLS


def kinds_sent_back(requests) -> list[str]:
    return [block["type"] for block in requests[1]["messages"][-2]["content"]]


def test_a_streamed_loop_that_forgot_the_thinking_still_goes_on(client: Client, anthropic_requests):
    """Clients that put a stream together by hand know nothing of signatures."""
    report = client.streamed_tool_loop(reasoning_effort="high", **TWO_TURNS)

    assert report["text"] == "All 2 tools answered."


def test_arguments_arrive_as_json(client: Client, anthropic_requests):
    for report in (
        client.chat(model=MODEL, messages=MESSAGES, tools=TOOLS),
        client.stream(model=MODEL, messages=MESSAGES, tools=TOOLS),
    ):
        assert report["finish_reason"] == "tool_calls"
        arguments = [json.loads(call["arguments"]) for call in report["calls"]]
        assert arguments == [{"city": "上海", "number": 0}, {"city": "上海", "number": 1}]


def test_what_claude_cannot_carry_is_named_in_a_header(client: Client, anthropic_requests):
    report = client.chat(model=MODEL, messages=MESSAGES, seed=7, temperature=0.2)

    assert "seed" in report["headers"]["x-daobo-warning"]
    assert "temperature" in report["headers"]["x-daobo-warning"]
