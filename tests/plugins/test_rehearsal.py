import asyncio
import base64
import json
import math
import struct
from typing import Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from gateway.errors import CallError, Outcome
from gateway.framing import EventSplitter
from gateway.plugins import discover
from gateway.schema import ChatChunk, ChatRequest, EmbeddingRequest, Timeouts
from gateway.upstream.translation import Translation

MAX_BYTES = 1 << 24
ENGLISH_SCRIPT = """INT. HALL - DAY

MEI walks in.

MEI
You really are very late.

DANIEL
I was just tired."""
CHINESE_SCRIPT = """1-1 内景 医院走廊 夜
人物：林晚、沈砚
△雨点敲着玻璃。
林晚（轻声）：你说过，一切真的都结束了。
沈砚：我说我累了。
林晚：三年。"""


def rehearsal(**options):
    settings_class, provider_class = discover().providers["rehearsal"]
    return provider_class(
        settings_class.model_validate({"type": "rehearsal", "token_delay_s": 0, **options})
    )


REHEARSAL = rehearsal()


def ask(text, model="rehearsal-writer", stream=False, **fields):
    messages = fields.pop("messages", None) or [{"role": "user", "content": text}]
    return ChatRequest(model=model, body={"messages": messages, **fields}, stream=stream)


async def send(request, provider=REHEARSAL, upstream=None, timeouts=None):
    upstream = upstream or provider.open_upstream()
    return await upstream.send(provider.build_request(request), timeouts or Timeouts())


async def play(request, provider=REHEARSAL, upstream=None):
    """The parsed answer, or the CallError that the provider makes of the upstream's."""
    response = await send(request, provider, upstream)
    body = await response.read(MAX_BYTES)
    if response.status != 200:
        raise provider.parse_error(response.status, response.headers, body)
    answer = provider.parse_response(request, body)
    return orjson.loads(answer.body)["choices"][0]["message"], answer


async def play_stream(request, provider=REHEARSAL):
    """The joined deltas of a stream, its last usage and finish reason."""
    response = await send(request, provider)
    splitter = EventSplitter()
    translation = Translation(lambda events: provider.parse_stream(request, events))
    chunks = []
    await response.pump(lambda data: chunks.extend(translation.feed(splitter.feed(data))))
    text, usage, finish_reason = "", None, None
    for chunk in chunks:
        data = chunk.data if isinstance(chunk, ChatChunk) else chunk
        for choice in orjson.loads(data[6:])["choices"]:
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                text += call["function"]["arguments"]
        if isinstance(chunk, ChatChunk):
            usage = chunk.usage or usage
            finish_reason = chunk.finish_reason or finish_reason
    assert translation.done
    return text, usage, finish_reason


# What it writes


async def test_the_same_request_gets_the_same_bytes():
    first, second = [await (await send(ask("a letter"))).read(MAX_BYTES) for _ in range(2)]
    assert first == second


async def test_another_seed_writes_another_scene():
    ours, _ = await play(ask("a letter"))
    theirs, _ = await play(ask("a letter"), rehearsal(seed=7))
    assert ours["content"] != theirs["content"]


async def test_a_stream_says_what_the_whole_answer_says():
    message, answer = await play(ask("一封信"))
    text, usage, finish_reason = await play_stream(ask("一封信", stream=True))
    assert text == message["content"]
    assert (usage, finish_reason) == (answer.usage, "stop")


@pytest.mark.parametrize(
    ("prompt", "heading"),
    [
        ("Write about a nurse", "LOGLINE: “Write about a nurse”"),
        ("写一位护士", "故事梗概：「写一位护士」"),
    ],
)
async def test_it_answers_in_the_prompts_language_and_names_its_first_words(prompt, heading):
    message, _ = await play(ask(prompt))
    assert heading in message["content"]


@pytest.mark.parametrize(
    ("model", "english", "chinese"),
    [
        ("rehearsal-draft", "CUT TO BLACK.", "【黑屏】"),
        ("rehearsal-storyboard", "Shot 1 |", "镜1｜"),
        ("rehearsal-review", "What to mend", "待改"),
        ("rehearsal-extract", '"language": "en"', '"language": "zh"'),
    ],
)
async def test_each_task_has_its_own_page(model, english, chinese):
    for script, mark in ((ENGLISH_SCRIPT, english), (CHINESE_SCRIPT, chinese)):
        message, _ = await play(ask(script, model))
        assert mark in message["content"]


