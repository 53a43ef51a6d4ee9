"""What holds for every Anthropic exchange, not only for the recorded ones."""

import orjson
from anthropic.types import (
    CacheCreation,
    CitationCharLocation,
    Message,
    OutputTokensDetails,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Usage,
)
from fake_anthropic import message_of, stream_of
from folding import folded
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.schema import ChatRequest
from gateway_anthropic import Anthropic
from gateway_anthropic.request import Settings
from gateway_anthropic.response import usage_of

PROVIDER = Anthropic(Settings(type="anthropic"))
REQUEST = ChatRequest("claude-sonnet-5-5", {"messages": []}, call_id="call-1")

counts = st.integers(0, 10**9)


@st.composite
def vendor_usages(draw):
    """Usage as the vendor counts it: the parts never exceed their whole, details may be absent."""
    output, written = draw(counts), draw(counts)
    thinking, written_1h = draw(st.integers(0, output)), draw(st.integers(0, written))
    details = OutputTokensDetails(thinking_tokens=thinking)
    split = CacheCreation(
        ephemeral_1h_input_tokens=written_1h, ephemeral_5m_input_tokens=written - written_1h
    )
    return Usage(
        input_tokens=draw(counts),
        cache_read_input_tokens=draw(st.none() | counts),
        cache_creation_input_tokens=written,
        cache_creation=draw(st.sampled_from([None, split])),
        output_tokens=output,
        output_tokens_details=draw(st.sampled_from([None, details])),
    )


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text("abcdefgh_", min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
citations = st.builds(
    CitationCharLocation,
    type=st.just("char_location"),
    cited_text=texts,
    document_index=counts,
    document_title=st.none() | texts,
    start_char_index=counts,
    end_char_index=counts,
    file_id=st.none(),
)
blocks = st.one_of(
    st.builds(
        TextBlock,
        type=st.just("text"),
        text=texts,
        citations=st.none() | st.lists(citations, max_size=2),
    ),
    st.builds(ThinkingBlock, type=st.just("thinking"), thinking=texts, signature=texts),
    st.builds(RedactedThinkingBlock, type=st.just("redacted_thinking"), data=texts),
    st.builds(
        ToolUseBlock,
        type=st.just("tool_use"),
        id=names,
        name=names,
        input=st.dictionaries(names, json_values, max_size=3),
    ),
    st.builds(
        ServerToolUseBlock,
        type=st.just("server_tool_use"),
        id=names,
        name=st.sampled_from(["web_search", "web_fetch"]),
        input=st.dictionaries(names, json_values, max_size=3),
    ),
)


@given(vendor_usages())
def test_usage_classes_add_up_to_the_vendors_totals(vendor):
    usage = usage_of(vendor.model_dump())
    read, written = vendor.cache_read_input_tokens or 0, vendor.cache_creation_input_tokens
    assert usage.total_input_tokens == vendor.input_tokens + read + written
    assert usage.total_output_tokens == vendor.output_tokens
    assert all(count > 0 for count in usage.classes().values())


@given(st.lists(blocks, max_size=5), vendor_usages(), st.sampled_from(["end_turn", "max_tokens"]))
def test_a_stream_folds_into_the_whole_answer(content, usage, stop_reason):
    message: Message = message_of({"model": REQUEST.model}, content, stop_reason, usage=usage)
    whole = PROVIDER.parse_response(REQUEST, message.model_dump_json().encode())
    streamed, finish_reason, streamed_usage = folded(
        PROVIDER, REQUEST, b"".join(stream_of(message))
    )
    expected = orjson.loads(whole.body)["choices"][0]["message"]
    assert parsed({**streamed, "content": streamed["content"] or expected["content"]}) == (
        parsed(expected)
    )
    assert (finish_reason, streamed_usage) == (whole.finish_reason, whole.usage)


def parsed(message):
    """With the arguments of tool calls as values: the pieces need not be spelt alike."""
    calls = [
        {**called, "function": orjson.loads(called["function"]["arguments"])}
        for called in message.get("tool_calls", [])
    ]
    return {**message, "tool_calls": calls}


messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"]) | json_values},
    optional={
        "content": json_values
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["text", "image_url", "file", "refusal"]) | json_values},
                optional={
                    "text": json_values,
                    "image_url": json_values | st.fixed_dictionaries({"url": json_values}),
                    "file": json_values | st.fixed_dictionaries({"file_data": json_values}),
                },
            ),
            max_size=3,
        ),
        "tool_calls": json_values | st.lists(st.fixed_dictionaries({"function": json_values})),
        "tool_call_id": json_values,
        "thinking_blocks": json_values,
        "refusal": json_values,
    },
)
fields = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "thinking",
    "output_config",
    "stop",
    "user",
    "metadata",
    "service_tier",
    "temperature",
    "n",
    "modalities",
    "functions",
    "max_tokens",
    "seed",
)


def outcome_of(translate, *arguments):
    """The row of the error table; None if it went well. Whatever is no CallError comes through."""
    try:
        translate(*arguments)
    except CallError as error:
        return error.outcome
    return None


@given(
    st.fixed_dictionaries(
        {"messages": st.lists(messages, max_size=3) | json_values},
        optional=dict.fromkeys(fields, json_values),
    )
)
def test_a_body_is_translated_or_refused_as_the_clients_fault(body):
    outcome = outcome_of(PROVIDER.build_request, ChatRequest("claude-sonnet-5-5", body))
    assert outcome in (None, Outcome.INVALID_REQUEST, Outcome.UNSUPPORTED)


@given(json_values | st.fixed_dictionaries({"content": json_values, "usage": json_values}))
def test_an_answer_is_translated_or_refused_as_the_upstreams_fault(answer):
    outcome = outcome_of(PROVIDER.parse_response, REQUEST, orjson.dumps(answer))
    assert outcome is None or outcome.from_upstream
