"""The Gemini provider against a server that holds it to the vendor's own types."""

import base64
import struct

import aiohttp
import orjson
import pytest
from fake_gemini import KEY, REQUESTS, SIGNATURE, fake_gemini
from google import genai
from google.genai import types
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway import CallError, ChatRequest, EmbeddingRequest, Outcome
from gateway.framing import EventSplitter
from gateway.schema import ChatChunk
from gateway.upstream.translation import Translation
from gateway_gemini import Gemini, GeminiSettings

MODEL = "gemini-3.6-flash"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "A tool",
            "parameters": {
                "type": "object",
                "properties": {"n": {"type": ["integer", "null"]}},
                "additionalProperties": False,
            },
        },
    }
    for name in ("get_weather", "get_time")
]
QUESTION = {"role": "user", "content": "Weather and time in Paris?"}


@pytest.fixture
async def server(aiohttp_server):
    return await aiohttp_server(fake_gemini())


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def provider(server):
    return provider_at(server, KEY)


def provider_at(server, key):
    return Gemini(GeminiSettings(type="gemini", base_url=str(server.make_url("/v1")), api_key=key))


def chat(*messages, stream=False, **options):
    body = {"model": "draft", "messages": list(messages), **options}
    return ChatRequest(model=MODEL, body=body, stream=stream, call_id="call-1", created_s=1)


async def post(session, provider, built):
    """The body of the answer, which may be an error's: then the CallError is raised."""
    async with session.post(built.url, headers=built.headers, data=built.body) as reply:
        body = await reply.read()
        if reply.status != 200:
            raise provider.parse_error(reply.status, reply.headers, body)
        return body


async def complete(session, provider, request):
    body = await post(session, provider, provider.build_request(request))
    answer = provider.parse_response(request, body)
    return ChatCompletion.model_validate_json(answer.body), answer


async def stream(session, provider, request):
    """The chunks as OpenAI's types read them."""
    body = await post(session, provider, provider.build_request(request))
    translation = Translation(lambda events: provider.parse_stream(request, events))
    events = EventSplitter().feed(body)
    pieces = translation.feed(events) + translation.finish()
    translation.raise_error()
    data = [piece.data if isinstance(piece, ChatChunk) else piece for piece in pieces]
    return [ChatCompletionChunk.model_validate_json(line.removeprefix(b"data: ")) for line in data]


def tool_turns(message, content="21"):
    """The conversation's next turns: the assistant's message, and a result for each call."""
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": content}
        for call in message["tool_calls"]
    ]
    return [QUESTION, message, *results]


async def test_a_text_answer_comes_back_as_a_chat_completion(session, provider):
    completion, answer = await complete(session, provider, chat({"role": "user", "content": "Hi"}))
    assert completion.choices[0].message.content == "Cut to camera two."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.prompt_tokens == answer.usage.total_input_tokens == 2


async def test_whatever_a_client_can_say_passes_the_vendors_types(session, server, provider):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    request = chat(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]},
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_time"}},
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object"}},
        },
        reasoning_effort="high",
        temperature=0.1,
        top_p=0.2,
        top_k=3,
        seed=4,
        stop=["END"],
        n=2,
        logprobs=True,
        top_logprobs=5,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        max_completion_tokens=99,
        safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        extra_body={"google": {"cached_content": "cachedContents/1"}},
        modalities=["text", "image"],
    )
    await complete(session, provider, request)
    (body,) = server.app[REQUESTS]
    assert body.system_instruction.parts[0].text == "Be brief."
    assert body.contents[0].parts[1].inline_data.data == b"hi"
    assert body.generation_config.thinking_config.thinking_level is types.ThinkingLevel.HIGH
    assert body.generation_config.model_dump(exclude_none=True).keys() == {
        *("temperature", "top_p", "top_k", "seed", "stop_sequences", "candidate_count"),
        *("response_logprobs", "logprobs", "presence_penalty", "frequency_penalty"),
        *("max_output_tokens", "response_mime_type", "response_json_schema"),
        *("thinking_config", "response_modalities"),
    }


async def test_the_signature_of_a_tool_loop_goes_back_untouched(session, server, provider):
    options = {"tools": TOOLS, "reasoning_effort": "low"}
    first, _ = await complete(session, provider, chat(QUESTION, **options))
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message.model_dump(exclude_none=True)
    turns = tool_turns(message, '{"celsius": 21}')
    second, _ = await complete(session, provider, chat(*turns, **options))
    assert second.choices[0].message.content.startswith('The tools say [{"celsius": 21}')
    sent = server.app[REQUESTS][1].contents[1].parts
    assert [part.thought_signature for part in sent] == [SIGNATURE, None]


