"""LangChain's ``ChatOpenAI`` with nothing but a base URL and a key works as its users expect."""

from typing import Any

import pytest

from tests.fakes.openai_upstream import TEXT, CallTools, OpenAIUpstream, Refuse, Say
from tests.fakes.openai_wire import vector_of

from .conftest import Stage
from .drivers import ClientError, Driver, Report, python_driver

PROMPT = "上海外景那三天天气如何？"
USAGE = {
    "input_tokens": 19,
    "output_tokens": 12,
    "total_tokens": 31,
    "input_token_details": {"audio": 0, "cache_read": 4},
    "output_token_details": {"audio": 0, "reasoning": 2},
}


@pytest.fixture(scope="module")
def langchain(stage: Stage):
    driver = python_driver(stage.gateway.root, "openai2", "langchain_chat.py")
    yield driver
    driver.close()


def do(driver: Driver, operation: str, **parameters: Any) -> Report:
    return driver.do(operation, None, {"model": "studio-writer", "prompt": PROMPT, **parameters})


def test_invoke_answers_with_usage(langchain: Driver, upstream: OpenAIUpstream):
    report = do(langchain, "invoke")

    assert report == {"text": TEXT, "usage": USAGE, "finish_reason": "stop"}


def test_a_task_is_a_model_like_any_other(langchain: Driver, upstream: OpenAIUpstream):
    assert do(langchain, "invoke", model="draft")["text"] == TEXT


def test_stream_comes_in_pieces_and_without_usage_that_nobody_asked_for(
    langchain: Driver, upstream: OpenAIUpstream
):
    report = do(langchain, "stream")

    assert (report["text"], report["usage"]) == (TEXT, None)
    assert report["pieces"] > 3


def test_stream_with_usage(langchain: Driver, upstream: OpenAIUpstream):
    report = do(langchain, "stream", stream_usage=True)

    assert (report["text"], report["usage"]) == (TEXT, USAGE)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_bound_tool_is_called_and_its_answer_used(
    langchain: Driver, upstream: OpenAIUpstream, streamed: bool
):
    report = do(langchain, "tool_loop", streamed=streamed, result="小雨")

    [call] = report["calls"]
    assert (call["name"], call["args"]) == ("weather", {"city": "上海", "days": 3})
    assert report["text"] == "工具说：小雨"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("claude-studio", "All 1 tools answered."),
        ("gemini-studio", 'The tools say [{"sky": "rain"}].'),
    ],
)
def test_a_tool_loop_on_providers_that_speak_otherwise(
    langchain: Driver, anthropic_requests, gemini_requests, model: str, answer: str, streamed: bool
):
    report = do(langchain, "tool_loop", model=model, streamed=streamed, result='{"sky": "rain"}')

    assert report["text"] == answer


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("json_schema", Say('{"title": "雨夜", "episodes": 80}')),
        ("json_mode", Say('{"title": "雨夜", "episodes": 80}')),
        ("function_calling", CallTools('{"title": "雨夜", "episodes": 80}')),
    ],
)
def test_structured_output_becomes_the_model_that_was_asked_for(
    langchain: Driver, upstream: OpenAIUpstream, method: str, reply: Say | CallTools
):
    upstream.script(reply)

    report = do(langchain, "structured", method=method)

    assert report == {"type": "Show", "fields": {"title": "雨夜", "episodes": 80}}


def test_embeddings(langchain: Driver, upstream: OpenAIUpstream):
    report = langchain.do(
        "embed",
        None,
        {
            "model": "studio-embedding",
            "texts": ["雨夜", "便利店"],
            # else it fetches a tokenizer from the internet to cut texts that are short anyway
            "check_embedding_ctx_length": False,
        },
    )

    assert report["vectors"] == [vector_of("雨夜"), vector_of("便利店")]


def test_a_failure_is_the_sdks_own_exception(langchain: Driver, upstream: OpenAIUpstream):
    upstream.script(Refuse(429, "slow down", "requests", "rate_limit_exceeded"))

    with pytest.raises(ClientError) as caught:
        do(langchain, "invoke")

    assert "RateLimit" in caught.value.name
    assert caught.value.status == 429
