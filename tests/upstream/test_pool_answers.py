"""What comes back: framing, informational answers, garbage, and where the bytes are cut."""

import asyncio
import gzip
import itertools
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts
from gateway.upstream.connection import Connection
from gateway.upstream.request_head import write_head

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;note=x\r\n, world\r\n0\r\nx-trailer: ignored\r\n\r\n"
)


def answering(*pieces):
    async def script(peer):
        while True:
            await peer.request()
            await peer.answer(*pieces)

    return script


def answering_once(*pieces):
    async def script(peer):
        await peer.request()
        await peer.answer(*pieces)
        await peer.close()

    return script


async def exchange(pool, server, **changes):
    response = await pool.send(server.request(**changes), Timeouts())
    return response, await response.read(1 << 24)


async def outcome_of(pool, server, **changes):
    with pytest.raises(CallError) as caught:
        await exchange(pool, server, **changes)
    return caught.value.outcome


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (HELLO, b"hello"),
        (CHUNKED, b"hello, world"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b""),
        (OK + b"content-length: 0\r\n\r\n", b""),
    ],
)
async def test_a_whole_answer_gives_its_connection_back(serve, pool, answer, body):
    server = await serve(answering(answer))
    for _ in range(2):
        assert (await exchange(pool, server))[1] == body
    assert server.accepted == 1


async def test_an_answer_without_a_length_ends_with_its_connection(serve, pool):
    server = await serve(answering_once(OK + b"\r\nhello", b" and bye"))
    assert (await exchange(pool, server))[1] == b"hello and bye"
    assert pool.open_connections == 0


async def test_head_asks_for_no_body(serve, pool):
    server = await serve(answering(OK + b"content-length: 1000\r\n\r\n"))
    response, body = await exchange(pool, server, method="HEAD", body=b"")
    assert (response.status, body) == (200, b"")


async def test_headers_come_in_lower_case_trimmed_and_joined(serve, pool):
    server = await serve(
        answering(OK + b"X-One: a \r\nx-one:\tb\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n")
    )
    response, _ = await exchange(pool, server)
    assert response.headers == {"x-one": "a, b", "x-empty": "", "content-length": "0"}


async def test_a_redirect_is_an_answer_like_any_other(serve, pool):
    server = await serve(
        answering(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
    )
    response, _ = await exchange(pool, server)
    assert (response.status, response.headers["location"]) == (302, "/elsewhere")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nnot a size\r\n",
        OK + b"bad name: x\r\n\r\n",
        OK + b"x: nul\x00\r\n\r\n",
        OK + b"x: " + b"a" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * 400_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    ],
)
async def test_garbage_is_called_garbage(serve, pool, answer):
    server = await serve(answering(answer))
    assert await outcome_of(pool, server) is Outcome.UPSTREAM_GARBLED
    assert pool.open_connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"content-length: 9\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
async def test_an_answer_that_stops_early_was_cut(serve, pool, answer):
    server = await serve(answering_once(answer))
    assert await outcome_of(pool, server) is Outcome.UPSTREAM_CUT
    assert pool.open_connections == 0


@pytest.mark.parametrize("surplus", [HELLO, b"x"])
async def test_a_connection_with_more_than_the_answer_is_not_used_again(serve, pool, surplus):
    server = await serve(answering(HELLO + surplus))
    for _ in range(2):
        assert (await exchange(pool, server))[1] == b"hello"
    assert server.accepted == 2


async def test_a_body_above_the_limit_is_refused_and_its_connection_closed(serve, pool):
    hung_up = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"content-length: 1000000\r\n\r\n" + b"x" * 5000)
        hung_up.set_result(await peer.hung_up())

    server = await serve(script)
    response = await pool.send(server.request(), Timeouts())
    with pytest.raises(CallError, match="larger than 4000 bytes") as caught:
        await response.read(4000)
    assert caught.value.outcome is Outcome.UPSTREAM_GARBLED
    assert await hung_up


