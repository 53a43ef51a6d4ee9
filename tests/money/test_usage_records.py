"""What each provider reports as used: as disjoint classes, and as money worked out by hand.

``golden_usage/<provider type>.yaml`` has one record a case. What stands beside ``cases`` holds for
those that do not say otherwise:

    source      where the shape of the payload is from, with the date it was read, or "assumed"
    prices      the list that the cost was worked out with
    at          the moment of the call
    model       as the provider calls it; ``settings`` are the provider's, ``price`` a reference
    response    what the upstream answers, or ``stream``, or ``embedding``, or ``cut``: a stream
                that ends too early
    classes     the token classes that are not 0
    cost_nano   billionths of a currency's unit, by currency; the sum stands in the comment above
    estimated   whether a cut stream's record is the gateway's own count
"""

import json
from contextlib import suppress
from functools import cache
from pathlib import Path

import aiohttp
import orjson
import pytest
import yaml
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import Gateway, Options
from gateway.errors import CallError, Outcome
from gateway.money.prices import PriceBook, default_price_dir
from gateway.money.tables import Tables
from gateway.plugins import discover
from gateway.schema import TOKEN_CLASSES, ChatRequest, EmbeddingRequest, Money, Target
from gateway.upstream.exchange import UNSEEN_TOKENS
from tests.plugins.test_golden import provider_of, relayed

FOLDER = Path(__file__).parent / "golden_usage"
PAYLOADS = ("response", "stream", "embedding", "cut")
ASKED = {"messages": [{"role": "user", "content": "Write a scene."}]}
"""Eight tokens by the gateway's count: 4 for the message, 14 x 0.27 for the text, and one."""

registry = cache(discover)
tables = cache(lambda: Tables.load(default_price_dir()))


def load_cases():
    for path in sorted(FOLDER.glob("*.yaml")):
        common = yaml.safe_load(path.read_text("utf-8"))
        for case in common.pop("cases"):
            yield pytest.param({**common, **case}, id=f"{path.stem}: {case['name']}")


CASES = list(load_cases())
TOLD = [param for param in CASES if "cut" not in param.values[0]]
CUT = [param for param in CASES if "cut" in param.values[0]]


def provider_for(case):
    return provider_of(registry(), case["provider"], case.get("settings", {}))


def usage_in(case):
    """The usage that the provider's translation reads out of the payload."""
    provider, request = provider_for(case), ChatRequest(case["model"], ASKED)
    if "embedding" in case:
        asked = EmbeddingRequest(case["model"], {"input": "A door."})
        return provider.parse_embedding(asked, orjson.dumps(case["embedding"])).usage
    if "response" in case:
        return provider.parse_response(request, orjson.dumps(case["response"])).usage
    return relayed(provider, request._replace(stream=True), case["stream"].encode())[1]


def target_of(case):
    return Target(case["provider"], case["model"], case["model"])


def book_for(case):
    """The gateway's own price book, as if ``case`` were all of the configuration."""
    price = case.get("price")
    references = {case["model"]: tuple(price.split("/", 1))} if price else {}
    roots = {case["provider"]: provider_for(case).root}
    return PriceBook(tables(), {}, references, roots)


def money_of(case):
    ((currency, nano),) = case["cost_nano"].items()
    return Money(nano, currency)


def priced_with(case):
    price = book_for(case).price(target_of(case))
    return f"worked out with {case['prices']}, priced by {price.source if price else 'nobody'}"


def stated_totals(case):
    """Input and output as the payload's own totals have them."""
    usage = {}
    for event in events_in(case):
        choices = event.get("choices") or [{}]
        places = (event, event.get("message", {}), choices[0])
        for told in (place.get("usage") or place.get("usageMetadata") or {} for place in places):
            usage |= told
    if "prompt_tokens" in usage:
        completion = usage["total_tokens"] - usage["prompt_tokens"]
        assert completion >= usage.get("completion_tokens", 0)
        return usage["prompt_tokens"], completion
    if "promptTokenCount" in usage:
        prompt = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
        return prompt, usage["totalTokenCount"] - prompt
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage[name] or 0 for name in names), usage["output_tokens"]


