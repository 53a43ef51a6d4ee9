"""What the upstream is sent, and what the client gets, on the wire."""

import orjson
import pytest

CHAT = {"model": "writer", "messages": [{"role": "user", "content": "雨"}]}
ANSWER = (
    b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"\xe9\x9b\xa8"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,'
    b'"completion_tokens":500,"total_tokens":1500},"field_nobody_knows":[1, 2]}'
)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)


def sent(house):
    """The last body that the upstream was sent."""
    return orjson.loads(house.upstream.requests[-1].partition(b"\r\n\r\n")[2])


async def test_an_answer_is_relayed_byte_for_byte(house):
    house.upstream.script = [REPLY]
    async with house.post(json=CHAT) as response:
        assert await response.read() == ANSWER


async def test_headers_say_where_the_answer_came_from_and_what_it_cost(house):
    house.upstream.script = [REPLY]
    async with house.post(json={**CHAT, "model": "draft"}) as response:
        told = {k: v for k, v in response.headers.items() if k.startswith("x-daobo")}
    # 1,000 input tokens at $1 and 500 output tokens at $2 for a million: $0.002
    assert told == {
        "x-daobo-model": "writer-1",
        "x-daobo-provider": "wire",
        "x-daobo-route": "task",
        "x-daobo-task": "draft",
        "x-daobo-attempts": "2",
        "x-daobo-cost": "0.002000000",
        "x-daobo-currency": "USD",
    }
    [record] = house.records
    labels = [attempt.outcome.label for attempt in record.attempts]
    assert labels == ["upstream_unreachable", "ok"]


async def test_fields_that_the_gateway_does_not_know_travel_untouched(house):
    house.upstream.script = [REPLY]
    async with house.post(json={**CHAT, "top_k": 7, "nested": {"a": [1.5, None]}}):
        pass
    assert sent(house) == {**CHAT, "model": "writer-1", "top_k": 7, "nested": {"a": [1.5, None]}}


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 100), (40, 40), (5000, 100)], ids=["nothing", "less", "more"]
)
async def test_a_tasks_cap_is_sent_upstream_and_a_client_may_only_ask_for_less(house, asked, given):
    house.upstream.script = [REPLY]
    body = {**CHAT, "model": "draft"} | ({"max_tokens": asked} if asked else {})
    async with house.post(json=body) as response:
        warning = response.headers.get("x-daobo-warning")
    assert sent(house)["max_tokens"] == given
    assert (warning is not None) == (asked == 5000)


@pytest.mark.parametrize(
    ("metadata", "left"),
    [
        ({"task": "draft", "scene": "3"}, None),
        ({"task": "draft", "crew": "b"}, {"crew": "b"}),
        ({"crew": "b"}, {"crew": "b"}),
    ],
)
async def test_metadata_meant_for_the_gateway_stays_with_it(house, metadata, left):
    house.upstream.script = [REPLY]
    async with house.post(json={**CHAT, "metadata": metadata}) as response:
        assert response.status == 200
    assert sent(house).get("metadata") == left


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/v1//chat/completions/",
        "/p/moon/v1/chat/completions",
        "/openai/deployments/writer/chat/completions?api-version=2025-04-01-preview",
        "/v1/openai/deployments/writer/chat/completions",
        "/openai/v1/chat/completions",
    ],
)
async def test_every_way_to_spell_the_path_reaches_the_endpoint(house, path):
    house.upstream.script = [REPLY]
    async with house.post(path, json=CHAT) as response:
        assert response.status == 200
    assert house.records[-1].caller.project == ("moon" if "moon" in path else None)


async def test_the_gateways_words_in_headers_place_the_call(house):
    house.upstream.script = [REPLY]
    headers = {"X-Daobo-Project": "moon", "X-Daobo-Task": "draft"}
    async with house.post(json={**CHAT, "user": "lin"}, headers=headers) as response:
        assert response.headers["x-daobo-route"] == "model"
        assert response.headers["x-daobo-task"] == "draft"
    caller = house.records[-1].caller
    assert (caller.project, caller.user) == ("moon", "lin")


async def test_health_needs_no_key(house):
    for path in ("/healthz", "/readyz"):
        async with house.session.get(house.url + path) as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