@pytest.mark.parametrize(
    ("instruction", "mark"),
    [
        ("Please review this scene", "What to mend"),
        ("请做分镜", "镜1｜"),
        ("提取角色", '"characters"'),
        ("Hello there", "CUT TO BLACK."),
    ],
)
async def test_the_writer_guesses_the_task_from_the_instruction(instruction, mark):
    message, _ = await play(ask(instruction))
    assert mark in message["content"]


async def test_the_system_message_decides_the_task_before_the_user_does():
    messages = [
        {"role": "system", "content": "You make a storyboard."},
        {"role": "user", "content": "Review the letter."},
    ]
    message, _ = await play(ask("", messages=messages))
    assert message["content"].startswith("STORYBOARD")


@pytest.mark.parametrize(
    "script",
    [f"{ENGLISH_SCRIPT}\n\n" * 2, f"{CHINESE_SCRIPT}\n\n" * 2],
    ids=["english", "chinese"],
)
async def test_a_polish_keeps_every_line_and_adds_beats(script):
    message, _ = await play(ask(script, "rehearsal-polish"))
    polished = iter(message["content"].split("\n"))
    assert all(line in polished for line in script.split("\n"))
    assert len(message["content"]) > len(script)


@pytest.mark.parametrize("model", ["rehearsal-polish", "rehearsal-rewrite"])
@pytest.mark.parametrize(
    "piece",
    ["第3集", "1-2 日 内 医院走廊\n", "人物：\n林晚\n沈砚\n", "林晚：\n我在。\n", "风" * 300],
    ids=["heading", "heading and newline", "cast list", "cue", "one long line"],
)
async def test_the_smallest_piece_of_a_script_is_worked_on_and_not_replaced(piece, model):
    message, _ = await play(ask(piece, model))
    assert message["content"].split() == piece.split()


async def test_a_rewrite_is_tighter():
    message, _ = await play(ask("Rewrite:\n" + ENGLISH_SCRIPT, "rehearsal-rewrite"))
    assert message["content"] == ENGLISH_SCRIPT.replace("really ", "").replace("very ", "").replace(
        "just ", ""
    )


async def test_an_extract_finds_who_speaks_and_where():
    message, _ = await play(ask(CHINESE_SCRIPT, "rehearsal-extract"))
    facts = json.loads(message["content"])
    assert facts["characters"] == [{"name": "林晚", "speeches": 2}, {"name": "沈砚", "speeches": 1}]
    assert facts["scenes"] == ["1-1 内景 医院走廊 夜"]


@given(st.text(st.characters(codec="utf-8")))
@settings(max_examples=50, deadline=None)
def test_an_echo_is_the_last_user_message_to_the_byte(text):
    message, _ = asyncio.run(play(ask(text, "rehearsal-echo")))
    streamed, _, _ = asyncio.run(play_stream(ask(text, "rehearsal-echo", stream=True)))
    assert message["content"] == streamed == text


async def test_a_long_echo_comes_in_few_pieces():
    response = await send(ask("风" * 100_000, "rehearsal-echo", stream=True))
    pieces = []
    await response.pump(pieces.append)
    assert len(pieces) <= 30


# Caps, stops, usage


async def test_max_tokens_cuts_the_text_and_says_so():
    message, answer = await play(ask("写一位护士", max_tokens=10))
    assert answer.finish_reason == "length"
    assert answer.usage.output_tokens == 10
    assert len(message["content"].encode()) <= 40


async def test_a_stop_sequence_ends_the_text_before_it():
    message, answer = await play(ask("one two three", "rehearsal-echo", stop=["three", " two"]))
    assert (message["content"], answer.finish_reason) == ("one", "stop")


async def test_usage_comes_in_a_stream_only_where_it_is_asked_for():
    quiet = rehearsal(stream_usage=False)
    _, usage, finish_reason = await play_stream(ask("hello", stream=True), quiet)
    assert (usage, finish_reason) == (None, "stop")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": ["hello"]}, "messages"),
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(fields, param):
    with pytest.raises(CallError) as caught:
        await play(ask("hello", **fields))
    assert (caught.value.outcome, caught.value.param) == (Outcome.UPSTREAM_REJECTED, param)


