"""A glance sees what the parser sees, or nothing."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.server.glance import MAX_BODY_BYTES, glance

PLAIN = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-1\r\n"
    b"Content-Length: 5\r\n\r\n"
)


def with_(field):
    return PLAIN.replace(b"Host: x\r\n", b"Host: x\r\n" + field + b"\r\n")


def test_a_plain_call_is_seen_with_its_end_its_fields_and_its_key():
    assert glance(PLAIN + b"hello, and more") == (len(PLAIN) + 5, 3, "Bearer sk-1")


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN.replace(b"/v1/chat/completions", b"/v1/embeddings"),
        PLAIN.replace(b"/v1/chat/completions", b"/p/film/v1/chat/completions?x=1"),
        PLAIN.lower().replace(b"post", b"POST").replace(b"http/1.1", b"HTTP/1.1"),
        with_(b"Connection: keep-alive"),
        with_(b"X-Empty:"),
    ],
)
def test_other_plain_calls_are_seen_too(raw):
    assert glance(raw) is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        PLAIN[:-2],
        b"\r\n" + PLAIN,
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"chat/completions", b"models"),
        PLAIN.replace(b"/v1", b"http://x/v1"),
        PLAIN.replace(b"Content-Length: 5\r\n", b""),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 5, 5"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 0x5"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: -5"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length:"),
        PLAIN.replace(b"Length: 5", b"Length: %d" % (MAX_BODY_BYTES + 1)),
        PLAIN.replace(b"Authorization", b"api-key"),
        with_(b"Authorization: Bearer sk-2"),
        with_(b"Content-Length: 5"),
        with_(b"transfer-encoding: chunked"),
        with_(b"Transfer-Encoding : chunked"),
        with_(b"Connection: close"),
        with_(b"Connection: keep-alive, upgrade"),
        with_(b"Upgrade: websocket"),
        with_(b"Expect: 100-continue"),
        with_(b"X: a\nContent-Length: 9"),
        with_(b"X: a\rContent-Length: 9"),
        with_(b"X: \xff"),
        with_(b" folded"),
        with_(b"no colon"),
        with_(b"X: " + b"y" * 9000),
    ],
)
def test_nothing_is_seen_of_what_is_not_plain(raw):
    assert glance(raw) is None


def parsed(raw):
    """The requests that aiohttp's parser reads, and whether the last one is complete."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190
        )
        messages, _, _ = parser.feed_data(raw)
        return [(message, payload.is_eof()) for message, payload in messages]
    finally:
        loop.close()


lines = st.sampled_from(
    [
        b"Host: x", b"Authorization: Bearer k", b"Content-Length: 5", b"content-length:5 ",
        b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Connection: keep-alive", b"X:",
        b"Connection: close", b"X-Content-Length: 3", b"Content-Length: 05", b"Content-Length : 5",
        b" folded", b"X: \tcontent-length: 9", b"A\tb: c", b"Expect: 100-continue",
    ]
)  # fmt: skip


@given(
    fields=st.lists(lines, min_size=2, max_size=6),
    ends=st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n"]),
    noise=st.one_of(st.none(), st.tuples(st.integers(0, 200), st.binary(max_size=2))),
)
@example(fields=[b"Host: x", b"Authorization: k", b"Content-Length: 5"], ends=b"\r\n", noise=None)
def test_whatever_is_seen_is_what_the_parser_reads(fields, ends, noise):
    raw = b"POST /v1/chat/completions HTTP/1.1\r\n" + ends.join(fields) + b"\r\n\r\n"
    if noise is not None:
        at, put = noise
        raw = raw[:at] + put + raw[at + len(put) :]
    seen = glance(raw)
    if seen is None:
        return
    head_bytes = raw.index(b"\r\n\r\n") + 4
    whole = raw[:head_bytes].ljust(seen.total_bytes, b"z")
    try:
        [(message, is_whole)] = parsed(whole)
        if seen.total_bytes > head_bytes:
            [(_, is_early)] = parsed(whole[:-1])
            assert not is_early
    except HttpProcessingError:
        return  # a request that is refused for good has no body that could be mistaken
    assert is_whole
    assert len(message.raw_headers) == seen.fields