def raw_deflate(data):
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello" * 9000, mtime=0)),
        (
            "X-GZIP",
            gzip.compress(b"hello" * 4000, mtime=0) + gzip.compress(b"hello" * 5000, mtime=0),
        ),
        ("deflate", zlib.compress(b"hello" * 9000)),
        ("deflate", raw_deflate(b"hello" * 9000)),
    ],
)
async def test_compression_that_nobody_asked_for_is_undone(serve, pool, encoding, packed):
    head = f"content-encoding: {encoding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    server = await serve(answering(OK + head + packed[:20], packed[20:]))
    response, body = await exchange(pool, server)
    assert body == b"hello" * 9000
    assert "content-encoding" not in response.headers
    again = await pool.send(server.request(), Timeouts())
    pieces = []
    while piece := await again.first():
        pieces.append(piece)
    assert b"".join(pieces) == body


@pytest.mark.parametrize(
    ("encoding", "packed", "outcome"),
    [
        ("br", b"\x0b\x02\x80hello\x03", Outcome.UPSTREAM_GARBLED),
        ("gzip", b"this is not gzip", Outcome.UPSTREAM_GARBLED),
        ("gzip", gzip.compress(b"hello" * 100, mtime=0)[:-9], Outcome.UPSTREAM_CUT),
        ("gzip", gzip.compress(bytes(10_000_000), mtime=0), Outcome.UPSTREAM_GARBLED),
    ],
)
async def test_bad_compression_is_an_error(serve, pool, encoding, packed, outcome):
    head = f"content-encoding: {encoding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    server = await serve(answering(OK + head + packed))
    assert await outcome_of(pool, server) is outcome


class Recorder(asyncio.Transport):
    """Takes everything. A socket would join pieces, and the tests below are about the seams."""

    def __init__(self):
        super().__init__()
        self.aborted = False

    def is_closing(self):
        return self.aborted

    def write(self, data):
        pass

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def abort(self):
        self.aborted = True


class Lender:
    def __init__(self):
        self.idle = 0
        self.gone = 0

    def connection_idle(self, connection):
        self.idle += 1

    def connection_gone(self, connection):
        self.gone += 1


HEAD = write_head("POST", "http://a/", (), proxy_authorization=None, absolute=False)


def arrive(connection: Connection, data: bytes) -> None:
    """As the event loop brings it."""
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


WHOLE = [
    (HELLO, b"hello"),
    (CHUNKED, b"hello, world"),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n" + CHUNKED, b"hello, world"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4),
    st.lists(st.integers(0, 400), max_size=12),
)
async def test_answers_are_the_same_however_their_bytes_are_cut(answers, cuts):
    lender = Lender()
    connection = Connection(lender, "a:80", asyncio.get_running_loop())
    connection.connection_made(Recorder())
    for raw, body in answers:
        response = connection.send(HEAD, b"{}", Timeouts(), float("inf"))
        edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(edges):
            arrive(connection, raw[start:end])
        assert response.status == 200
        assert await response.read(100) == body
    assert (lender.idle, lender.gone) == (len(answers), 0)
    connection.abort()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(WHOLE), st.data())
async def test_a_cut_answer_is_never_taken_for_a_whole_one(answer, data):
    raw, body = answer
    end = data.draw(st.integers(0, len(raw) - 1))
    lender = Lender()
    connection = Connection(lender, "a:80", asyncio.get_running_loop())
    connection.connection_made(Recorder())
    response = connection.send(HEAD, b"{}", Timeouts(), float("inf"))
    if end:
        arrive(connection, raw[:end])
    connection.eof_received()
    connection.connection_lost(None)
    got = []
    with pytest.raises(CallError) as caught:
        await response.pump(got.append)
    assert caught.value.outcome is Outcome.UPSTREAM_CUT
    assert body.startswith(b"".join(got))
    assert (lender.idle, lender.gone) == (0, 1)
