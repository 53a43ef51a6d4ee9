"""What a wrong request is told: the status, the code, and words that help."""

import asyncio
import gzip
import zlib

import orjson
import pytest
from yarl import URL

from .conftest import CUT, KEY

CHAT = {"model": "writer", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the body is empty"),
        (b"{", "not valid JSON"),
        (b'{"model": NaN}', "not valid JSON at model:"),
        (b'{"a": 1, "b": [{"c": Infinity}]}', "not valid JSON at b[0].c:"),
        (b'{"a": [{}, {"b": -1e999}]}', "not valid JSON at a[1].b:"),
        (b'{"model": "writer"} {}', "not valid JSON"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        (b'{"model": "\xff"}', "not valid JSON at model: byte 11 is not UTF-8"),
        (b"[1]", "JSON array; an object is expected"),
        (b'{"model": "a", "model": "b"}', "'model' stands twice"),
        (b'{"a": [{"b": 1, "c": 2, "b": 3}]}', "'b' stands twice in a[0]"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested too deeply at a.a.a"),
        (b"[" * 5000, "not valid JSON at [0][0]"),
    ],
)
async def test_a_body_that_is_no_clean_json_object_is_a_400(house, raw, words):
    status, error = await house.refusal(data=raw)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": "x"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
            "messages[0].content[0].text",
        ),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": True}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools"),
        ({"metadata": "x"}, "metadata"),
        ({"response_format": "json"}, "response_format"),
        ({"stream_options": []}, "stream_options"),
        ({"metadata": {"task": "no-such-task"}}, "metadata.task"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(house, change, param):
    status, error = await house.refusal(json={**CHAT, **change})
    assert (status, error["param"]) == (400, param)


@pytest.mark.parametrize("field", ["metadata", "stream_options"])
@pytest.mark.parametrize("value", ["x", 7, [1]])
async def test_embeddings_name_a_field_of_the_wrong_type_too(house, field, value):
    body = {"model": "writer", "input": "x", field: value}
    status, error = await house.refusal("/v1/embeddings", json=body)
    assert (status, error["param"]) == (400, field)


@pytest.mark.parametrize("most", [2**53, 2**63, 2**64 - 1])
async def test_a_count_beyond_what_json_numbers_can_tell_is_refused(house, most):
    status, error = await house.refusal(json={**CHAT, "max_tokens": most})
    assert (status, error["param"]) == (400, "max_tokens")


PACKED = gzip.compress(b'{"model": "writer", "messages": []}', mtime=0)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", b"no gzip at all"),
        ("gzip", PACKED[:-9]),
        ("gzip", PACKED + b"rubbish"),
        ("deflate", PACKED),
        ("deflate", zlib.compress(b"{}")[:-1]),
        ("br", PACKED),
    ],
    ids=["no gzip", "cut", "with a tail", "no deflate", "deflate cut", "another coding"],
)
async def test_a_body_that_cannot_be_unpacked_is_a_400(house, coding, data):
    headers = {"Content-Encoding": coding}
    status, error = await house.refusal(data=data, headers=headers)
    assert "content-encoding" in error["message"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert len(house.records) == 1


async def test_a_body_that_is_too_large_once_it_is_unpacked_is_a_413(house):
    house.set_server(max_body_bytes=1000)
    packed = gzip.compress(b" " * 1001)
    status, error = await house.refusal(data=packed, headers={"Content-Encoding": "gzip"})
    assert (status, error["code"]) == (413, "request_too_large")


async def test_a_body_that_stops_coming_is_a_408(house):
    house.set_server(body_timeout_s=0.05)

    async def stalls():
        yield b'{"model":'
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        status, error = await house.refusal(data=stalls())
    assert (status, error["code"]) == (408, "request_timeout")


EXPECTING = "POST /v1/chat/completions HTTP/1.%d\r\nHost: x\r\nContent-Length: 2\r\n%s\r\n"
ASKS = "Expect: 100-continue\r\n"
KNOWN = f"Authorization: Bearer {KEY}\r\n"


async def first_head(house, head):
    """The first thing that is said to a client that has not sent its body."""
    reader, writer = await asyncio.open_connection(*house.address)
    writer.write(head.encode())
    async with asyncio.timeout(30):
        told = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return told


async def test_a_body_is_asked_for_once_it_is_known_that_it_will_be_read(house):
    told = await first_head(house, EXPECTING % (1, KNOWN + ASKS))
    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_client_of_http_1_0_is_not_asked_for_its_body(house):
    house.set_server(body_timeout_s=0.05)
    told = await first_head(house, EXPECTING % (0, KNOWN + ASKS))
    assert told.startswith(b"HTTP/1.1 408 ")


async def test_a_refusal_in_place_of_the_word_to_go_on_ends_the_connection(house):
    told = await first_head(house, EXPECTING % (1, ASKS))
    assert told.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in told


async def test_a_path_with_a_line_break_in_it_gets_the_404_of_all_unknown_paths(house):
    status, error = await house.refusal(URL(f"{house.url}/v1/a%0d%0ab", encoded=True))
    assert (status, error["code"]) == (404, "unknown_url")


async def test_an_empty_list_is_called_empty(house):
    _, error = await house.refusal(json={**CHAT, "messages": []})
    assert error["message"] == "messages must be a non-empty list, not an empty array"


async def test_an_unknown_model_gets_a_404_with_near_names(house):
    status, error = await house.refusal(json={**CHAT, "model": "writr"})
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "Did you mean writer" in error["message"]


async def test_an_unknown_path_gets_a_404_with_the_right_base_url(house):
    status, error = await house.refusal("/v1/chat/completion", json=CHAT)
    assert (status, error["code"]) == (404, "unknown_url")
    assert f"{house.url}/v1" in error["message"]


async def test_a_wrong_method_gets_a_405_that_names_the_right_one(house):
    async with house.session.get(f"{house.url}/v1/chat/completions") as response:
        assert response.status == 405
        assert "POST" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "no API key was sent"),
        ({"Authorization": "sk-door-test"}, "put 'Bearer ' before the key"),
        ({"Authorization": "Basic c2s6"}, "must be 'Bearer <key>'"),
        ({"Authorization": "Bearer sk-wrong"}, "not known here"),
        ({"api-key": "sk-wrong"}, "not known here"),
    ],
)
async def test_a_call_without_a_valid_key_gets_a_401_that_does_not_repeat_it(house, header, words):
    async with house.session.post(
        f"{house.url}/v1/chat/completions", json=CHAT, headers=header
    ) as response:
        text = await response.text()
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert words in text
    assert "sk-wrong" not in text
    assert "sk-door-test" not in text


