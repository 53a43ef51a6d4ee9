"""OpenAI clients talk to Gemini: text, streams, and tool loops whose signatures must come back.

The upstream refuses a tool loop whose call lost its thought signature, as the real API does; what
it lets pass is the vendor's own word for a signature that nobody has.
"""

import pytest

from tests.plugins.fake_gemini import SIGNATURE

from .drivers import Client

MODEL = "gemini-studio"
TEXT = "Cut to camera two."
MESSAGES = [
    {"role": "system", "content": "你是短剧编剧。"},
    {"role": "user", "content": "上海外景那三天天气如何？"},
]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("weather", "daylight")
]
RESULTS = {"weather": '{"sky": "rain"}', "daylight": '{"hours": 10}'}
TWO_TURNS = {"model": MODEL, "messages": MESSAGES, "tools": TOOLS, "results": RESULTS}
PROMPT_TOKENS = 12
"""One for each character of the user's message."""
COMPLETION_TOKENS = 22
"""One for each character of the answer, four for the signed part that has none."""


def test_a_whole_answer(client: Client, gemini_requests):
    report = client.chat(model=MODEL, messages=MESSAGES)

    assert (report["text"], report["finish_reason"]) == (TEXT, "stop")
    assert report["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert report["usage"]["completion_tokens"] == COMPLETION_TOKENS
    [body] = gemini_requests
    assert body.system_instruction.parts[0].text == "你是短剧编剧。"


def test_a_stream_without_include_usage(client: Client, gemini_requests):
    report = client.stream(model=MODEL, messages=MESSAGES)

    assert (report["text"], report["finish_reason"]) == (TEXT, "stop")
    assert all(chunk["choices"] for chunk in report["chunks"])
    assert not any(chunk.get("usage") for chunk in report["chunks"])


def test_a_stream_with_include_usage(client: Client, gemini_requests):
    report = client.stream(model=MODEL, messages=MESSAGES, stream_options={"include_usage": True})

    assert report["text"] == TEXT
    assert report["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert report["usage"]["completion_tokens"] == COMPLETION_TOKENS


def test_thoughts_are_kept_apart_and_counted(client: Client, gemini_requests):
    report = client.chat(model=MODEL, messages=MESSAGES, reasoning_effort="high")

    assert report["text"] == TEXT
    assert report["reasoning"] == "What would a director say?"
    details = report["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] == len(report["reasoning"])


@pytest.mark.parametrize("operation", ["tool_loop", "streamed_tool_loop"])
def test_a_tool_loop(client: Client, gemini_requests, operation: str):
    report = getattr(client, operation)(**TWO_TURNS)

    assert report["text"] == 'The tools say [{"sky": "rain"}, {"hours": 10}].'
    assert len(gemini_requests) == 2


def test_the_signature_goes_back_with_the_appended_message(sdk: Client, gemini_requests):
    sdk.tool_loop(**TWO_TURNS)

    signed, *unsigned = gemini_requests[1].contents[-2].parts
    assert signed.thought_signature == SIGNATURE
    assert [part.thought_signature for part in unsigned] == [None]


def test_the_signature_goes_back_through_the_stream_helper(helper_client: Client, gemini_requests):
    helper_client.helped_tool_loop(**TWO_TURNS)

    assert gemini_requests[1].contents[-2].parts[0].thought_signature == SIGNATURE


def test_embeddings_follow_the_asked_dimensions(client: Client, gemini_requests):
    report = client.embed(
        model="gemini-embedding", input=["雨夜", "便利店"], dimensions=4, encoding_format="float"
    )

    assert report["vectors"] == [[2.0, 1.0, 2 / 3, 0.5], [3.0, 1.5, 1.0, 0.75]]
