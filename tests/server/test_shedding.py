"""While calls are shed, a connection refuses them unread, and never takes a body for a request."""

import asyncio
import hashlib
import inspect
import itertools
import re

import aiohttp
import orjson
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ServerConfig
from gateway.limits.overload import Arrivals
from gateway.schema import Caller
from gateway.server.listener import Connection, Listener
from gateway.server.shedding import SheddingConnection
from gateway.server.turnstile import Turnstile

KEY = "sk-shed-test"
CALLS = "/v1/chat/completions"
SMUGGLED = b"POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
PATIENCE_S = 30.0
"""Ends a test that has failed."""


def call(number=0, body=b"", *, path=CALLS, more=b"", length=None):
    """A plain call whose number stands in its target."""
    length = len(body) if length is None else length
    return (
        b"POST %b?n=%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
        b"%bContent-Length: %d\r\n\r\n" % (path.encode(), number, KEY.encode(), more, length)
    ) + body


class Switch:
    """An overload that is switched by hand."""

    def __init__(self):
        self.is_tight = False
        self.full = False
        self.arrivals = Arrivals()
        self.asked = []

    def sheds(self, key):
        self.asked.append(key)
        return self.full


class Ring:
    def find(self, digest):
        known = digest == hashlib.sha256(KEY.encode()).digest()
        return Caller("key_1") if known else None