async def test_an_unknown_model_is_not_served_by_another():
    with pytest.raises(CallError, match="rehearsal-writer") as caught:
        await play(ask("hello", "gpt-6"))
    assert caught.value.outcome is Outcome.UPSTREAM_MODEL_MISSING


# Tools and JSON


class Shot(BaseModel):
    size: Literal["WIDE", "CLOSE"]
    duration_s: float = Field(ge=0.5, le=12)
    notes: list[str] = Field(min_length=1, max_length=3)


class Board(BaseModel):
    title: str = Field(max_length=12)
    episode: int = Field(gt=0, lt=100)
    shots: list[Shot] = Field(min_length=2)
    cover: Shot | None
    code: str = Field(pattern=r"^S\d+E\d+$")
    sequel: "Board | None" = None


TOOL = {
    "type": "function",
    "function": {"name": "save_board", "parameters": Board.model_json_schema()},
}


@pytest.mark.parametrize(
    ("prompt", "choice"),
    [
        ("hello", "required"),
        ("hello", {"type": "function", "function": {"name": "save_board"}}),
        ("Use save_board now", "auto"),
    ],
)
async def test_a_tool_is_called_with_arguments_that_fit_its_schema(prompt, choice):
    message, answer = await play(ask(prompt, tools=[TOOL], tool_choice=choice))
    [call] = message["tool_calls"]
    assert (message["content"], answer.finish_reason) == (None, "tool_calls")
    assert call["function"]["name"] == "save_board"
    Board.model_validate_json(call["function"]["arguments"])


async def test_a_streamed_call_has_the_same_arguments():
    message, _ = await play(ask("save_board", tools=[TOOL]))
    text, _, finish_reason = await play_stream(ask("save_board", tools=[TOOL], stream=True))
    assert text == message["tool_calls"][0]["function"]["arguments"]
    assert finish_reason == "tool_calls"


async def test_no_tool_is_called_where_none_is_wanted():
    for fields in ({"tool_choice": "none"}, {"messages": [{"role": "user", "content": "hello"}]}):
        message, _ = await play(ask("save_board", tools=[TOOL], **fields))
        assert "tool_calls" not in message


async def test_after_a_tools_result_it_answers_with_it():
    messages = [
        {"role": "user", "content": "save_board"},
        {"role": "tool", "tool_call_id": "call_1", "content": "saved as 17"},
    ]
    message, _ = await play(ask("", messages=messages, tools=[TOOL]))
    assert "saved as 17" in message["content"]


def formatted(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


FIELDS = st.one_of(
    st.sampled_from([str, int, float, bool, str | None, list[str], dict[str, int], Shot]).map(
        lambda kind: (kind, ...)
    ),
    st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(
        lambda span: (int, Field(ge=span[0], le=span[0] + span[1]))
    ),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
        lambda span: (str, Field(min_length=span[0], max_length=span[0] + span[1]))
    ),
    st.integers(1, 6).map(lambda least: (list[Shot], Field(min_length=least))),
    st.sampled_from([2, 3, 7]).map(lambda step: (int, Field(multiple_of=step, ge=5))),
)


