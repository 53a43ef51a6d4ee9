"""Failures reach the SDKs as the exceptions that their users catch, and are retried as they should.

``max_retries`` is 0 unless a test is about retries: then the number of upstream calls is counted.
"""

import pytest

from tests.fakes.openai_upstream import TEXT, Cut, FailInStream, Hold, OpenAIUpstream, Refuse, Send

from .drivers import Client, ClientError
from .gateway_process import GatewayProcess

MESSAGES = [{"role": "user", "content": "写一个短剧开场"}]
ATTEMPTS = 3
"""Of the gateway at a target that refuses in passing, before it tells its client."""
TWO_RETRIES = {"max_retries": 2}
SOON = {"retry-after-ms": "10"}
ERROR = b'{"error": {"message": "engine failure", "code": 500}}'


def failure_of(sdk: Client, options=None, streamed=False, **parameters) -> ClientError:
    parameters = {"model": "studio-writer", "messages": MESSAGES, **parameters}
    with pytest.raises(ClientError) as caught:
        sdk.stream(options, **parameters) if streamed else sdk.chat(options, **parameters)
    return caught.value


def test_an_unknown_key_is_an_authentication_error(sdk: Client, upstream: OpenAIUpstream):
    error = failure_of(sdk, {"api_key": "sk-nobody", **TWO_RETRIES})

    assert (error.name, error.status, error.code) == ("AuthenticationError", 401, "invalid_api_key")
    assert "sk-nobody" not in error.message
    assert upstream.received == []


def test_an_unknown_model_is_not_found_and_near_names_are_offered(sdk: Client, upstream):
    error = failure_of(sdk, model="studio-wrter")

    assert (error.name, error.status, error.code) == ("NotFoundError", 404, "model_not_found")
    assert "studio-writer" in error.message
    assert error.param == "model"


def test_a_wrong_base_url_is_told_the_right_one(base_url_client: Client, gateway: GatewayProcess):
    error = failure_of(base_url_client, {"path": "/api/v3"})

    assert error.name == "NotFoundError"
    assert f"{gateway.root}/v1" in error.message


def test_a_request_that_makes_no_sense_is_a_bad_request(sdk: Client, upstream: OpenAIUpstream):
    error = failure_of(sdk, messages=[])

    assert (error.name, error.status, error.param) == ("BadRequestError", 400, "messages")
    assert upstream.received == []


def test_what_the_model_cannot_do_is_a_bad_request(sdk: Client, upstream: OpenAIUpstream):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}

    error = failure_of(sdk, model="studio-reviewer", tools=[tool])

    assert (error.name, error.code) == ("BadRequestError", "unsupported_capability")
    assert "tools" in error.message
    assert upstream.received == []


@pytest.mark.parametrize("streamed", [False, True])
def test_what_the_upstream_rejects_is_a_bad_request_with_its_words(
    sdk: Client, upstream: OpenAIUpstream, streamed: bool
):
    upstream.script(
        Refuse(400, "seed is out of range", "invalid_request_error", "invalid_value", "seed")
    )

    error = failure_of(sdk, TWO_RETRIES, streamed, seed=1)

    assert (error.name, error.code, error.param) == ("BadRequestError", "invalid_value", "seed")
    assert "seed is out of range" in error.message
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(
            Refuse(400, "too long", "invalid_request_error", "context_length_exceeded", "messages"),
            id="openai",
        ),
        pytest.param(
            Refuse(
                400,
                "request (12023 tokens) exceeds the available context size (2048 tokens)",
                "exceed_context_size_error",
                400,
            ),
            id="llama.cpp",
        ),
    ],
)
def test_a_prompt_that_is_too_long_says_so_by_its_code(
    sdk: Client, upstream: OpenAIUpstream, refusal: Refuse
):
    upstream.script(refusal)

    error = failure_of(sdk)

    assert (error.name, error.code) == ("BadRequestError", "context_length_exceeded")


def test_a_limit_of_the_upstream_is_a_rate_limit_error(sdk: Client, upstream: OpenAIUpstream):
    busy = Refuse(429, "slow down", "requests", "rate_limit_exceeded", headers=SOON)
    upstream.script(*[busy] * ATTEMPTS)

    error = failure_of(sdk)

    assert (error.name, error.code) == ("RateLimitError", "rate_limit_exceeded")
    assert "slow down" in error.message


def test_after_a_limit_the_sdk_comes_back_when_the_upstream_said(
    sdk: Client, upstream: OpenAIUpstream
):
    busy = Refuse(429, "slow down", "requests", "rate_limit_exceeded", headers=SOON)
    upstream.script(busy, busy)

    report = sdk.chat(TWO_RETRIES, model="studio-writer", messages=MESSAGES)

    assert report["text"] == TEXT
    assert len(upstream.received) == 3


