"""An upstream's nonsense is the upstream's fault: a 502 that says so, never the gateway's 500."""

import orjson
import pytest

from gateway.errors import Outcome

from .conftest import CUT

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHAT = {"model": "seer", "messages": [{"role": "user", "content": "x"}]}
NO_CHOICES = [7, {"a": 1}, [1], [None], ["x"]]


def answer(body, status=b"200 OK"):
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status, len(raw), raw,
    )  # fmt: skip


def chunk(event):
    data = b"data: " + orjson.dumps(event) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("choices", NO_CHOICES)
async def test_choices_that_are_none_are_garbled_in_an_answer(house, choices):
    house.upstream.script = [answer({"choices": choices})]
    status, error = await house.refusal(json=CHAT)
    assert (status, error["code"]) == (502, "upstream_garbled")


@pytest.mark.parametrize("choices", NO_CHOICES)
async def test_choices_that_are_none_are_garbled_in_a_stream(house, choices):
    house.upstream.script = [HEAD, chunk({"choices": choices, "usage": {"total_tokens": 1}})]
    status, error = await house.refusal(json={**CHAT, "stream": True})
    assert (status, error["code"]) == (502, "upstream_garbled")


@pytest.mark.parametrize("vector", [["x"], [None], [1e300], [[1.0]]])
async def test_an_embedding_that_is_no_list_of_floats_is_garbled(house, vector):
    house.upstream.script = [answer({"data": [{"embedding": vector}]})]
    body = {"model": "gauge", "input": "x", "encoding_format": "base64"}
    status, error = await house.refusal("/v1/embeddings", json=body)
    assert (status, error["code"]) == (502, "upstream_garbled")


@pytest.mark.parametrize("code", ["²", "9" * 5000, "4000", {"a": 1}])
async def test_an_error_code_that_is_no_status_is_not_read_as_one(house, code):
    house.upstream.script = [answer({"error": {"message": "m", "code": code}})]
    status, error = await house.refusal(json=CHAT)
    assert (status, error["code"]) == (502, "upstream_failed")


async def test_an_error_page_of_any_size_keeps_its_status(house):
    house.upstream.script = [answer(b"x" * 100_000, b"429 Too Many Requests")]
    status, error = await house.refusal(json=CHAT)
    assert (status, error["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": "7"}])
async def test_a_usage_without_a_single_count_is_estimated_like_none(house, usage):
    event = {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
    house.upstream.script = [HEAD, chunk(event), b"0\r\n\r\n"]
    async with house.post(json={**CHAT, "stream": True}) as response:
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    [record] = house.records
    assert record.outcome is Outcome.OK
    assert record.usage.estimated
    assert record.usage.output_tokens


async def test_how_a_failed_attempt_ended_says_nothing_of_the_next(house):
    said = {"choices": [{"index": 0, "delta": {"content": "Rain"}, "finish_reason": None}]}
    said["usage"] = {"prompt_tokens": 5, "completion_tokens": 1}
    ended = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    failed = {"error": {"message": "the model is gone", "code": 500}}
    first = [HEAD + chunk(ended) + chunk(failed), CUT]
    second = [HEAD, chunk(said), b"0\r\n\r\n", CUT]
    house.upstream.script = iter([*first, *second])
    async with house.post(json={**CHAT, "model": "twins", "stream": True}) as response:
        answer = await response.text()
    assert "Rain" in answer
    assert "[DONE]" not in answer
    (record,) = house.records
    failed, cut = record.attempts
    assert (failed.outcome, cut.outcome) == (Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CUT)
    assert cut.usage.estimated
