"""A stream to an answer, an answer to a stream: the same thing said in two ways."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.folding import MAX_ITEMS, Folding, chunks_of

TEXT = st.text(min_size=1, max_size=8)
CALL = st.builds(
    lambda id, name, arguments: {
        "id": id, "type": "function", "function": {"name": name, "arguments": arguments}
    },
    TEXT, TEXT, TEXT,
)  # fmt: skip
LOGPROBS = st.lists(st.builds(lambda token: {"token": token, "logprob": -0.5}, TEXT), min_size=1)
MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXT},
    optional={
        "reasoning_content": TEXT,
        "refusal": TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
    },
)


def completion_of(messages, logprobs):
    choices = [
        {
            "index": index,
            "message": message,
            "logprobs": {"content": logprobs} if logprobs else None,
            "finish_reason": "stop",
        }
        for index, message in enumerate(messages)
    ]
    top = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**top, "choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def folded(chunks):
    folding = Folding()
    for chunk in chunks:
        folding.add(chunk)
    return folding.completion()


def read(events):
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events]


@given(st.lists(MESSAGE, min_size=1, max_size=3), st.none() | LOGPROBS)
def test_an_answer_survives_its_way_through_a_stream(messages, logprobs):
    answer = completion_of(messages, logprobs)
    assert folded(read(chunks_of(answer, include_usage=True))) == answer


def test_the_usage_chunk_is_only_for_those_who_asked():
    answer = completion_of([{"role": "assistant", "content": "雨"}], None)
    assert all("usage" not in chunk for chunk in read(chunks_of(answer, include_usage=False)))


def choice(delta, index=0, **rest):
    return {"id": "c-1", "model": "m", "choices": [{"index": index, "delta": delta, **rest}]}


def test_deltas_of_several_choices_and_calls_are_told_apart():
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "type": "function", "function": {"arguments": "{}"}}
    answer = folded(
        [
            choice({"role": "assistant", "content": "雨", "reasoning_content": "想"}, 1),
            choice({"role": "assistant", "tool_calls": [first]}),
            choice({"role": "assistant", "content": "夜"}, 1, logprobs={"content": [{"t": 1}]}),
            choice({"tool_calls": [more]}),
            choice({}, 1, finish_reason="stop", logprobs={"content": [{"t": 2}]}),
            choice({}, finish_reason="tool_calls"),
        ]
    )
    tools, text = answer["choices"]
    assert tools["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    assert tools["finish_reason"] == "tool_calls"
    assert text["message"]["content"] == "雨夜"
    assert text["message"]["reasoning_content"] == "想"
    assert text["logprobs"] == {"content": [{"t": 1}, {"t": 2}]}


@pytest.mark.parametrize("choices", [[7], ["x"], [{"index": "0", "delta": {}}]])
def test_choices_that_are_none_are_garbled(choices):
    with pytest.raises(CallError) as failure:
        folded([{"choices": choices}])
    assert failure.value.outcome is Outcome.UPSTREAM_GARBLED


def test_choices_without_end_are_refused():
    with pytest.raises(CallError):
        folded(choice({}, number) for number in range(MAX_ITEMS + 1))