@given(st.dictionaries(st.sampled_from("abcdef"), FIELDS, min_size=1), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_json_for_a_schema_validates_against_it(fields, seed):
    model = create_model("Answer", **fields)
    wanted = formatted(model.model_json_schema())
    message, _ = asyncio.run(play(ask("hello", response_format=wanted, seed=seed)))
    model.model_validate_json(message["content"])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"type": "string", "default": "x"}, "x"),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 3}]}, 3),
        ({"type": ["null", "boolean"], "enum": [True]}, True),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "found"}}}, "found"),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]}, [1, 2]),
        (
            {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 2},
            [1, 2],
        ),
        ({"type": "string", "format": "date"}, "2026-11-22"),
        (
            {"type": "object", "minProperties": 1, "additionalProperties": {"const": 0}},
            {"item_1": 0},
        ),
    ],
)
async def test_keywords_of_json_schema(schema, value):
    message, _ = await play(ask("hello", response_format=formatted(schema)))
    got = json.loads(message["content"])
    assert (sorted(got) if isinstance(value, list) else got) == value


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {"type": "string"}}, "'not' is not supported"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "#"}, "in a circle"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "levels"),
        ({"type": "array", "minItems": 10**9}, "values"),
        ({"type": "array", "minItems": 2, "uniqueItems": True, "items": {"const": 1}}, "different"),
        ({"type": "string", "minLength": 10**12}, "characters"),
        ({"type": "string", "pattern": "^(?:never){99}$"}, "pattern"),
        ({"type": "integer", "minimum": "low"}, "malformed"),
        ({"type": "number", "multipleOf": 0}, "malformed"),
    ],
)
async def test_a_schema_that_cannot_be_filled_is_a_400_that_says_why(schema, why):
    with pytest.raises(CallError, match=why) as caught:
        await play(ask("hello", response_format=formatted(schema)))
    assert caught.value.outcome is Outcome.UPSTREAM_REJECTED


async def test_a_json_object_parses():
    message, _ = await play(ask("hello", response_format={"type": "json_object"}))
    assert json.loads(message["content"])["language"] == "en"


# Embeddings


async def embed(**body):
    request = EmbeddingRequest("rehearsal-embedding", body)
    response = await REHEARSAL.open_upstream().send(REHEARSAL.build_embedding(request), Timeouts())
    raw = await response.read(MAX_BYTES)
    if response.status != 200:
        raise REHEARSAL.parse_error(response.status, response.headers, raw)
    data = orjson.loads(REHEARSAL.parse_embedding(request, raw).body)["data"]
    return [item["embedding"] for item in data]


async def test_vectors_have_length_one_and_the_asked_dimensions():
    for dimensions, fields in ((256, {}), (64, {"dimensions": 64})):
        [vector] = await embed(input="雨夜", **fields)
        assert len(vector) == dimensions
        assert math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-5)


async def test_base64_and_floats_are_the_same_vector():
    [floats] = await embed(input="a letter")
    [packed] = await embed(input="a letter", encoding_format="base64")
    assert list(struct.unpack("<256f", base64.b64decode(packed))) == floats


async def test_texts_that_share_words_are_nearer():
    letter, letters, ferry = await embed(input=["a sealed letter", "sealed letters", "ferry at 9"])

    def near(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert near(letter, letters) > near(letter, ferry) + 0.3


async def test_token_ids_are_taken_as_one_input_or_many():
    assert len(await embed(input=[1, 2, 3])) == 1
    assert len(await embed(input=[[1, 2], [3]])) == 2


@pytest.mark.parametrize("body", [{"input": []}, {"input": ""}, {"input": "a", "dimensions": 0}])
async def test_a_wrong_embedding_request_is_a_400(body):
    with pytest.raises(CallError) as caught:
        await embed(**body)
    assert caught.value.outcome is Outcome.UPSTREAM_REJECTED


# Faults


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.UPSTREAM_REJECTED),
        (401, Outcome.UPSTREAM_CREDENTIALS),
        (404, Outcome.UPSTREAM_MODEL_MISSING),
        (429, Outcome.UPSTREAM_RATE_LIMITED),
        (500, Outcome.UPSTREAM_FAILED),
        (503, Outcome.UPSTREAM_OVERLOADED),
    ],
)
async def test_it_fails_with_the_status_it_was_told(status, outcome):
    with pytest.raises(CallError) as caught:
        await play(ask("hello"), rehearsal(fail_rate=1, fail_status=status))
    assert caught.value.outcome is outcome


async def statuses(upstream, provider, count):
    request = provider.build_request(ask("hello"))
    return [(await upstream.send(request, Timeouts())).status for _ in range(count)]


async def test_which_requests_fail_depends_on_seed_and_number_alone():
    provider = rehearsal(fail_rate=0.3)
    first = await statuses(provider.open_upstream(), provider, 200)
    again = await statuses(provider.open_upstream(), provider, 200)
    assert first == again
    assert 30 <= first.count(500) <= 90