async def until(question):
    """Lets everybody else go on until the answer is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not question():
            await asyncio.sleep(0)


class Front:
    """A listener that sheds, before a handler that remembers what reached it."""

    def __init__(self):
        self.overload = Switch()
        self.is_leaving = False
        self.reached = []
        self.gate = None
        turnstile = Turnstile(Ring(), self.overload, lambda: self.is_leaving, lambda: 1.0)
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.listener = Listener(
            app,
            ServerConfig,
            lambda *args, **kwargs: SheddingConnection(turnstile, *args, **kwargs),
            access_log=None,
            shutdown_timeout=0.1,
        )

    async def _handle(self, request):
        body = b"" if "early" in request.query else await request.read()
        self.reached.append((str(request.rel_url), body))
        if self.gate is not None:
            await self.gate.wait()
        return web.Response(text="fine")

    def shed(self, *, full=True):
        self.overload.is_tight, self.overload.full = True, full

    def calm_down(self):
        self.overload.is_tight = self.overload.full = False

    async def connections(self, count):
        """Those that are open, once there are so many."""
        await until(lambda: len(self.listener.server.connections) >= count)
        return self.listener.server.connections

    async def connect(self):
        return Talk(*await asyncio.open_connection(*self.listener.addresses[0]))


class Talk:
    """One client's connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def say(self, raw):
        self.writer.write(raw)

    async def hear(self):
        """The status, head and body of the next answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = b" 100 "
            while b" 100 " in head:
                head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head[9:12]), head, await self.reader.readexactly(length)

    async def ask(self, raw):
        self.say(raw)
        return (await self.hear())[0]


@pytest.fixture
async def front():
    front = Front()
    await front.listener.setup()
    await web.TCPSite(front.listener, "127.0.0.1", 0).start()
    yield front
    await front.listener.cleanup()


async def test_a_call_is_refused_with_an_error_that_clients_understand(front):
    front.shed()
    talk = await front.connect()
    talk.say(call())
    status, head, body = await talk.hear()
    assert status == 503
    assert b"retry-after: 1\r\n" in head
    assert b"x-request-id: req_" in head
    assert b"connection: close" not in head
    assert orjson.loads(body)["error"]["code"] == "overloaded"
    assert front.reached == []
    assert front.overload.asked == ["key_1"]


async def test_each_refusal_has_an_id_of_its_own(front):
    front.shed()
    talk = await front.connect()
    ids = set()
    for _ in range(3):
        talk.say(call())
        ids.add((await talk.hear())[1].split(b"x-request-id: ")[1].split(b"\r\n")[0])
    assert len(ids) == 3


async def test_the_connection_is_served_as_ever_once_it_is_over(front):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(call(1, b"a")) == 503
    front.calm_down()
    assert await talk.ask(call(2, b"b")) == 200
    assert front.reached == [(f"{CALLS}?n=2", b"b")]


async def test_whoever_has_less_than_their_part_comes_in(front):
    front.shed(full=False)
    talk = await front.connect()
    assert await talk.ask(call(1, b"a")) == 200
    front.shed()
    assert await talk.ask(call(2, b"b")) == 503
    assert [body for _, body in front.reached] == [b"a"]


async def test_a_call_that_was_let_in_is_counted_until_it_is_over(front):
    front.shed(full=False)
    front.gate = asyncio.Event()
    talk = await front.connect()
    talk.say(call(1, b"a"))
    await until(lambda: front.reached)
    assert front.overload.arrivals.total == 1
    front.gate.set()
    await talk.hear()
    assert front.overload.arrivals.total == 0


async def test_a_call_that_was_let_in_is_not_counted_once_its_client_has_left(front):
    front.shed(full=False)
    talk = await front.connect()
    talk.say(call(1, b"half", length=100))
    await until(lambda: front.overload.arrivals.total)
    talk.writer.close()
    await until(lambda: not front.overload.arrivals.total)


async def test_nor_once_its_client_has_left_before_it_was_answered(front):
    front.shed(full=False)
    front.gate = asyncio.Event()
    talk = await front.connect()
    talk.say(call(1, b"a"))
    await until(lambda: front.reached)
    talk.writer.close()
    await until(lambda: not front.overload.arrivals.total)
    front.gate.set()


async def test_a_connection_rests_from_its_last_refusal_on(front):
    front.shed()
    began_s = asyncio.get_running_loop().time()
    talk = await front.connect()
    assert await talk.ask(call()) == 503
    [connection] = front.listener.server.connections
    due_s = connection._due_s(asyncio.get_running_loop().time(), 0)
    assert due_s >= began_s + ServerConfig().idle_timeout_s


async def test_whoever_does_not_read_the_answers_is_not_sent_more(front):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(call(1)) == 503
    [connection] = front.listener.server.connections
    connection.pause_writing()
    talk.say(call(2))
    await until(lambda: front.reached)
    connection.resume_writing()
    assert (await talk.hear())[0] == 200
    assert len(front.overload.asked) == 1


@pytest.mark.parametrize("at", [0, 1, len(SMUGGLED), 5000])
async def test_the_body_of_a_refused_call_is_never_a_request(front, at):
    front.shed()
    talk = await front.connect()
    body = (b"x" * at + SMUGGLED).ljust(20_000, b"y") + SMUGGLED
    head = call(1, length=len(body))
    assert await talk.ask(head) == 503
    for begin in range(0, len(body), 3000):
        talk.say(body[begin : begin + 3000])
        await talk.writer.drain()
    assert await talk.ask(call(2)) == 503
    front.calm_down()
    assert await talk.ask(call(3, b"c")) == 200
    assert front.reached == [(f"{CALLS}?n=3", b"c")]


async def test_a_body_goes_on_being_skipped_when_the_rush_is_over(front):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(call(1, length=len(SMUGGLED))) == 503
    front.calm_down()
    talk.say(SMUGGLED)
    assert await talk.ask(call(2)) == 200
    assert front.reached == [(f"{CALLS}?n=2", b"")]


UNUSUAL = {
    "chunked": call().replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    "health": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "models": b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "quotes": call(body=b"q", path="/v1/quotes"),
    "without a key": call(body=b"n").replace(b"Authorization", b"X-Other"),
    "another's key": call(body=b"n").replace(b"sk-shed", b"sk-else"),
    "expecting": call(more=b"Expect: 100-continue\r\n"),
    "large": call(body=b"x" * 1_100_000),
}


@pytest.mark.parametrize("raw", UNUSUAL.values(), ids=UNUSUAL)
async def test_what_is_no_plain_call_goes_to_the_door(front, raw):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(raw) == 200
    assert len(front.reached) == 1
    assert front.overload.asked == []


@pytest.mark.parametrize(
    "raw",
    [
        call(more=b"Content-Length: 5\r\n", body=SMUGGLED),
        call(more=b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n" + SMUGGLED),
        call(more=b"Content-Length : 5\r\n", body=SMUGGLED),
        call(more=b"X: y\r\n z\r\n", body=SMUGGLED),
        call(more=b"X: \0\r\n", body=SMUGGLED),
        call(body=SMUGGLED).replace(b"Content-Length: ", b"Content-Length: +"),
        call(body=SMUGGLED).replace(b"Host: x\r\n", b"Host: x\n"),
    ],
    ids=["two lengths", "length and chunks", "a space", "folded", "nul", "signed", "bare lf"],
)
async def test_what_is_ambiguous_is_refused_by_the_parser_for_good(front, raw):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(raw) == 400
    assert await talk.reader.read() == b""
    assert front.reached == []


async def test_requests_behind_a_refused_one_are_answered_in_their_order(front):
    front.shed()
    talk = await front.connect()
    talk.say(call(1, b"a") + call(2, b"b") + call(3, b"c"))
    assert [(await talk.hear())[0] for _ in range(3)] == [503, 200, 200]
    assert [body for _, body in front.reached] == [b"b", b"c"]


async def test_nobody_is_refused_before_the_last_one_is_answered(front):
    front.shed(full=False)
    front.gate = asyncio.Event()
    talk = await front.connect()
    talk.say(call(1, b"a"))
    await until(lambda: front.reached)
    front.shed()
    talk.say(call(2, b"b"))
    await until(lambda: any(one._messages for one in front.listener.server.connections))
    front.gate.set()
    assert [(await talk.hear())[0] for _ in range(2)] == [200, 200]


async def test_nobody_is_refused_before_several_others_are_answered(front):
    front.shed(full=False)
    front.gate = asyncio.Semaphore(0)
    front.gate.wait = front.gate.acquire
    talk = await front.connect()
    [connection] = await front.connections(1)

    async def say(number):
        seen = connection._request_count
        talk.say(call(number))
        await until(lambda: connection._request_count != seen)

    await say(1)
    front.shed()
    await say(2)
    for number in (3, 4):  # each comes while the one before it waits behind another
        front.gate.release()
        assert (await talk.hear())[0] == 200
        await say(number)
    for _ in range(2):
        front.gate.release()
        assert (await talk.hear())[0] == 200
    assert [path[-1] for path, _ in front.reached] == ["1", "2", "3", "4"]


HALF_A_HEAD = b"GET /begun HTTP/1.1\r\nHost: x\r\nX: "


async def test_a_head_that_begins_behind_a_refused_call_is_gone_on_with(front):
    front.shed()
    talk = await front.connect()
    assert await talk.ask(call(1, b"a") + HALF_A_HEAD) == 503
    talk.say(call(2).replace(b"Host: x\r\n", b""))
    assert (await talk.hear())[0] == 200
    assert [path for path, _ in front.reached] == ["/begun"]


async def test_a_head_that_begins_behind_the_rest_of_a_body_is_gone_on_with(front):
    front.shed(full=False)
    talk = await front.connect()
    talk.say(call(1, b"a", length=2))
    await until(lambda: front.overload.arrivals.total)
    assert await talk.ask(b"b" + HALF_A_HEAD) == 200
    front.shed()
    talk.say(call(2).replace(b"Host: x\r\n", b""))
    assert (await talk.hear())[0] == 200
    assert [path for path, _ in front.reached] == [f"{CALLS}?n=1", "/begun"]


async def test_a_connection_that_was_open_before_is_known_after_one_call(front):
    talk = await front.connect()
    assert await talk.ask(call(1, b"a")) == 200
    front.shed()
    assert await talk.ask(call(2, b"b")) == 200  # by the door, which here refuses nobody
    assert await talk.ask(call(3, b"c")) == 503


@pytest.mark.parametrize(
    "begun", [b"GET /begun HTTP/1.1\r\n", b"GET /begun HTTP/1.1\r\nHost: x\r\nX: "]
)
async def test_the_rest_of_a_head_that_came_in_a_rush_is_no_request(front, begun):
    talk = await front.connect()
    talk.say(call(1, b"a") + begun)
    assert (await talk.hear())[0] == 200
    front.shed()
    talk.say(call(2, b"b"))  # stands in the middle of another request's head
    assert (await talk.hear())[0] in (200, 400)
    assert front.overload.asked == []


async def test_behind_such_a_head_a_connection_is_known_again_after_a_plain_call(front):
    talk = await front.connect()
    talk.say(call(1, b"a") + b"GET /begun HTTP/1.1\r\nX: ")
    assert (await talk.hear())[0] == 200
    front.shed()
    assert await talk.ask(call(2, b"b")) == 200  # the rest of that head
    assert await talk.ask(call(3, b"c")) == 200
    assert await talk.ask(call(4, b"d")) == 503
    assert [path for path, _ in front.reached] == [f"{CALLS}?n=1", "/begun", f"{CALLS}?n=3"]


async def test_a_call_in_a_body_that_nobody_read_tells_nothing_of_where_requests_end(front):
    front.shed()
    talk = await front.connect()
    inner = call(1, length=1000)
    chunked = call(path=f"{CALLS}?early=1&x=").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    assert await talk.ask(chunked + b"%x\r\n" % len(inner)) == 200
    assert await talk.ask(inner + b"\r\n0\r\n\r\n" + call(2)) == 200
    assert await talk.ask(call(3)) == 200
    assert await talk.ask(call(4)) == 503
    assert [path[-1] for path, _ in front.reached] == ["0", "2", "3"]


async def test_a_head_in_two_pieces_goes_to_the_door(front):
    front.shed()
    talk = await front.connect()
    raw = call(1, b"a")
    talk.say(raw[:30])
    await until(lambda: any(one._was_asked for one in front.listener.server.connections))
    assert await talk.ask(raw[30:]) == 200


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_nothing_is_served_behind_a_body_that_came_with_an_upgrade(front, body):
    talk = await front.connect()
    upgrade = call(1, body, more=b"Connection: upgrade\r\nUpgrade: h2c\r\n")
    talk.say(upgrade + call(2, length=len(SMUGGLED)))
    assert (await talk.hear())[0] == 200
    talk.say(SMUGGLED)
    async with asyncio.timeout(PATIENCE_S):
        assert await talk.reader.read() == b""
    assert front.reached == [(f"{CALLS}?n=1", body)]


async def test_while_leaving_the_door_tells_everybody(front):
    front.shed()
    front.is_leaving = True
    talk = await front.connect()
    assert await talk.ask(call()) == 200


async def test_aiohttp_has_the_private_names_that_connections_use(front):
    await front.connect()
    [connection] = await front.connections(1)
    source = inspect.getsource(SheddingConnection) + inspect.getsource(Connection)
    used = set(re.findall(r"\bself\.(_\w+)", source))
    missing = {name for name in used if not hasattr(connection, name)}
    assert missing == set(), f"aiohttp {aiohttp.__version__} calls them otherwise, or has none"


requests = st.lists(
    st.tuples(
        st.sampled_from([b"", b"a", SMUGGLED, b"\r\n\r\n", call(99), call(99, length=7)]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=requests, cuts=st.lists(st.floats(0, 1), max_size=6), seed=st.randoms())
def test_however_it_is_cut_each_request_is_answered_once_and_none_is_made_up(plan, cuts, seed):
    asyncio.run(_play(plan, cuts, seed))


async def _play(plan, cuts, seed):
    front = Front()
    await front.listener.setup()
    await web.TCPSite(front.listener, "127.0.0.1", 0).start()
    sent = []
    raw = b""
    for number, (body, is_chunked) in enumerate(plan):
        sent.append((f"{CALLS}?n={number}", body))
        if is_chunked and body:
            whole = call(number).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            raw += whole + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            raw += call(number, body)
    places = [0, *sorted(int(cut * len(raw)) for cut in cuts), len(raw)]
    talk = await front.connect()
    for begin, end in itertools.pairwise(places):
        front.overload.is_tight = seed.random() < 0.8
        front.overload.full = seed.random() < 0.5
        talk.say(raw[begin:end])
        for _ in range(seed.choice([0, 5, 30])):
            await asyncio.sleep(0)
    statuses = [(await talk.hear())[0] for _ in plan]
    await front.listener.cleanup()
    assert set(statuses) <= {200, 503}
    answered = [one for one, status in zip(sent, statuses, strict=True) if status == 200]
    assert front.reached == answered