def events_in(case):
    if "stream" not in case:
        return [case.get("response") or case["embedding"]]
    lines = [line.removeprefix("data: ") for line in case["stream"].splitlines()]
    return [orjson.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("case", TOLD)
def test_the_classes_are_those_of_the_payload(case):
    usage = usage_in(case)
    assert usage.classes() == case["classes"]
    assert not usage.estimated


@pytest.mark.parametrize("case", TOLD)
def test_the_classes_add_up_to_what_the_payload_says(case):
    usage = usage_in(case)
    assert (usage.total_input_tokens, usage.total_output_tokens) == stated_totals(case)


@pytest.mark.parametrize("case", TOLD)
def test_the_cost_is_the_one_worked_out_by_hand(case):
    price = book_for(case).price(target_of(case))
    assert price is not None, priced_with(case)
    assert price.cost(usage_in(case), case["at"].timestamp()) == money_of(case), priced_with(case)


# Streams that end before their usage came


KEY = "sk-records-test"
CONFIG = """
rehearsal: never
providers:
  upstream: {{type: {provider}, api_key: "${{UPSTREAM_KEY}}", base_url: "{base_url}"}}
models:
  writer:
    targets: [upstream/{model}]
    price: {{input_per_mtok: "1", output_per_mtok: "1"}}
tasks: {{draft: {{models: [writer], max_output_tokens: 100}}}}
auto: {{default_task: draft}}
"""


@pytest.fixture
def record_of(aiohttp_server, tmp_path):
    """The gateway's record of a call whose upstream answers with the case's stream."""

    async def call(case):
        async def answer(request):
            return web.Response(body=case["cut"].encode(), content_type="text/event-stream")

        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        upstream = await aiohttp_server(app)
        config, base_url = tmp_path / "gateway.yaml", str(upstream.make_url("/v1"))
        named = {"provider": case["provider"], "model": case["model"], "base_url": base_url}
        config.write_text(CONFIG.format(**named))
        records = []
        environ = {"DAOBO_KEY": KEY, "UPSTREAM_KEY": "sk-upstream-test"}
        gateway = Gateway(Options(config, tmp_path, environ), records.append)
        server = await aiohttp_server(gateway.public_app())
        headers = {"authorization": f"Bearer {KEY}"}
        asked = {"model": "writer", "stream": True, **ASKED}
        async with aiohttp.ClientSession() as session:
            url = server.make_url("/v1/chat/completions")
            async with session.post(url, json=asked, headers=headers) as response:
                await response.read()
        gateway.records.flush()
        await gateway.close()
        (record,) = records
        return record

    return call


@pytest.mark.parametrize("case", CUT)
async def test_a_stream_that_is_cut_is_charged_by_what_is_known_of_it(case, record_of):
    record = await record_of(case)
    assert record.outcome is Outcome.UPSTREAM_CUT
    written = record.usage.output_tokens - UNSEEN_TOKENS  # what was on its way is charged besides
    known = record.usage._replace(output_tokens=written)
    assert known.classes() == case["classes"]
    assert known.estimated is case.get("estimated", True)
    price = book_for(case).price(target_of(case))
    cost = price.cost(known, case["at"].timestamp())
    assert cost == money_of(case), priced_with(case)


# The records themselves


def test_every_provider_type_has_an_answer_a_stream_and_a_cut_stream():
    embedded = {
        kind
        for kind, (_, provider_class) in registry().providers.items()
        if hasattr(provider_class, "open_upstream")
    }
    shown = {
        (param.values[0]["provider"], payload)
        for param in CASES
        for payload in PAYLOADS
        if payload in param.values[0]
    }
    wanted = {"response", "stream", "cut"}
    assert {kind for kind, _ in shown} == set(registry().providers) - embedded
    assert {(kind, payload) for kind, _ in shown for payload in wanted} <= shown


@pytest.mark.parametrize("case", CASES)
def test_a_record_names_its_source_and_rounds_nothing(case):
    assert case["source"]
    rates = book_for(case).price(target_of(case))
    lines = rates.rates(sum(case["classes"].values()), int(case["at"].timestamp()))
    rate = dict(zip(TOKEN_CLASSES, lines, strict=True))
    assert [name for name, count in case["classes"].items() if count * rate[name] % 10**6] == []


# What holds for every usage

KINDS = sorted({param.values[0]["provider"] for param in CASES})
REQUIRED = {
    "azure": {"base_url": "https://studio.openai.azure.com"},
    "openai-compatible": {"base_url": "http://127.0.0.1:8000/v1"},
}
counts = st.integers(0, 10**9)
absurd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(2**63 - 1, 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def provider_of_kind(kind):
    return provider_of(registry(), kind, REQUIRED.get(kind, {}))


def dumps(value):
    """JSON as an upstream may write it: integers of any size."""
    return json.dumps(value).encode()


def answer_with(kind, usage):
    """A whole answer on the provider's wire."""
    if kind == "anthropic":
        text = [{"type": "text", "text": "Cut."}]
        return dumps({"content": text, "stop_reason": "end_turn", "usage": usage})
    if kind == "gemini":
        content = {"parts": [{"text": "Cut."}]}
        candidates = [{"content": content, "finishReason": "STOP"}]
        return dumps({"candidates": candidates, "usageMetadata": usage})
    message = {"role": "assistant", "content": "Cut."}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return dumps({"choices": choices, "usage": usage})


def stream_with(kind, usage):
    """A stream on the provider's wire, which tells its usage wherever it can."""
    if kind == "anthropic":
        events = [
            {"type": "message_start", "message": {"usage": usage}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
    elif kind == "gemini":
        events = [json.loads(answer_with(kind, usage))]
    else:
        ended = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
        events = [{"choices": [ended]}, {"choices": [], "usage": usage}]
    return b"".join(b"data: " + dumps(event) + b"\n\n" for event in events)


@st.composite
def openai_usages(draw):
    """Every detail is within its total; two may mean the same token, as a cached picture does."""
    prompt, completion = draw(counts), draw(counts)
    inputs = ("cached_tokens", "cache_write_tokens", "cache_creation_input_tokens", "audio_tokens",
              "audio_cached_tokens", "image_tokens", "video_tokens", "text_tokens")  # fmt: skip
    outputs = ("reasoning_tokens", "audio_tokens", "image_tokens", "text_tokens")
    beside = ("cached_tokens", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
    return {
        **{name: draw(st.integers(0, prompt)) for name in draw(st.sets(st.sampled_from(beside)))},
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": draw(details_of(inputs, prompt)),
        "completion_tokens_details": draw(details_of(outputs, completion)),
    }, (prompt, completion)


def details_of(names, total):
    within = st.integers(0, total)
    given_ = st.fixed_dictionaries({}, optional=dict.fromkeys(names, within | st.none()))
    return st.none() | given_


@st.composite
def anthropic_usages(draw):
    fresh, read, written, output = (draw(counts) for _ in range(4))
    hour = draw(st.integers(0, written))
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - hour,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": draw(st.integers(0, output))},
    }
    return usage, (fresh + read + written, output)


@st.composite
def gemini_usages(draw):
    prompt, tools, candidates, thoughts = (draw(counts) for _ in range(4))
    usage = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": draw(st.integers(0, prompt)),
        "toolUsePromptTokenCount": tools,
        "candidatesTokenCount": candidates,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + tools + candidates + thoughts,
        "promptTokensDetails": draw(modalities(prompt)),
        "candidatesTokensDetails": draw(modalities(candidates)),
    }
    return usage, (prompt + tools, candidates + thoughts)


def modalities(total):
    words = st.sampled_from(["TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"])
    entry = st.fixed_dictionaries({"modality": words, "tokenCount": st.integers(0, total)})
    return st.lists(entry, max_size=3)


USAGES = {"anthropic": anthropic_usages(), "gemini": gemini_usages()}


def last_usage(kind, usage, whole):
    provider, request = provider_of_kind(kind), ChatRequest("m", ASKED, stream=not whole)
    if whole:
        return provider.parse_response(request, answer_with(kind, usage)).usage
    return relayed(provider, request, stream_with(kind, usage))[1]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), whole=st.booleans())
def test_the_classes_of_any_honest_usage_add_up_to_its_totals(kind, data, whole):
    usage, totals = data.draw(USAGES.get(kind, openai_usages()))
    read = last_usage(kind, usage, whole)
    if read is None:
        assert totals == (0, 0)
        return
    assert (read.total_input_tokens, read.total_output_tokens) == totals
    assert min(getattr(read, name) for name in TOKEN_CLASSES) >= 0


FIELDS = {
    "anthropic": (
        "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens",
        "output_tokens_details.thinking_tokens",
    ),
    "gemini": (
        "promptTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount",
        "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount", "promptTokensDetails",
        "cacheTokensDetails", "candidatesTokensDetails",
    ),
}  # fmt: skip
OPENAI_FIELDS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens",
    "prompt_cache_hit_tokens", "prompt_tokens_details", "prompt_tokens_details.cached_tokens",
    "prompt_tokens_details.audio_tokens", "prompt_tokens_details.audio_cached_tokens",
    "prompt_tokens_details.cache_creation_input_tokens", "completion_tokens_details",
    "completion_tokens_details.reasoning_tokens", "completion_tokens_details.image_tokens",
)  # fmt: skip


def nested(flat):
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``; a value where an object should be gives way to it."""
    usage = {}
    for path, value in sorted(flat.items()):
        head, _, tail = path.partition(".")
        if not tail:
            usage[head] = value
        else:
            inner = usage.get(head)
            usage[head] = {**(inner if isinstance(inner, dict) else {}), tail: value}
    return usage


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), whole=st.booleans())
def test_an_absurd_usage_is_refused_or_read_without_harm(kind, data, whole):
    fields = FIELDS.get(kind, OPENAI_FIELDS)
    flat = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, absurd | counts))
    usage = data.draw(absurd | flat.map(nested))
    with suppress(CallError):
        if read := last_usage(kind, usage, whole):
            classes = [getattr(read, name) for name in TOKEN_CLASSES]
            assert all(type(count) is int and count >= 0 for count in classes)
            assert sum(classes) < 1 << 53