async def test_the_signature_of_a_streamed_tool_loop_goes_back_untouched(session, provider):
    request = chat(QUESTION, tools=TOOLS, reasoning_effort="low", stream=True)
    chunks = await stream(session, provider, request)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thinking = "".join(delta.model_extra.get("reasoning_content", "") for delta in deltas)
    assert thinking == "What would a director say?"
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [call.index for call in calls] == [0, 1]
    message = {"role": "assistant", "tool_calls": [call.model_dump() for call in calls]}
    again = chat(*tool_turns(message), tools=TOOLS, stream=True)
    text = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in await stream(session, provider, again)
        if chunk.choices
    )
    assert text == 'The tools say [{"output": "21"}, {"output": "21"}].'


async def test_a_signature_that_the_client_lost_is_replaced_by_the_skip_value(session, provider):
    message = {
        "role": "assistant",
        "tool_calls": [
            {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
            for name in ("get_weather", "get_time")
        ],
    }
    completion, _ = await complete(session, provider, chat(*tool_turns(message), tools=TOOLS))
    assert completion.choices[0].message.content.startswith("The tools say")


async def test_a_signature_that_was_changed_is_refused_by_the_upstream(session, provider):
    first, _ = await complete(session, provider, chat(QUESTION, tools=TOOLS))
    message = first.choices[0].message.model_dump(exclude_none=True)
    message["tool_calls"][0]["extra_content"]["google"]["thought_signature"] = "AAAA"
    with pytest.raises(CallError, match="thought_signature") as raised:
        await complete(session, provider, chat(*tool_turns(message), tools=TOOLS))
    assert raised.value.outcome is Outcome.UPSTREAM_REJECTED


async def test_the_signature_of_streamed_text_goes_back_on_its_own_part(session, server, provider):
    chunks = await stream(session, provider, chat(QUESTION, stream=True))
    end = next(chunk.choices[0] for chunk in chunks if chunk.choices[0].finish_reason)
    reply = {
        "role": "assistant",
        "content": "Cut to camera two.",
        "extra_content": end.delta.model_extra["extra_content"],
    }
    await complete(session, provider, chat(QUESTION, reply, QUESTION))
    parts = server.app[REQUESTS][1].contents[1].parts
    assert [(part.text, part.thought_signature) for part in parts] == [
        ("Cut to camera two.", None),
        ("", SIGNATURE),
    ]


async def test_the_last_chunk_of_a_stream_reports_the_whole_usage(session, provider):
    chunks = await stream(session, provider, chat(QUESTION, reasoning_effort="low", stream=True))
    whole, _ = await complete(session, provider, chat(QUESTION, reasoning_effort="low"))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 26
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


async def test_a_key_that_is_not_known_is_the_gateways_own_trouble(session, server):
    provider = provider_at(server, "another-key")
    with pytest.raises(CallError) as raised:
        await complete(session, provider, chat(QUESTION))
    assert raised.value.outcome is Outcome.UPSTREAM_CREDENTIALS


async def embed(session, provider, **body):
    request = EmbeddingRequest(model="gemini-embedding-001", body={"model": "e", **body})
    answer = await post(session, provider, provider.build_embedding(request))
    return provider.parse_embedding(request, answer).body


async def test_embeddings_come_in_the_order_of_their_texts(session, provider):
    body = await embed(session, provider, input=["a", "four"])
    data = CreateEmbeddingResponse.model_validate_json(body).data
    assert [(item.index, item.embedding[:2]) for item in data] == [(0, [1, 0.5]), (1, [4, 2])]


async def test_embeddings_as_base64_are_the_same_numbers_in_float32(session, provider):
    options = {"encoding_format": "base64", "dimensions": 3}
    (item,) = orjson.loads(await embed(session, provider, input="four", **options))["data"]
    floats = struct.unpack("<3f", base64.b64decode(item["embedding"]))
    assert floats == pytest.approx((4, 2, 4 / 3))


async def test_token_ids_cannot_be_embedded(session, provider):
    with pytest.raises(CallError, match="not token ids") as raised:
        await embed(session, provider, input=[1, 2, 3])
    assert raised.value.outcome is Outcome.UNSUPPORTED


async def test_the_vendors_sdk_holds_the_same_conversation(server):
    options = types.HttpOptions(base_url=str(server.make_url("/")))
    client = genai.Client(api_key=KEY, http_options=options).aio
    config = types.GenerateContentConfig(
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="get_time", parameters_json_schema={"type": "object"}
                    )
                ]
            )
        ],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    async with client:
        talk = client.chats.create(model=MODEL, config=config)
        first = await talk.send_message("What time is it?")
        (call,) = first.function_calls
        result = types.FunctionResponse(id=call.id, name=call.name, response={"time": "9:30"})
        second = await talk.send_message(types.Part(function_response=result))
        assert second.text == 'The tools say [{"time": "9:30"}].'