async def test_every_nth_request_is_rate_limited_and_says_when_to_come_back():
    provider = rehearsal(rate_limit_every=3)
    upstream = provider.open_upstream()
    assert await statuses(upstream, provider, 6) == [200, 200, 429, 200, 200, 429]
    await statuses(upstream, provider, 2)
    with pytest.raises(CallError) as caught:
        await play(ask("hello"), provider, upstream)
    assert caught.value.retry_after_s == 1


async def test_a_refused_word_is_a_breach_of_content_policy():
    with pytest.raises(CallError) as caught:
        await play(ask("A Dragon enters"), rehearsal(refuse_words=["dragon"]))
    assert caught.value.outcome is Outcome.CONTENT_POLICY


async def test_a_cut_stream_breaks_after_the_chunks_it_was_told():
    response = await send(ask("hello", stream=True), rehearsal(cut_after_chunks=3))
    pieces = []
    with pytest.raises(CallError) as caught:
        await response.pump(pieces.append)
    assert caught.value.outcome is Outcome.UPSTREAM_CUT
    assert len(pieces) == 3


@pytest.mark.parametrize(
    ("options", "timeouts", "message"),
    [
        ({"first_token_delay_s": 60}, Timeouts(first_byte_s=0.01), "no answer began"),
        ({"token_delay_s": 60}, Timeouts(idle_s=0.01), "nothing came"),
        ({"token_delay_s": 0.002}, Timeouts(total_s=0.02), "not complete"),
    ],
)
async def test_an_answer_slower_than_a_deadline_is_a_timeout(options, timeouts, message):
    async def listen():
        response = await send(ask("hello", stream=True), rehearsal(**options), timeouts=timeouts)
        await response.pump(len)

    with pytest.raises(CallError, match=message) as caught:
        await listen()
    assert caught.value.outcome is Outcome.UPSTREAM_TIMEOUT


# The contract of an upstream


async def test_the_first_piece_may_be_taken_before_the_rest_is_pumped():
    whole, parts = await send(ask("hello", stream=True)), await send(ask("hello", stream=True))
    rest = []
    first = await parts.first()
    await parts.pump(rest.append)
    assert b"".join([first, *rest]) == await whole.read(MAX_BYTES)
    assert b'"role":"assistant"' in first


async def test_nothing_comes_while_the_reader_pauses():
    response = await send(ask("hello", stream=True))
    pieces = []
    paused = asyncio.Event()

    def receive(data):
        pieces.append(data)
        if len(pieces) == 2:
            response.pause()
            paused.set()

    pump = asyncio.create_task(response.pump(receive))
    await paused.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(pieces) == 2
    response.resume()
    await pump
    assert pieces[-1] == b"data: [DONE]\n\n"


async def test_an_exception_out_of_receive_comes_out_of_the_pump():
    def receive(data):
        raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        await (await send(ask("hello", stream=True))).pump(receive)


async def test_a_body_over_the_limit_is_garbled():
    with pytest.raises(CallError) as caught:
        await (await send(ask("hello"))).read(10)
    assert caught.value.outcome is Outcome.UPSTREAM_GARBLED


async def test_a_cancelled_pump_leaves_nothing_behind():
    response = await send(ask("hello", stream=True), rehearsal(token_delay_s=30))
    before = asyncio.all_tasks()
    began = asyncio.Event()
    pump = asyncio.create_task(response.pump(lambda data: began.set()))
    await began.wait()
    pump.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pump
    assert asyncio.all_tasks() == before


async def test_closing_wakes_a_paused_pump():
    response = await send(ask("hello", stream=True))
    response.pause()
    pump = asyncio.create_task(response.pump(len))
    await asyncio.sleep(0)
    response.close()
    with pytest.raises(CallError) as caught:
        await pump
    assert caught.value.outcome is Outcome.UPSTREAM_CUT


async def test_a_closed_upstream_takes_no_request():
    upstream = REHEARSAL.open_upstream()
    await upstream.close()
    with pytest.raises(CallError) as caught:
        await send(ask("hello"), upstream=upstream)
    assert caught.value.outcome is Outcome.UPSTREAM_UNREACHABLE


async def test_it_needs_no_key_and_no_base_url():
    assert not any(name == "authorization" for name, _ in REHEARSAL.headers)
