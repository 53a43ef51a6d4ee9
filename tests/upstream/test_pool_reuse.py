"""Connections are lent out again, never when they could be stale, and never too many."""

import asyncio
import os
import socket

import pytest

from gateway.errors import CallError, Outcome
from gateway.schema import Timeouts, UpstreamRequest
from gateway.upstream.answer_fields import KEEP_ALIVE_S, MAX_KEEP_ALIVE_S, keep_alive_of

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"
HELLO = HEAD + b"\r\nhello"


async def call(pool, server, **timeouts):
    response = await pool.send(server.request(), Timeouts(**timeouts))
    return await response.read(100)


async def hello(peer):
    while True:
        await peer.request()
        await peer.answer(HELLO)


async def test_the_last_used_connection_is_lent_first(serve, open_pool):
    served = []
    both = asyncio.Barrier(2)

    async def script(peer):
        await peer.request()
        await both.wait()
        await peer.answer(HELLO)
        while True:
            await peer.request()
            served.append(peer)
            await peer.answer(HELLO)

    pool = open_pool()
    server = await serve(script)
    await asyncio.gather(call(pool, server), call(pool, server))
    for _ in range(6):
        await call(pool, server)
    assert server.accepted == 2
    assert len(set(served)) == 1


async def test_a_connection_that_was_closed_while_idle_is_not_used(serve, pool):
    closed = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(HELLO)
        await peer.close()
        closed.set()

    server = await serve(script)
    for _ in range(3):
        closed.clear()
        assert await call(pool, server) == b"hello"
        await closed.wait()
    assert server.accepted == 3


