"""What holds for every answer of Gemini's, not only for those that someone thought of."""

import json
from contextlib import suppress

import orjson
import pytest
from folding import folded
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gateway import CallError, ChatRequest, EmbeddingRequest, Outcome
from gateway_gemini import Gemini, GeminiSettings
from gateway_gemini.usage import read_usage_metadata

PROVIDER = Gemini(GeminiSettings(type="gemini"))
REQUEST = ChatRequest(
    model="gemini-3.6-flash",
    body={"messages": [{"role": "user", "content": "Hi"}]},
    call_id="call-1",
)

counts = st.integers(0, 10_000)
details = st.lists(
    st.fixed_dictionaries(
        {"modality": st.sampled_from([m.value for m in types.MediaModality]), "tokenCount": counts}
    ),
    max_size=4,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "promptTokenCount": counts,
            "candidatesTokenCount": counts,
            "thoughtsTokenCount": counts,
            "toolUsePromptTokenCount": counts,
            "promptTokensDetails": details,
            "cacheTokensDetails": details,
            "candidatesTokensDetails": details,
            "toolUsePromptTokensDetails": details,
        },
    ),
    st.floats(0, 1),
)
def test_the_classes_add_up_to_the_vendors_totals(metadata, cached_share):
    prompt = metadata.get("promptTokenCount", 0)
    metadata["cachedContentTokenCount"] = round(prompt * cached_share)
    usage = read_usage_metadata(metadata)
    assert all(count > 0 for count in usage.classes().values())
    assert usage.total_input_tokens == prompt + metadata.get("toolUsePromptTokenCount", 0)
    assert usage.cache_read_tokens == metadata["cachedContentTokenCount"]
    assert usage.total_output_tokens == metadata.get("candidatesTokenCount", 0) + metadata.get(
        "thoughtsTokenCount", 0
    )


def test_honest_details_are_believed_to_the_token():
    usage = read_usage_metadata(
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 60,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 20},
                {"modality": "IMAGE", "tokenCount": 50},
                {"modality": "AUDIO", "tokenCount": 30},
            ],
            "cacheTokensDetails": [
                {"modality": "IMAGE", "tokenCount": 50},
                {"modality": "AUDIO", "tokenCount": 10},
            ],
        }
    )
    assert usage.classes() == {
        "input_tokens": 20,
        "cache_read_tokens": 60,
        "audio_input_tokens": 20,
    }


signatures = st.sampled_from([{}, {}, {"thoughtSignature": "c2ln"}])
texts = st.text(max_size=8)
parts = st.one_of(
    st.builds(lambda text: {"text": text, "thought": True}, texts),
    st.builds(lambda text, signature: {"text": text, **signature}, texts, signatures),
    st.builds(
        lambda extra, name, signature: {"functionCall": {"name": name, **extra}, **signature},
        st.sampled_from([{}, {"id": "fc-9", "args": {"n": [1]}}]),
        st.sampled_from(["get_time", "cut"]),
        signatures,
    ),
)


