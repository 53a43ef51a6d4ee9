"""A stream on its way to a client: when it commits, when it ends, and what a cut leaves of it."""

import asyncio
import itertools
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.framing import EventSplitter
from gateway.journey import Journey
from gateway.plugins import discover
from gateway.schema import Call, Caller, ChatRequest, Timeouts
from gateway.upstream.relay import Relay
from gateway.upstream.translation import Translation

GOLDEN = Path(__file__).parents[1] / "plugins" / "golden"
STREAMS = {
    "openai": GOLDEN / "openai/stream_tools/upstream_stream.sse",
    "anthropic": GOLDEN / "anthropic/stream_thinking_and_tools/upstream_stream.sse",
    "gemini": GOLDEN / "gemini/stream_text/upstream_stream.sse",
    "minimax": GOLDEN / "minimax/stream_thinking_tags/upstream_stream.sse",
}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
SOON_S = 30.0


@pytest.fixture(scope="module")
def providers():
    registry = discover()

    def make(kind, **settings):
        settings_class, provider_class = registry.providers[kind]
        base = {"type": kind, "api_key": "k", "base_url": "http://127.0.0.1:1/v1"}
        return provider_class(settings_class.model_validate({**base, **settings}))

    return make


class Kept:
    """What a client has been given."""

    def __init__(self):
        self.began = False
        self.data = b""

    async def begin_stream(self, journey, first):
        self.began = True
        self.data += first

    def write(self, data):
        self.data += data
        return True

    def when_drained(self, resume):
        raise AssertionError("its buffer is never full")

    @property
    def text(self):
        """Everything that was said, in order."""
        chunks = [orjson.loads(e.data) for e in EventSplitter().feed(self.data) if e.data]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        return "".join(said(choice["delta"]) for choice in choices)


def said(delta):
    calls = [call["function"] for call in delta.get("tool_calls") or ()]
    texts = [delta.get("reasoning_content"), delta.get("content"), delta.get("refusal")]
    texts += [call.get(name) for call in calls for name in ("name", "arguments")]
    return "".join(text or "" for text in texts)


class Body:
    """An answer whose body is there already, in pieces, and how it ends."""

    def __init__(self, pieces, error=None):
        self.pieces = [piece for piece in pieces if piece]
        self.error = error

    async def first(self):
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        return b""

    async def pump(self, receive):
        while self.pieces:
            receive(self.pieces.pop(0))
        if self.error is not None:
            raise self.error

    def close(self):
        self.pieces.clear()


def journey_of(body):
    return Journey(Call("c", "chat", Caller("k"), "m", body, 10, 0.0, 0.0, stream=True))


def relay_of(provider, response, client, timeouts=Timeouts(), **body):  # noqa: B008 - frozen
    request = ChatRequest("m", {"stream": True, **body}, stream=True, call_id="c", created_s=1)
    translation = Translation(lambda events: provider.parse_stream(request, events))
    journey = journey_of(request.body)
    relay = Relay(journey, request, translation, response, client, timeouts, time.monotonic)
    return journey, relay


async def relayed(provider, body):
    """The client and the error of a relay that is over."""
    client = Kept()
    _, relay = relay_of(provider, body, client)
    try:
        await relay.run()
    except CallError as error:
        return client, error
    return client, None


# Cut streams


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("end", ["reset", "orderly"])
async def test_a_cut_at_any_byte_is_never_a_silent_end_and_never_doubles_text(providers, kind, end):
    provider, stream = providers(kind), STREAMS[kind].read_bytes()
    whole, error = await relayed(provider, Body([stream]))
    assert error is None
    for cut in range(len(stream)):
        failure = CallError(Outcome.UPSTREAM_CUT, "reset") if end == "reset" else None
        middle = cut // 2
        client, error = await relayed(
            provider, Body([stream[:middle], stream[middle:cut]], failure)
        )
        assert whole.text.startswith(client.text)
        assert client.began == bool(client.data)
        if error is None:
            assert client.text == whole.text
        else:
            assert error.outcome in (Outcome.UPSTREAM_CUT, Outcome.UPSTREAM_GARBLED)
        assert client.text or not client.began


@given(st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from(sorted(STREAMS)))
def test_a_stream_is_the_same_however_it_is_read(providers, cuts, kind):
    provider, stream = providers(kind), STREAMS[kind].read_bytes()
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]

    async def both():
        return [await relayed(provider, Body(body)) for body in ([stream], pieces)]

    (whole, _), (cut, error) = asyncio.run(both())
    assert error is None
    assert cut.data == whole.data


# On a socket


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice], **more}) + b"\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
RAIN = chunk({"content": "Rain."})
STOP = chunk({}, "stop")
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def stream_of(serve, pool, providers):
    """Relays what a script writes; the journey, the client and the error there was."""

    async def run(*pieces, ends=True, timeouts=Timeouts(), then=None, **body):  # noqa: B008
        async def script(peer):
            await peer.request()
            await peer.answer(HEAD, *pieces)
            if then is not None:
                await then(peer)
            elif not ends:
                await peer.hung_up()
            await peer.close()

        server = await serve(script)
        response = await pool.send(server.request(), timeouts)
        client = Kept()
        journey, relay = relay_of(providers("openai"), response, client, timeouts, **body)
        error = None
        async with asyncio.timeout(SOON_S):
            try:
                await relay.run()
            except CallError as failure:
                error = failure
            finally:
                response.close()
        return journey, client, error

    return run


