"""However a client spells its base URL, and whatever it calls a model, the call finds its way."""

import pytest

from tests.fakes.openai_upstream import TEXT, OpenAIUpstream

from .curl import curl
from .drivers import Client, ClientError
from .gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "写一个短剧开场"}]


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "", "/", "/v1/v1", "/p/neon-nights/v1", "/p/neon-nights/v1/", "/p/neon-nights"],
)
def test_a_base_url_may_be_spelt_in_many_ways(base_url_client: Client, upstream, path: str):
    report = base_url_client.chat({"path": path}, model="studio-writer", messages=MESSAGES)

    assert report["text"] == TEXT


def test_the_project_in_the_base_url_is_the_calls_project(
    base_url_client: Client, upstream, gateway: GatewayProcess
):
    options = {"path": "/p/neon-nights/v1"}

    report = base_url_client.stream(options, model="studio-writer", messages=MESSAGES)

    assert gateway.logged(report["request_id"])["project"] == "neon-nights"


@pytest.mark.parametrize(
    ("headers", "metadata"),
    [({"X-Daobo-Project": "neon-nights"}, {}), ({}, {"project": "neon-nights"})],
    ids=["header", "metadata"],
)
def test_the_project_may_come_by_header_or_metadata(
    client: Client, upstream, gateway: GatewayProcess, headers, metadata
):
    report = client.chat(
        {"headers": headers}, model="studio-writer", messages=MESSAGES, metadata=metadata
    )

    assert gateway.logged(report["request_id"])["project"] == "neon-nights"


def test_a_task_stands_where_a_model_does(client: Client, upstream: OpenAIUpstream):
    report = client.chat(model="draft", messages=MESSAGES)

    headers = report["headers"]
    assert headers["x-daobo-route"] == "task"
    assert headers["x-daobo-task"] == "draft"
    assert headers["x-daobo-model"] == "studio-writer-1"
    assert headers["x-daobo-provider"] == "fake"
    assert upstream.received[0].body["model"] == "studio-writer-1"
    assert upstream.received[0].body["temperature"] == 0.9
    assert upstream.received[0].body["max_tokens"] == 2048


def test_a_client_may_ask_for_less_than_its_task_allows_but_not_for_more(
    client: Client, upstream: OpenAIUpstream
):
    client.chat(model="draft", messages=MESSAGES, max_tokens=100, temperature=0)
    report = client.chat(model="draft", messages=MESSAGES, max_completion_tokens=9999)

    modest, greedy = (received.body for received in upstream.received)
    assert (modest["max_tokens"], modest["temperature"]) == (100, 0)
    assert greedy["max_tokens"] == 2048
    assert "9999" in report["headers"]["x-daobo-warning"]


@pytest.mark.parametrize(
    ("headers", "metadata", "route"),
    [
        ({"X-Daobo-Task": "review"}, {}, "auto-header"),
        ({}, {"task": "review"}, "auto-metadata"),
        ({"X-Daobo-Task": "review"}, {"task": "draft"}, "auto-header"),
    ],
    ids=["header", "metadata", "header-before-metadata"],
)
def test_auto_goes_by_the_declared_task(
    client: Client, upstream: OpenAIUpstream, headers, metadata, route: str
):
    report = client.chat({"headers": headers}, model="auto", messages=MESSAGES, metadata=metadata)

    assert report["headers"]["x-daobo-route"] == route
    assert report["headers"]["x-daobo-task"] == "review"
    assert upstream.received[0].body["model"] == "studio-reviewer-1"


def test_auto_without_a_declared_task_says_how_sure_it_is(client: Client, upstream):
    messages = [{"role": "user", "content": "请写出第一集的初稿，主角是一位便利店店员。"}]

    report = client.chat(model="auto", messages=messages)

    assert report["headers"]["x-daobo-route"] in ("auto-classifier", "auto-default")
    assert 0 <= float(report["headers"]["x-daobo-task-confidence"]) <= 1


def test_a_model_is_honoured_whatever_task_stands_beside_it(
    client: Client, upstream: OpenAIUpstream
):
    report = client.chat(
        {"headers": {"X-Daobo-Task": "draft"}}, model="studio-reviewer", messages=MESSAGES
    )

    assert report["headers"]["x-daobo-route"] == "model"
    assert report["headers"]["x-daobo-task"] == "draft"
    assert upstream.received[0].body["model"] == "studio-reviewer-1"
    assert upstream.received[0].body["max_tokens"] == 2048


def test_an_unknown_task_is_refused_and_the_known_ones_are_named(client: Client, upstream):
    with pytest.raises(ClientError) as caught:
        client.chat({"headers": {"X-Daobo-Task": "drafts"}}, model="auto", messages=MESSAGES)

    assert caught.value.status == 400
    assert "draft, review" in caught.value.message


def test_a_target_may_be_pinned(base_url_client: Client, upstream: OpenAIUpstream):
    report = base_url_client.chat(model="fake/studio-writer-1", messages=MESSAGES)

    assert report["headers"]["x-daobo-route"] == "target"
    assert upstream.received[0].body["model"] == "studio-writer-1"


def test_the_price_of_an_answer_is_in_its_headers(client: Client, upstream):
    report = client.chat(model="studio-writer", messages=MESSAGES)

    # 15 fresh tokens at 1.00, 4 cached at 0.10, 12 written at 4.00 for a million
    assert report["headers"]["x-daobo-cost"] == "0.000063400"
    assert report["headers"]["x-daobo-currency"] == "USD"


def test_the_price_of_a_stream_is_its_last_comment(gateway: GatewayProcess, upstream):
    body = {"model": "studio-writer", "messages": MESSAGES, "stream": True}

    reply = curl(f"{gateway.root}/v1/chat/completions", gateway.key, body)

    assert reply.body.endswith(b"\n\n: cost 0.000063400 USD\n\ndata: [DONE]\n\n")


def test_an_answer_of_the_stand_in_says_so(client: Client, upstream):
    report = client.chat(model="rehearsed", messages=MESSAGES)

    assert report["text"]
    assert report["headers"]["x-daobo-rehearsal"] == "true"
    assert report["headers"]["x-daobo-attempts"] == "2"
    assert report["headers"]["x-daobo-cost"] == "0.000000000"


def test_openais_own_models_are_sent_their_own_name_of_the_cap(
    client: Client, upstream: OpenAIUpstream
):
    client.chat(model="gpt-studio", messages=MESSAGES, max_tokens=64)

    assert upstream.received[0].body["max_completion_tokens"] == 64
    assert "max_tokens" not in upstream.received[0].body
