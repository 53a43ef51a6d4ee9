"""What goes out: the request's head, and what may not be in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts
from gateway.upstream.request_head import write_head


def head_of(url="http://api.example/v1", headers=(), method="POST"):
    return write_head(method, url, tuple(headers), proxy_authorization=None, absolute=False)


def lines_of(head, body=b"{}"):
    text, blank = head.before(body).split(b"\r\n\r\n")
    assert blank == b""
    return text.decode("latin-1").split("\r\n")


def test_a_request_carries_what_http_needs():
    request_line, *fields = lines_of(head_of("https://api.example:8443/v1/chat?a=b#c"))
    assert request_line == "POST /v1/chat?a=b HTTP/1.1"
    names = [field.partition(": ")[0] for field in fields]
    assert names == ["host", "accept", "accept-encoding", "user-agent", "content-length"]
    assert "host: api.example:8443" in fields
    assert "accept-encoding: identity" in fields
    assert fields[-1] == "content-length: 2"


def test_given_headers_take_the_place_of_defaults():
    fields = lines_of(head_of(headers=[("Accept", "text/event-stream"), ("User-Agent", "me")]))
    assert [f for f in fields if f.startswith("accept:")] == ["accept: text/event-stream"]
    assert [f for f in fields if f.startswith("user-agent:")] == ["user-agent: me"]


@pytest.mark.parametrize(("method", "length"), [("GET", False), ("POST", True), ("DELETE", True)])
def test_only_methods_that_take_a_body_announce_an_empty_one(method, length):
    head = head_of(method=method)
    assert ("content-length: 0" in lines_of(head, b"")) is length
    assert head.joined_with(b"") == head.before(b"")


def test_head_and_body_can_be_one_piece():
    assert head_of().joined_with(b"{}") == head_of().before(b"{}") + b"{}"


def test_an_address_of_version_6_keeps_its_brackets():
    head = head_of("http://[::1]:8080/")
    assert "host: [::1]:8080" in lines_of(head)
    assert (head.origin.host, str(head.origin)) == ("::1", "[::1]:8080")


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": [("x", "a\r\nx-injected: b")]},
        {"headers": [("x", "a\nb")]},
        {"headers": [("x", "a\x00b")]},
        {"headers": [("x", "你好")]},
        {"headers": [("x y", "a")]},
        {"headers": [("x:", "a")]},
        {"headers": [("", "a")]},
        {"headers": [("Content-Length", "5")]},
        {"headers": [("transfer-encoding", "chunked")]},
        {"headers": [("connection", "close")]},
        {"method": "GET / HTTP/1.1\r\nx:"},
        {"url": "http://api.example/a b"},
        {"url": "http://api.example/a\r\nx: y"},
        {"url": "http://api.example/你好"},
        {"url": "http://user:secret@api.example/"},
        {"url": "http://api.example:port/"},
        {"url": "http://a..example/"},
        {"url": "http://[::1/"},
        {"url": "ftp://api.example/"},
        {"url": "/v1/chat"},
    ],
)
def test_what_could_smuggle_a_second_request_is_refused(changes):
    with pytest.raises(CallError) as caught:
        head_of(**changes)
    assert caught.value.outcome is Outcome.INVALID_REQUEST
    assert "secret" not in caught.value.message


@given(st.text(), st.text())
def test_no_header_ends_a_line_early(name, value):
    try:
        head = head_of(headers=[(name, value)])
    except CallError:
        return
    assert len(lines_of(head)) <= 7


async def test_the_upstream_gets_the_request_as_it_was_written(serve, pool):
    heads = []

    async def script(peer):
        body = await peer.request()
        heads.append(peer.head)
        await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    server = await serve(script)
    request = server.request(b'{"a":1}', headers=(("authorization", "Bearer key"),))
    response = await pool.send(request, Timeouts())
    assert await response.read(100) == b'{"a":1}'
    assert heads[0].startswith(b"POST /v1/chat HTTP/1.1\r\n")
    assert b"authorization: Bearer key\r\n" in heads[0]