async def test_a_chat_with_an_image_model_is_a_400_before_anything_is_sent(house):
    status, error = await house.refusal(json={**CHAT, "model": "painter"})
    assert (status, error["code"]) == (400, "unsupported_capability")
    assert "painter-1 cannot do chat" in error["message"]
    assert house.upstream.requests == []


async def test_a_need_that_the_model_lacks_names_models_that_have_it(house):
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    status, error = await house.refusal(
        json={**CHAT, "messages": [{"role": "user", "content": parts}]}
    )
    assert (status, error["code"]) == (400, "unsupported_capability")
    assert "cannot do vision" in error["message"]
    assert "seer" in error["message"]


async def test_a_prompt_beyond_the_window_is_a_400_with_both_counts(house):
    long = {**CHAT, "messages": [{"role": "user", "content": "雨" * 3000}]}
    status, error = await house.refusal(json=long)
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "takes 1000 tokens, the call has 3454 there" in error["message"]
    assert "takes 1000 tokens" in error["message"]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_an_oversized_body_is_a_413(house, announced):
    body = orjson.dumps({**CHAT, "pad": "x" * 30_000})

    async def pieces():
        yield body

    status, error = await house.refusal(data=body if announced else pieces())
    assert (status, error["code"]) == (413, "request_too_large")
    assert "20000 bytes" in error["message"]


async def test_an_upstream_that_is_down_is_a_502_that_says_what_was_tried(house):
    status, error = await house.refusal(json={**CHAT, "model": "lost"})
    assert (status, error["code"]) == (502, "upstream_unreachable")
    assert "nowhere/lost-1" in error["message"]


async def test_every_refusal_leaves_one_record(house):
    for change in ({"model": "no-such"}, {"messages": 7}, {"model": "lost"}):
        await house.refusal(json={**CHAT, **change})
    labels = [record.outcome.label for record in house.records]
    assert labels == ["unknown_model", "invalid_request", "upstream_unreachable"]


async def test_a_stream_that_is_cut_ends_in_an_error_event_and_no_done(house):
    delta = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
    house.upstream.script = [head + delta, CUT]
    async with house.post(json={**CHAT, "model": "seer", "stream": True}) as response:
        body = await response.read()
    assert body.startswith(delta)
    *_, last = [line for line in body.splitlines() if line.startswith(b"data: ")]
    assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_cut"
    assert b"[DONE]" not in body