def test_an_overloaded_upstream_is_tried_again_by_the_sdk(sdk: Client, upstream: OpenAIUpstream):
    upstream.script(*[Refuse(503, "overloaded", headers=SOON)] * 3 * ATTEMPTS)

    error = failure_of(sdk, TWO_RETRIES)

    assert (error.name, error.status) == ("InternalServerError", 503)
    assert len(upstream.received) == 3 * ATTEMPTS


@pytest.mark.parametrize(
    ("trouble", "streamed", "attempts"),
    [
        pytest.param(Refuse(500), False, ATTEMPTS, id="status-500"),
        pytest.param(Refuse(500), True, ATTEMPTS, id="status-500-streamed"),
        pytest.param(Send(b"<html>Bad Gateway</html>", "text/html"), False, 1, id="html"),
        pytest.param(Send(b"<html>Bad Gateway</html>", "text/html"), True, 1, id="html-streamed"),
        pytest.param(Send(ERROR), False, ATTEMPTS, id="error-in-a-200"),
        pytest.param(Send(ERROR), True, ATTEMPTS, id="error-in-a-200-streamed"),
        pytest.param(Send(b'{"choices": [{"ind'), False, 1, id="half-a-body"),
        pytest.param(Cut(0), True, 1, id="cut-before-the-first-event"),
    ],
)
def test_a_failure_upstream_is_not_tried_again_by_the_sdk(
    sdk: Client,
    upstream: OpenAIUpstream,
    trouble: Refuse | Send | Cut,
    streamed: bool,
    attempts: int,
):
    upstream.script(*[trouble] * ATTEMPTS)

    error = failure_of(sdk, TWO_RETRIES, streamed)

    assert (error.name, error.status) == ("InternalServerError", 502)
    assert len(upstream.received) == attempts


def test_a_key_that_the_upstream_refuses_is_the_gateways_trouble(
    sdk: Client, upstream: OpenAIUpstream
):
    error = failure_of(sdk, TWO_RETRIES, model="badly-keyed-writer")

    assert (error.name, error.status) == ("InternalServerError", 502)
    assert error.code == "upstream_credentials"
    assert "sk-not-the-key" not in error.message
    assert len(upstream.received) <= 1  # none once the key is retired


def test_a_model_whose_provider_waits_for_its_key_says_so(sdk: Client, upstream: OpenAIUpstream):
    error = failure_of(sdk, model="sleeping-writer")

    assert (error.name, error.code) == ("InternalServerError", "no_live_target")
    assert "waits for the key" in error.message


def test_an_upstream_that_does_not_answer_in_time(sdk: Client, upstream: OpenAIUpstream):
    silence = Hold(0)
    upstream.script(silence)
    try:
        error = failure_of(sdk, TWO_RETRIES, model="impatient-writer")
    finally:
        silence.release.set()

    assert (error.name, error.status) == ("InternalServerError", 504)
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    "trouble", [Cut(3), Cut(3, orderly=True)], ids=["connection-lost", "no-terminal-event"]
)
def test_a_stream_that_breaks_off_raises(sdk: Client, upstream: OpenAIUpstream, trouble: Cut):
    upstream.script(trouble)

    error = failure_of(sdk, TWO_RETRIES, streamed=True)

    assert error.name == "APIError"
    assert error.code == "upstream_cut"
    assert len(upstream.received) == 1


def test_an_error_in_the_middle_of_a_stream_raises(sdk: Client, upstream: OpenAIUpstream):
    upstream.script(FailInStream(3, "the engine gave up"))

    error = failure_of(sdk, TWO_RETRIES, streamed=True)

    assert error.name == "APIError"
    assert "the engine gave up" in error.message
    assert len(upstream.received) == 1


def test_an_error_carries_the_request_id_that_the_log_knows(
    sdk: Client, upstream: OpenAIUpstream, gateway: GatewayProcess
):
    upstream.script(*[Refuse(500, "engine failure")] * ATTEMPTS)

    error = failure_of(sdk)

    assert error.request_id is not None
    logged = gateway.logged(error.request_id)
    assert (logged["outcome"], logged["status"]) == ("upstream_failed", 502)


def test_another_target_answers_before_the_client_hears_of_trouble(
    sdk: Client, upstream: OpenAIUpstream
):
    report = sdk.chat(model="two-homes-writer", messages=MESSAGES)

    assert report["text"] == TEXT
    assert report["headers"]["x-daobo-attempts"] == "2"
    assert report["headers"]["x-daobo-provider"] == "fake"