def answer(content, finish_reason=None):
    candidate = {"content": {"role": "model", "parts": content}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": finish_reason} if finish_reason else {})]}


@given(st.lists(st.lists(parts, max_size=3), min_size=1, max_size=5))
def test_a_stream_folds_to_the_answer_that_would_have_come_whole(pieces):
    last = len(pieces) - 1
    sent = [answer(piece, "STOP" if n == last else None) for n, piece in enumerate(pieces)]
    raw = b"".join(b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in sent)
    message, finish_reason, _ = folded(PROVIDER, REQUEST, raw)
    whole = orjson.dumps(answer([part for piece in pieces for part in piece], "STOP"))
    (choice,) = orjson.loads(PROVIDER.parse_response(REQUEST, whole).body)["choices"]
    expected = choice["message"]
    expected["content"] = expected["content"] or ""
    expected.setdefault("reasoning_content", "")
    message.setdefault("reasoning_content", "")
    assert message == expected
    assert finish_reason == choice["finish_reason"]


@given(st.lists(parts, min_size=1, max_size=5))
def test_every_signature_goes_back_on_the_part_that_bore_it(content):
    """Of several signed texts OpenAI's one string keeps the last signature."""
    raw = orjson.dumps(answer(content, "STOP"))
    (choice,) = orjson.loads(PROVIDER.parse_response(REQUEST, raw).body)["choices"]
    history = [{"role": "user", "content": "Hi"}, choice["message"]]
    body = PROVIDER.build_request(ChatRequest("gemini-2.5-pro", {"messages": history})).body
    turns = orjson.loads(body)["contents"]
    sent = turns[1]["parts"] if len(turns) > 1 else []
    calls = [part for part in content if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in sent if "functionCall" in part] == [
        part.get("thoughtSignature") for part in calls
    ]
    signed = [p["text"] for p in content if "thoughtSignature" in p and "functionCall" not in p]
    assert [p["text"] for p in sent if "thoughtSignature" in p and "text" in p] == signed[-1:]
    visible = "".join(p["text"] for p in content if "text" in p and not p.get("thought"))
    assert "".join(part.get("text", "") for part in sent) == visible


FAILURES = {
    "FINISH_REASON_UNSPECIFIED",
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "PUP_LIMITED_DISABLED",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
}


@pytest.mark.parametrize("word", sorted({reason.value for reason in types.FinishReason} - FAILURES))
def test_a_finish_reason_of_the_vendors_becomes_one_of_openais(word):
    raw = orjson.dumps(answer([{"text": "Cut"}], word))
    finish_reason = PROVIDER.parse_response(REQUEST, raw).finish_reason
    assert finish_reason in {"stop", "length", "content_filter"}


@pytest.mark.parametrize("word", sorted(FAILURES))
def test_an_answer_that_failed_is_an_error_though_it_has_text(word):
    with pytest.raises(CallError) as raised:
        PROVIDER.parse_response(REQUEST, orjson.dumps(answer([{"text": "Cut"}], word)))
    assert raised.value.outcome.from_upstream


@pytest.mark.parametrize("word", ["OTHER", "NO_IMAGE", "A_NEW_WORD"])
def test_an_odd_reason_is_a_failure_only_where_there_is_no_answer(word):
    whole = PROVIDER.parse_response(REQUEST, orjson.dumps(answer([{"text": "Cut"}], word)))
    assert whole.finish_reason == "stop"
    with pytest.raises(CallError, match=word):
        PROVIDER.parse_response(REQUEST, orjson.dumps(answer([], word)))


def test_google_says_when_to_try_again():
    body = {
        "error": {
            "status": "RESOURCE_EXHAUSTED",
            "message": "Quota",
            "details": [{"@type": "…RetryInfo", "retryDelay": "34.5s"}],
        }
    }
    error = PROVIDER.parse_error(429, {"retry-after": "99"}, json.dumps(body).encode())
    assert (error.outcome, error.retry_after_s) == (Outcome.UPSTREAM_RATE_LIMITED, 34.5)


def test_an_error_page_of_something_in_between_goes_by_its_status():
    error = PROVIDER.parse_error(502, {}, b"<html>Bad Gateway</html>")
    assert (error.outcome, error.message) == (Outcome.UPSTREAM_FAILED, "<html>Bad Gateway</html>")


KEYS = [
    "candidates", "content", "parts", "text", "thought", "functionCall", "name", "args",
    "finishReason", "index", "error", "usageMetadata", "promptTokenCount", "promptTokensDetails",
    "modality", "tokenCount", "promptFeedback", "blockReason", "inlineData", "logprobsResult",
    "chosenCandidates", "topCandidates", "embeddings", "values", "details", "status", "role",
    "messages", "tools", "function", "tool_calls", "tool_choice", "extra_content", "google",
    "thought_signature", "signed_text", "type", "image_url", "url", "response_format",
    "extra_body", "thinking_config", "modalities", "stop", "id",
]  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "STOP", *KEYS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(KEYS), anything, max_size=4)


@given(objects | st.builds(lambda c: {"candidates": [c]}, objects))
def test_an_answer_of_any_shape_is_read_or_refused(shape):
    raw = orjson.dumps(shape)
    with suppress(CallError):
        PROVIDER.parse_response(REQUEST, raw)
    assert PROVIDER.parse_error(400, {}, raw).message
    embedding = EmbeddingRequest("e", {"input": "a", "encoding_format": "base64"})
    with suppress(CallError):
        PROVIDER.parse_embedding(embedding, raw)
    with suppress(CallError):
        folded(PROVIDER, REQUEST, b"data: " + raw + b"\n\n")


@given(objects | st.builds(lambda m, o: {"messages": [m], **o}, objects, objects))
def test_a_request_of_any_shape_is_written_or_refused(body):
    with suppress(CallError):
        PROVIDER.build_request(ChatRequest("gemini-3.6-flash", body))
