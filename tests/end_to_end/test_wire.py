"""What is on the wire, read with curl: heads, events, errors, and clients of the odd sort."""

import json

import pytest

from tests.fakes.openai_upstream import TEXT, Cut, Hold, OpenAIUpstream, Refuse

from .curl import connections_made, curl, events_of
from .gateway_process import GatewayProcess

CHAT = "/v1/chat/completions"
BODY = {"model": "studio-writer", "messages": [{"role": "user", "content": "写一个短剧开场"}]}
STREAM = {**BODY, "stream": True}


def test_a_stream_is_events_that_end_with_done(gateway: GatewayProcess, upstream):
    reply = curl(gateway.root + CHAT, gateway.key, STREAM)

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in reply.headers
    *events, last = events_of(reply.body)
    assert last == b"[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == TEXT


@pytest.mark.parametrize("trouble", [Cut(3), Cut(3, orderly=True)], ids=["lost", "unfinished"])
def test_a_broken_stream_ends_with_an_error_and_without_done(
    gateway: GatewayProcess, upstream: OpenAIUpstream, trouble: Cut
):
    upstream.script(trouble)

    reply = curl(gateway.root + CHAT, gateway.key, STREAM)

    *_, last = events_of(reply.body)
    assert json.loads(last)["error"]["code"] == "upstream_cut"
    assert b"[DONE]" not in reply.body
    assert not reply.cut


def test_http_1_0_gets_its_stream_too(gateway: GatewayProcess, upstream):
    reply = curl(gateway.root + CHAT, gateway.key, STREAM, "--http1.0")

    assert "transfer-encoding" not in reply.headers
    assert events_of(reply.body)[-1] == b"[DONE]"


@pytest.mark.parametrize("name", ["api-key", "x-api-key", "x-goog-api-key"])
def test_the_key_may_come_in_the_header_of_other_vendors(
    gateway: GatewayProcess, upstream, name: str
):
    reply = curl(gateway.root + CHAT, None, BODY, "-H", f"{name}: {gateway.key}")

    assert reply.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments/studio-writer/chat/completions?api-version=2025-04-01-preview",
        "/v1/openai/deployments/studio-writer/chat/completions?api-version=2025-04-01-preview",
        "/p/neon-nights/openai/deployments/studio-writer/chat/completions?api-version=1",
        "/openai/v1/chat/completions?api-version=preview",
    ],
)
def test_azures_paths_lead_to_the_same_place(
    gateway: GatewayProcess, upstream: OpenAIUpstream, path: str
):
    reply = curl(gateway.root + path, None, BODY, "-H", f"api-key: {gateway.key}")

    assert reply.status == 200
    assert upstream.received[0].body["model"] == "studio-writer-1"


def test_without_a_key_the_answer_says_how_to_send_one(gateway: GatewayProcess):
    reply = curl(gateway.root + CHAT, None, BODY)

    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in reply.json()["error"]["message"]


def test_an_error_has_the_openai_shape_and_nothing_else(gateway: GatewayProcess):
    reply = curl(gateway.root + CHAT, gateway.key, {**BODY, "model": "studio-wrter"})

    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-daobo-error-source"] == "gateway"
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["x-request-id"].startswith("req_")
    assert list(reply.json()) == ["error"]
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_a_limit_says_when_to_come_back_and_leaves_the_retry_to_the_client(
    gateway: GatewayProcess, upstream: OpenAIUpstream
):
    upstream.script(Refuse(429, headers={"retry-after": "2"}))

    reply = curl(gateway.root + CHAT, gateway.key, BODY)

    assert reply.status == 429
    assert reply.headers["retry-after-ms"] == "2000"
    assert 2 <= int(reply.headers["retry-after"]) <= 3
    assert "x-should-retry" not in reply.headers
    assert reply.headers["x-daobo-error-source"] == "upstream"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b'{"model": "studio-writer", ', "not valid JSON"),
        (b'["studio-writer"]', "array"),
        (b'{"model": "draft", "model": "review", "messages": []}', "twice"),
        (b'{"model": "studio-writer", "messages": [{"role": "user", "content": 7}]}', "content"),
    ],
)
def test_a_body_that_makes_no_sense_is_told_why(gateway: GatewayProcess, body: bytes, says: str):
    reply = curl(gateway.root + CHAT, gateway.key, body)

    assert reply.status == 400
    assert says in reply.json()["error"]["message"]


def test_a_wrong_method_is_told_the_right_one(gateway: GatewayProcess):
    reply = curl(gateway.root + CHAT, gateway.key)

    assert reply.status == 405
    assert "POST" in reply.json()["error"]["message"]


def test_an_unknown_path_is_told_what_there_is(gateway: GatewayProcess):
    reply = curl(f"{gateway.root}/v1/assistants", gateway.key)

    assert reply.status == 404
    assert f"{gateway.root}/v1" in reply.json()["error"]["message"]
    assert "POST /v1/chat/completions" in reply.json()["error"]["message"]


def test_a_body_sent_in_chunks_is_understood(gateway: GatewayProcess, upstream):
    reply = curl(gateway.root + CHAT, gateway.key, BODY, "-H", "Transfer-Encoding: chunked")

    assert reply.json()["choices"][0]["message"]["content"] == TEXT


def test_a_long_script_comes_through_whole(gateway: GatewayProcess, upstream: OpenAIUpstream):
    script = "第1场 夜 便利店 🎬\n" * 60_000
    messages = [{"role": "user", "content": script}]

    reply = curl(gateway.root + CHAT, gateway.key, {"model": "gpt-studio", "messages": messages})

    assert reply.status == 200
    assert upstream.received[0].body["messages"] == messages


@pytest.mark.parametrize(
    "body", [BODY, STREAM, {**BODY, "model": "studio-wrter"}], ids=["whole", "streamed", "error"]
)
def test_the_connection_is_kept_for_the_next_request(gateway: GatewayProcess, upstream, body):
    url = gateway.root + CHAT

    assert connections_made(url, url, key=gateway.key, body=body) == [1, 0]


def test_health_and_metrics_need_no_key(gateway: GatewayProcess, upstream):
    assert curl(f"{gateway.root}/healthz", None).status == 200
    assert curl(f"{gateway.root}/readyz", None).status == 200
    assert curl(f"{gateway.admin_root}/healthz", None).status == 200
    metrics = curl(f"{gateway.admin_root}/metrics", None)
    assert metrics.status == 200
    assert metrics.headers["content-type"].startswith("text/plain")


def test_metrics_are_not_on_the_clients_listener(gateway: GatewayProcess):
    assert curl(f"{gateway.root}/metrics", gateway.key).status == 404


def test_a_client_that_hangs_up_is_noticed_and_logged(
    gateway: GatewayProcess, upstream: OpenAIUpstream
):
    silence = Hold(3)
    upstream.script(silence)
    try:
        reply = curl(gateway.root + CHAT, gateway.key, STREAM, "--max-time", "0.5")
        assert reply.cut
        logged = gateway.logged(reply.headers["x-request-id"])
    finally:
        silence.release.set()

    assert logged["outcome"] == "client_gone"
    assert logged["tokens_estimated"] is True
    assert logged["tokens"]["output"] > 0
