"""What ``plugins/README.md`` shows is what works."""

import re
from pathlib import Path

import orjson
import pytest

from gateway.contracts import ProviderSettings
from gateway.errors import CallError, Outcome
from gateway.framing import EventSplitter
from gateway.schema import ChatChunk, ChatRequest
from gateway.upstream.translation import Translation

TUTORIAL = Path(__file__).parents[2] / "plugins" / "README.md"
END = {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 4}}}
BODY = {"messages": [{"role": "user", "content": "Hi"}], "top_p": 0.5, "logit_bias": {}}
ANSWER = {"message": {"content": [{"type": "text", "text": "It was open."}]}, **END}
DELTA = {"delta": {"message": {"content": {"text": "It was open."}}}}


@pytest.fixture(scope="module")
def types():
    """The provider classes that the tutorial's modules register."""
    registered = {}
    for source in re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL):
        module = {}
        exec(source, module)
        module["register_providers"](lambda name, _, provider: registered.update({name: provider}))
    return registered


@pytest.fixture
def cohere(types):
    return types["cohere"](ProviderSettings(type="cohere", api_key="key"))


def asked(**more):
    return ChatRequest(model="command-a", body={**BODY, **more}, max_output_tokens=50)


def sse(*events):
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (name, orjson.dumps(data)) for name, data in events
    )


def test_the_dozen_lines_are_a_provider(types):
    provider = types["example"](ProviderSettings(type="example"))
    failure = provider.parse_error(400, {}, b'{"error": {"code": "account_empty"}}')
    assert failure.outcome is Outcome.UPSTREAM_CREDENTIALS


def test_a_request_is_translated_and_losses_are_named(cohere):
    built = cohere.build_request(asked())
    assert orjson.loads(built.body) == {
        "model": "command-a",
        "stream": False,
        "messages": BODY["messages"],
        "p": 0.5,
        "max_tokens": 50,
    }
    assert (built.url, built.dropped) == ("https://api.cohere.com/v2/chat", ("logit_bias",))


def test_tools_are_refused_not_lost(cohere):
    with pytest.raises(CallError) as caught:
        cohere.build_request(asked(tools=[{"type": "function"}]))
    assert caught.value.outcome is Outcome.UNSUPPORTED


def test_an_answer_has_text_usage_and_finish_reason(cohere):
    answer = cohere.parse_response(asked(), orjson.dumps(ANSWER))
    assert orjson.loads(answer.body)["choices"][0]["message"]["content"] == "It was open."
    assert (answer.usage.classes(), answer.finish_reason) == (
        {"input_tokens": 9, "output_tokens": 4},
        "stop",
    )


def test_a_stream_ends_with_its_last_event(cohere):
    translation = Translation(lambda events: cohere.parse_stream(asked(), events))
    stream = sse((b"content-delta", DELTA), (b"message-end", {"delta": END}))
    text, finish, usage = translation.feed(EventSplitter().feed(stream))
    assert b"It was open." in text
    assert isinstance(finish, ChatChunk)
    assert finish.finish_reason == "stop"
    assert usage.usage_only
    assert translation.done


async def test_a_stream_without_its_last_event_was_cut(cohere):
    async def half():
        for event in EventSplitter().feed(sse((b"content-delta", DELTA))):
            yield event

    with pytest.raises(CallError) as caught:
        [chunk async for chunk in cohere.parse_stream(asked(), half())]
    assert caught.value.outcome is Outcome.UPSTREAM_CUT