async def test_a_close_that_the_loop_has_not_seen_is_seen_before_use(pool):
    """The server is closed without giving the loop a turn to notice."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"

    async def serve_one():
        sock, _ = await loop.sock_accept(listening)
        await loop.sock_recv(sock, 4096)
        await loop.sock_sendall(sock, HELLO)
        return sock

    request = UpstreamRequest(url, (), b"{}")
    serving = asyncio.create_task(serve_one())
    response = await pool.send(request, Timeouts())
    assert await response.read(100) == b"hello"
    (await serving).close()
    serving = asyncio.create_task(serve_one())
    response = await pool.send(request, Timeouts())
    assert await response.read(100) == b"hello"
    (await serving).close()
    listening.close()


def shut_writing(pool):
    """Make the next write on the one idle connection fail, with nothing to be seen before it."""
    [berth] = pool._berths.values()
    [idle] = berth._idle
    fd = os.dup(idle._transport.get_extra_info("socket").fileno())
    with socket.socket(fileno=fd) as same:
        same.shutdown(socket.SHUT_WR)
    assert idle.is_usable(0.0)


async def test_a_request_of_which_nothing_left_goes_to_another_connection(serve, pool):
    server = await serve(hello)
    await call(pool, server)
    shut_writing(pool)
    assert await call(pool, server) == b"hello"
    assert server.accepted == 2


async def test_a_tls_write_that_fails_is_not_repeated(serve, open_pool, server_tls, client_tls):
    pool = open_pool(ssl_context=client_tls)
    server = await serve(hello, server_tls)
    await call(pool, server)
    shut_writing(pool)
    with pytest.raises(CallError) as caught:
        await call(pool, server)
    assert caught.value.outcome is Outcome.UPSTREAM_CUT
    assert server.accepted == 1


async def test_a_reused_connection_that_dies_after_the_write_is_a_cut(serve, pool):
    async def script(peer):
        await peer.request()
        await peer.answer(HELLO)
        await peer.request()
        peer.reset()

    server = await serve(script)
    await call(pool, server)
    with pytest.raises(CallError) as caught:
        await call(pool, server)
    assert caught.value.outcome is Outcome.UPSTREAM_CUT
    assert server.accepted == 1


async def test_bytes_on_an_idle_connection_close_it(serve, pool):
    hung_up = asyncio.get_running_loop().create_future()
    go_on = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.answer(HELLO)
        await go_on.wait()
        await peer.answer(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        hung_up.set_result(await peer.hung_up())

    server = await serve(script)
    await call(pool, server)
    go_on.set()
    assert await hung_up
    assert pool.open_connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"connection: close\r\n\r\nhello",
        HEAD.replace(b"1.1", b"1.0") + b"\r\nhello",
        HEAD + b"keep-alive: timeout=1\r\n\r\nhello",
    ],
)
async def test_an_upstream_that_wants_no_keep_alive_gets_none(serve, pool, answer):
    async def script(peer):
        while True:
            await peer.request()
            await peer.answer(answer)

    server = await serve(script)
    for _ in range(2):
        assert await call(pool, server) == b"hello"
    assert server.accepted == 2


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (None, KEEP_ALIVE_S),
        ("timeout=5", 4.0),
        ("timeout=5, max=100", 4.0),
        ("max=100, Timeout = 30", 29.0),
        ("timeout=86400", MAX_KEEP_ALIVE_S),
        ("timeout=soon", KEEP_ALIVE_S),
    ],
)
def test_an_idle_connection_is_kept_a_second_less_than_the_upstream_does(field, seconds):
    assert keep_alive_of(field) == seconds


async def test_an_idle_connection_is_closed_when_its_time_is_over(serve, pool, monkeypatch):
    monkeypatch.setattr("gateway.upstream.connection.keep_alive_of", lambda field: 0.05)
    monkeypatch.setattr("gateway.upstream.pool._SWEEP_S", 0.02)
    hung_up = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.request()
        await peer.answer(HELLO)
        hung_up.set_result(await peer.hung_up())

    server = await serve(script)
    await call(pool, server)
    assert pool.open_connections == 1
    assert await hung_up
    assert pool.open_connections == 0


async def test_calls_above_the_cap_wait_their_turn(serve, open_pool):
    pool = open_pool(max_connections=2)
    server = await serve(hello)
    answers = await asyncio.gather(*(call(pool, server) for _ in range(20)))
    assert answers == [b"hello"] * 20
    assert server.accepted == 2


async def test_who_waits_longest_is_served_first(serve, open_pool):
    pool = open_pool(max_connections=1)
    order = []

    async def numbered(server, number):
        await call(pool, server)
        order.append(number)

    server = await serve(hello)
    await asyncio.gather(*(numbered(server, number) for number in range(20)))
    assert order == list(range(20))


async def test_a_slot_freed_by_a_closed_connection_goes_to_who_waits(serve, open_pool):
    async def script(peer):
        await peer.request()
        await peer.answer(HEAD + b"connection: close\r\n\r\nhello")

    pool = open_pool(max_connections=1)
    server = await serve(script)
    answers = await asyncio.gather(*(call(pool, server) for _ in range(5)))
    assert answers == [b"hello"] * 5
    assert server.accepted == 5


async def test_waiting_for_the_cap_ends_with_the_connect_timeout(serve, open_pool):
    async def script(peer):
        await peer.request()
        await peer.answer(HEAD + b"\r\n")
        await peer.hung_up()

    pool = open_pool(max_connections=1)
    server = await serve(script)
    holding = await pool.send(server.request(), Timeouts())
    with pytest.raises(CallError) as caught:
        await call(pool, server, connect_s=0.05)
    assert caught.value.outcome is Outcome.UPSTREAM_UNREACHABLE
    assert "All 1 connections" in caught.value.message
    assert "max_connections" in caught.value.message
    holding.close()
    assert pool.open_connections == 0


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_waiter_cancelled_as_its_turn_comes_passes_it_on(serve, open_pool, keep_alive):
    release = asyncio.Event()
    close = b"" if keep_alive else b"connection: close\r\n"

    async def script(peer):
        while True:
            await peer.request()
            await release.wait()
            await peer.answer(HEAD + close + b"\r\nhello")

    pool = open_pool(max_connections=1)
    server = await serve(script)
    first, second, third = (asyncio.create_task(call(pool, server)) for _ in range(3))
    first.add_done_callback(lambda _: second.cancel())
    await server.asked.wait()
    release.set()
    assert await first == b"hello"
    assert await third == b"hello"
    with pytest.raises(asyncio.CancelledError):
        await second
    assert pool.open_connections == (1 if keep_alive else 0)


async def test_cancelled_waiters_leak_nothing(serve, open_pool):
    release = asyncio.Event()

    async def script(peer):
        while True:
            await peer.request()
            await release.wait()
            await peer.answer(HELLO)

    pool = open_pool(max_connections=1)
    server = await serve(script)
    first = asyncio.create_task(call(pool, server))
    await server.asked.wait()
    waiting = [asyncio.create_task(call(pool, server)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    release.set()
    assert await first == b"hello"
    assert await call(pool, server) == b"hello"
    assert server.accepted == 1


async def test_closing_the_pool_tells_who_waits(serve, open_pool):
    async def script(peer):
        await peer.request()
        await peer.hung_up()

    pool = open_pool(max_connections=1)
    server = await serve(script)
    calls = [asyncio.create_task(call(pool, server)) for _ in range(3)]
    await server.asked.wait()
    await pool.close()
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert [failure.outcome for failure in failures] == [
        Outcome.UPSTREAM_CUT,
        Outcome.UPSTREAM_UNREACHABLE,
        Outcome.UPSTREAM_UNREACHABLE,
    ]


async def test_closing_the_pool_closes_idle_connections(serve, pool):
    hung_up = asyncio.get_running_loop().create_future()

    async def script(peer):
        await peer.request()
        await peer.answer(HELLO)
        hung_up.set_result(await peer.hung_up())

    server = await serve(script)
    await call(pool, server)
    await pool.close()
    assert await hung_up


async def test_origins_do_not_share_connections_or_caps(serve, open_pool):
    pool = open_pool(max_connections=1)
    one, other = await serve(hello), await serve(hello)
    for server in (one, other, one, other):
        assert await call(pool, server) == b"hello"
    assert (one.accepted, other.accepted) == (1, 1)


async def test_origins_that_nobody_uses_are_forgotten(serve, pool, monkeypatch):
    monkeypatch.setattr("gateway.upstream.pool._ORIGINS_KEPT", 3)

    async def script(peer):
        await peer.request()
        await peer.answer(HEAD + b"connection: close\r\n\r\nhello")

    for _ in range(10):
        assert await call(pool, await serve(script)) == b"hello"
    assert len(pool._berths) <= 3
