"""Which calls are streamed from an upstream, whatever their client asked for."""

import pytest

from gateway.plugins import discover
from gateway.schema import ChatRequest


@pytest.fixture(scope="module")
def asked_for_stream():
    registry = discover()

    def ask(kind, model="m", body=None, **settings):
        settings_class, provider_class = registry.providers[kind]
        provider = provider_class(
            settings_class.model_validate({"type": kind, "base_url": "http://x", **settings})
        )
        return provider.wants_stream(ChatRequest(model, body or {}))

    return ask


@pytest.mark.parametrize(
    ("model", "body", "streamed"),
    [
        ("qwen3-32b", {}, True),
        ("qwen3-32b", {"enable_thinking": False}, False),
        ("qwen-plus", {}, False),
        ("qwen-plus", {"enable_thinking": True}, True),
        ("qvq-max", {"enable_thinking": False}, True),
        ("qwen3-omni-flash", {"enable_thinking": False}, True),
        ("qwen3-max", {}, False),
    ],
)
def test_dashscope_streams_what_answers_in_no_other_way(asked_for_stream, model, body, streamed):
    assert asked_for_stream("dashscope", model, body) is streamed


@pytest.mark.parametrize(("max_tokens", "streamed"), [(21_333, False), (21_334, True)])
def test_anthropic_streams_what_its_own_sdk_would(asked_for_stream, max_tokens, streamed):
    assert asked_for_stream("anthropic", body={"max_tokens": max_tokens}) is streamed


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "minimax"])
def test_an_entry_can_insist(asked_for_stream, kind):
    assert asked_for_stream(kind, stream_only=True)
    assert not asked_for_stream(kind, body={"max_tokens": 99_999}, json_only=True)
