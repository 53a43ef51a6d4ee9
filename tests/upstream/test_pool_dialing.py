"""TLS, proxies, names and addresses."""

import asyncio
import base64
import socket
import ssl

import pytest

from gateway.errors import CallError, ConfigError, Outcome
from gateway.schema import Timeouts
from gateway.upstream import dialing
from gateway.upstream.dialing import proxy_for

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"


async def hello(peer):
    while True:
        await peer.request()
        await peer.answer(HELLO)


async def call(pool, server, **changes):
    response = await pool.send(server.request(**changes), Timeouts(connect_s=2.0))
    return await response.read(1 << 20)


async def unreachable(pool, server, **changes):
    with pytest.raises(CallError) as caught:
        await call(pool, server, **changes)
    assert caught.value.outcome is Outcome.UPSTREAM_UNREACHABLE
    assert pool.open_connections == 0
    return caught.value.message


async def test_tls_connections_are_kept_alive(serve, open_pool, server_tls, client_tls):
    server = await serve(hello, server_tls)
    pool = open_pool(ssl_context=client_tls)
    for _ in range(3):
        assert await call(pool, server) == b"hello"
    assert server.accepted == 1


async def test_large_bodies_pass_through_tls(serve, open_pool, server_tls, client_tls):
    body = bytes(range(256)) * 16_384

    async def echo(peer):
        got = await peer.request()
        await peer.answer(OK + b"content-length: %d\r\n\r\n" % len(got), got)
        await peer.hung_up()

    server = await serve(echo, server_tls)
    pool = open_pool(ssl_context=client_tls)
    response = await pool.send(server.request(body), Timeouts())
    assert await response.read(len(body)) == body
    assert pool.open_connections == 1


async def test_a_tls_answer_without_a_length_ends_with_its_connection(
    serve, open_pool, server_tls, client_tls
):
    async def script(peer):
        await peer.request()
        await peer.answer(OK + b"\r\nhello")

    server = await serve(script, server_tls)
    assert await call(open_pool(ssl_context=client_tls), server) == b"hello"


async def test_the_server_learns_the_name_it_was_called_by(
    serve, open_pool, server_tls, client_tls
):
    names = []
    server_tls.sni_callback = lambda sock, name, context: names.append(name)
    server = await serve(hello, server_tls)
    pool = open_pool(ssl_context=client_tls)
    assert await call(pool, server, url=f"https://localhost:{server.port}/") == b"hello"
    assert names == ["localhost"]


async def test_an_unknown_authority_is_refused(serve, pool, server_tls):
    server = await serve(hello, server_tls)
    message = await unreachable(pool, server)
    assert "its certificate was refused" in message


async def test_a_certificate_for_another_name_is_refused(serve, open_pool, authority, client_tls):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    server = await serve(hello, context)
    message = await unreachable(open_pool(ssl_context=client_tls), server)
    assert "its certificate was refused" in message


async def test_an_upstream_that_speaks_no_tls_is_unreachable(serve, open_pool, client_tls):
    async def script(peer):
        await peer.reader.read(1)
        await peer.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await serve(script)
    pool = open_pool(ssl_context=client_tls)
    await unreachable(pool, server, url=server.url.replace("http:", "https:"))


async def test_a_dead_address_gives_way_to_one_that_answers(serve, pool, monkeypatch):
    server = await serve(hello)
    tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with socket.socket() as full, socket.socket() as knocking:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        knocking.connect(full.getsockname())
        addresses = [(*tcp, full.getsockname()), (*tcp, ("127.0.0.1", server.port))]
        monkeypatch.setattr(dialing, "_look_up", lambda host, port: addresses)
        assert await call(pool, server, url="http://two-addresses.example/") == b"hello"


async def test_a_name_is_asked_for_once_for_many_connections(serve, pool, monkeypatch):
    server = await serve(hello)
    asked = []

    def look_up(host, port):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(dialing, "_look_up", look_up)
    calls = (call(pool, server, url="http://busy.example/") for _ in range(10))
    assert await asyncio.gather(*calls) == [b"hello"] * 10
    assert asked == ["busy.example"]


async def forward(reader, writer):
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


def tunnelling(heads):
    async def script(peer):
        await peer.request()
        heads.append(peer.head)
        host, _, port = peer.head.split(b" ")[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await peer.answer(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
        await asyncio.gather(forward(peer.reader, writer), forward(reader, peer.writer))

    return script


async def test_https_goes_through_a_tunnel(serve, open_pool, server_tls, client_tls):
    heads = []
    proxy = await serve(tunnelling(heads))
    server = await serve(hello, server_tls)
    pool = open_pool(ssl_context=client_tls, proxy_url=f"http://user:p%40ss@127.0.0.1:{proxy.port}")
    for _ in range(2):
        assert await call(pool, server, headers=(("authorization", "Bearer key"),)) == b"hello"
    credentials = base64.b64encode(b"user:p@ss")
    assert heads == [
        b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
        b"proxy-authorization: Basic %b\r\n\r\n" % (server.port, server.port, credentials)
    ]
    await pool.close()


async def test_http_asks_the_proxy_for_the_whole_url(serve, open_pool):
    heads = []

    async def script(peer):
        await peer.request()
        heads.append(peer.head)
        await peer.answer(HELLO)

    proxy = await serve(script)
    pool = open_pool(proxy_url=f"http://user:pass@127.0.0.1:{proxy.port}")
    assert await call(pool, proxy, url="http://upstream.example:8080/v1?a=b") == b"hello"
    assert heads[0].startswith(b"POST http://upstream.example:8080/v1?a=b HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic " + base64.b64encode(b"user:pass") in heads[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "refused to connect: 407"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurplus", "sent more than its answer"),
        (b"x" * 20_000, "did not answer CONNECT"),
        (b"nonsense\r\n\r\n", "nothing that is HTTP"),
    ],
)
async def test_a_proxy_that_refuses_leaves_the_upstream_unreachable(
    serve, open_pool, client_tls, answer, message
):
    async def script(peer):
        await peer.request()
        await peer.answer(answer)
        await peer.hung_up()

    proxy = await serve(script)
    pool = open_pool(ssl_context=client_tls, proxy_url=f"http://u:secret@127.0.0.1:{proxy.port}")
    said = await unreachable(pool, proxy, url="https://upstream.example/")
    assert message in said
    assert "secret" not in said


@pytest.mark.parametrize("url", ["https://proxy:1", "socks5://p", "http://", "http://p:port"])
def test_only_http_proxies_are_known(url, open_pool):
    with pytest.raises(ConfigError, match="http://host:port"):
        open_pool(proxy_url=url)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://q:1", "HTTPS_PROXY": "http://p:1"}, "http://q:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com, other"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample.com"}, "http://p:1"),
    ],
)
def test_the_environment_names_the_proxy(environ, proxy):
    assert proxy_for("https://api.example.com:8443/v1", environ) == proxy