@pytest.mark.parametrize(
    "beginning",
    [ROLE, b": queued\n\n" + ROLE, b'data: {"choices":[],"prompt_filter_results":[]}\n\n' + ROLE],
)
async def test_a_stream_that_says_nothing_before_it_fails_has_not_begun(stream_of, beginning):
    failure = b'data: {"error":{"message":"the engine gave up","code":503}}\n\n'
    _, client, error = await stream_of(beginning, failure)
    assert error.outcome is Outcome.UPSTREAM_OVERLOADED
    assert not client.began


async def test_a_stream_that_ends_after_its_role_has_not_begun(stream_of):
    _, client, error = await stream_of(ROLE)
    assert error.outcome is Outcome.UPSTREAM_CUT
    assert not client.began


async def test_the_first_word_commits_and_brings_along_what_was_held_back(stream_of):
    journey, client, error = await stream_of(ROLE, RAIN)
    assert error.outcome is Outcome.UPSTREAM_CUT
    assert client.data == ROLE + RAIN
    assert journey.first_token_s is not None


async def test_an_empty_answer_is_an_answer(stream_of):
    _, client, error = await stream_of(ROLE, STOP, DONE)
    assert error is None
    assert client.data == ROLE + STOP


async def test_what_says_nothing_is_held_back_within_bounds(stream_of):
    empty = chunk({"content": ""}, padding="x" * 30_000)
    _, client, error = await stream_of(*[empty] * 5)
    assert error.outcome is Outcome.UPSTREAM_CUT
    assert client.began


@pytest.mark.parametrize("verdict", [{}, {"content": None, "refusal": "violence"}])
async def test_an_answer_of_which_a_filter_left_nothing_is_a_refusal(stream_of, verdict):
    pieces = (ROLE, chunk(verdict, "content_filter"), USAGE, DONE)
    journey, client, error = await stream_of(*pieces)
    assert error.outcome is Outcome.CONTENT_POLICY
    assert not client.began
    assert journey.usage.input_tokens == 3


async def test_an_answer_that_a_filter_cut_short_is_an_answer(stream_of):
    journey, client, error = await stream_of(RAIN, chunk({}, "content_filter"), DONE)
    assert error is None
    assert client.text == "Rain."
    assert journey.finish_reason == "content_filter"


@pytest.mark.parametrize("tail", [b"", b": still here\n\n", USAGE])
async def test_a_stream_that_never_ends_ends_soon_after_its_finish_reason(stream_of, tail):
    timeouts = Timeouts(stream_end_s=0.05)
    journey, client, error = await stream_of(RAIN, STOP, tail, ends=False, timeouts=timeouts)
    assert error is None
    assert client.text == "Rain."
    assert (journey.usage is not None) == (tail == USAGE)


async def test_a_client_that_is_slow_at_the_end_costs_nobody_the_usage(serve, pool, providers):
    async def script(peer):
        await peer.request()
        await peer.answer(HEAD, RAIN)
        await began.wait()
        await peer.answer(STOP)
        await full.wait()
        await peer.answer(USAGE)
        await peer.hung_up()

    class Slow(Kept):
        async def begin_stream(self, journey, first):
            began.set()

        def write(self, data):
            self.data += data
            return STOP not in data

        def when_drained(self, resume):
            full.set()
            asyncio.get_running_loop().call_later(0.15, resume)

    began, full, client = asyncio.Event(), asyncio.Event(), Slow()
    timeouts = Timeouts(stream_end_s=0.05)
    server = await serve(script)
    response = await pool.send(server.request(), timeouts)
    journey, relay = relay_of(providers("openai"), response, client, timeouts)
    async with asyncio.timeout(SOON_S):
        await relay.run()
    response.close()
    assert journey.usage is not None


async def test_comments_after_the_finish_reason_do_not_keep_a_stream_alive(stream_of):
    async def go_on(peer):
        while not peer.writer.is_closing():
            await peer.answer(b": still here\n\n")
            await asyncio.sleep(0.01)

    timeouts = Timeouts(stream_end_s=0.05)
    _, client, error = await stream_of(RAIN, STOP, then=go_on, timeouts=timeouts)
    assert error is None
    assert client.text == "Rain."


async def test_a_stream_of_which_one_choice_has_ended_goes_on(stream_of):
    other = chunk({"content": "x"}).replace(b'"index":0', b'"index":1')

    async def go_on(peer):
        await asyncio.sleep(0.1)
        await peer.answer(other, STOP.replace(b'"index":0', b'"index":1'), DONE)

    timeouts = Timeouts(stream_end_s=0.02)
    _, client, error = await stream_of(RAIN, STOP, then=go_on, timeouts=timeouts, n=2)
    assert error is None
    assert client.text == "Rain.x"


@pytest.mark.parametrize("beginning", [(), (ROLE,), (RAIN,)])
async def test_comments_alone_are_life_for_so_long_only(stream_of, beginning):
    async def go_on(peer):
        while not peer.writer.is_closing():
            await peer.answer(b": keep-alive\n\n")
            await asyncio.sleep(0.01)

    timeouts = Timeouts(content_s=0.05)
    _, client, error = await stream_of(*beginning, then=go_on, timeouts=timeouts)
    assert error.outcome is Outcome.UPSTREAM_TIMEOUT
    assert client.began == (beginning == (RAIN,))
