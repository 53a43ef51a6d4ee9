"""Every client chats: whole and streamed, with usage asked for and not, with what models add."""

import json

from tests.fakes.openai_upstream import HEADERS, TEXT, OpenAIUpstream, Say
from tests.fakes.openai_wire import USAGE

from .drivers import Client
from .gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "写一个短剧开场 🎬"}]


def test_a_whole_answer_comes_back_as_the_upstream_gave_it(client: Client, upstream):
    report = client.chat(model="studio-writer", messages=MESSAGES)

    assert report["text"] == TEXT
    assert report["finish_reason"] == "stop"
    assert report["usage"] == USAGE


def test_the_upstream_is_sent_what_the_client_said(client: Client, upstream: OpenAIUpstream):
    client.chat(model="studio-writer", messages=MESSAGES, temperature=0.3, seed=7, max_tokens=99)

    [received] = upstream.received
    assert received.body == {
        "model": "studio-writer-1",
        "messages": MESSAGES,
        "temperature": 0.3,
        "seed": 7,
        "max_tokens": 99,
    }


def test_a_stream_adds_up_to_the_same_answer(client: Client, upstream):
    report = client.stream(model="studio-writer", messages=MESSAGES)

    assert report["text"] == TEXT
    assert report["finish_reason"] == "stop"
    assert len(report["chunks"]) > 3


def test_a_stream_without_include_usage_carries_no_usage_chunk(client: Client, upstream):
    report = client.stream(model="studio-writer", messages=MESSAGES)

    assert all(chunk["choices"] for chunk in report["chunks"])
    assert not any(chunk.get("usage") for chunk in report["chunks"])


def test_the_upstream_is_asked_for_usage_all_the_same(
    client: Client, upstream: OpenAIUpstream, gateway: GatewayProcess
):
    report = client.stream(model="studio-writer", messages=MESSAGES)

    assert upstream.received[0].body["stream_options"] == {"include_usage": True}
    logged = gateway.logged(report["request_id"])
    assert logged["tokens"] == {"input": 15, "cache_read": 4, "output": 10, "reasoning": 2}


def test_a_stream_with_include_usage_ends_with_the_usage(client: Client, upstream):
    report = client.stream(
        model="studio-writer", messages=MESSAGES, stream_options={"include_usage": True}
    )

    assert report["usage"] == USAGE
    assert report["chunks"][-1]["choices"] == []
    assert not any(chunk.get("usage") for chunk in report["chunks"][:-1])


def test_thinking_comes_beside_the_answer(client: Client, upstream: OpenAIUpstream):
    upstream.script(Say("好。", reasoning="先想画面。"), Say("好。", reasoning="先想画面。"))

    for report in (
        client.chat(model="studio-writer", messages=MESSAGES),
        client.stream(model="studio-writer", messages=MESSAGES),
    ):
        assert (report["reasoning"], report["text"]) == ("先想画面。", "好。")


def test_pictures_and_unknown_fields_travel_untouched(client: Client, upstream: OpenAIUpstream):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "画面里是谁？"}, picture]}]
    unknown = {"top_k": 40, "safe_prompt": {"level": "影视"}}

    client.chat(model="studio-writer", messages=messages, extra_body=unknown)

    [received] = upstream.received
    assert received.body == {"model": "studio-writer-1", "messages": messages, **unknown}


def test_structured_output_arrives_as_json(client: Client, upstream: OpenAIUpstream):
    upstream.script(Say('{"title": "雨夜", "episodes": 80}'))
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "show", "schema": schema}}

    report = client.chat(model="studio-writer", messages=MESSAGES, response_format=response_format)

    assert json.loads(report["text"]) == {"title": "雨夜", "episodes": 80}
    assert upstream.received[0].body["response_format"] == response_format


def test_the_request_id_is_the_gateways_and_leads_to_its_log(
    client: Client, upstream, gateway: GatewayProcess
):
    for report in (
        client.chat(model="studio-writer", messages=MESSAGES),
        client.stream(model="studio-writer", messages=MESSAGES),
    ):
        assert report["request_id"] == report["headers"]["x-request-id"]
        assert report["request_id"] != HEADERS["x-request-id"]
        assert gateway.logged(report["request_id"])["outcome"] == "ok"
