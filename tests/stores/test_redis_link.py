"""The link to Redis: many calls on one connection, an answer within a second whatever happens,
and back by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.errors import CallError, ConfigError, Outcome
from gateway.stores.redis_link import EXCHANGE_TIMEOUT_S, RedisLink, Script, redis_link
from tests.redis_server import RedisServer

TOGETHER_S = 10.0
"""Far less than fifty calls take that wait one after the other."""
BACK_WITHIN_S = 30.0
ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
def told() -> list[bool]:
    """What the link said of Redis: gone, back."""
    return []


@pytest.fixture
async def link(redis_server: RedisServer, told: list[bool]) -> AsyncIterator[RedisLink]:
    link = RedisLink(redis_server.url, lambda up, why: told.append(up))
    yield link
    await link.close()


async def refusal(link: RedisLink) -> CallError:
    with pytest.raises(CallError) as caught:
        await link.execute("GET", "x")
    return caught.value


async def back(link: RedisLink) -> None:
    """Ask until there is an answer."""
    began_s = time.monotonic()
    while not link.up:
        assert time.monotonic() - began_s < BACK_WITHIN_S
        await asyncio.sleep(0.01)
    await link.execute("PING")


async def test_a_thousand_commands_at_once_share_one_connection(
    link: RedisLink, redis_server: RedisServer
) -> None:
    replies = await asyncio.gather(*(link.execute("INCR", "n") for _ in range(1000)))
    with redis_server.client() as client:
        connections = client.info("clients")["connected_clients"]
    assert replies == list(range(1, 1001))
    assert connections == 2  # the link's, and the one that asks


async def test_a_script_is_sent_where_redis_does_not_know_it(link: RedisLink) -> None:
    assert await link.run_script(ADD, ["n"], [2]) == 2
    await link.execute("SCRIPT", "FLUSH")
    totals = await asyncio.gather(*(link.run_script(ADD, ["n"], [1]) for _ in range(3)))
    assert totals == [3, 4, 5]


async def test_what_redis_refuses_is_that_command_s_alone(link: RedisLink) -> None:
    await link.execute("SET", "text", "a")
    wrong, right = await asyncio.gather(
        link.execute("INCR", "text"), link.execute("GET", "text"), return_exceptions=True
    )
    assert isinstance(wrong, CallError)
    assert (wrong.outcome, right) == (Outcome.LIMITS_UNAVAILABLE, b"a")
    assert link.up


async def test_a_redis_that_is_gone_is_told_at_once_and_found_again(
    link: RedisLink, redis_server: RedisServer, told: list[bool]
) -> None:
    await link.execute("PING")
    with redis_server.gone():
        error = await refusal(link)
        with pytest.raises(CallError):  # nobody waits for what is known to be gone
            link.execute("GET", "x").send(None)
    assert error.outcome is Outcome.LIMITS_UNAVAILABLE
    assert error.retry_after_s == 1.0
    await back(link)
    assert told == [False, True]


async def test_a_redis_that_says_nothing_keeps_nobody_waiting(
    link: RedisLink, redis_server: RedisServer
) -> None:
    await link.execute("PING")
    with redis_server.silent():
        began_s = time.monotonic()
        errors = await asyncio.gather(*(refusal(link) for _ in range(50)))
        slowest_s = time.monotonic() - began_s
    assert {error.outcome for error in errors} == {Outcome.LIMITS_UNAVAILABLE}
    assert slowest_s < TOGETHER_S
    await back(link)


async def test_a_gateway_that_stood_still_itself_does_not_hold_it_against_redis(
    link: RedisLink, redis_server: RedisServer, told: list[bool]
) -> None:
    await link.execute("SET", "x", "there")
    with redis_server.silent():
        asked = asyncio.ensure_future(link.execute("GET", "x"))
        await _sent(link)
    stand_still(EXCHANGE_TIMEOUT_S * 2)
    assert await asked == b"there"
    assert told == []


def stand_still(for_s: float) -> None:
    """As a full collection of garbage does, or a machine whose cores are taken."""
    time.sleep(for_s)


async def test_a_reply_that_comes_late_is_not_taken_for_the_next_one(
    link: RedisLink, redis_server: RedisServer
) -> None:
    await link.execute("SET", "x", "first")
    with redis_server.silent():
        await refusal(link)
    await back(link)
    assert await link.execute("ECHO", "second") == b"second"


async def test_a_redis_that_was_restarted_between_two_calls_is_not_noticed(
    link: RedisLink, redis_server: RedisServer, told: list[bool]
) -> None:
    await link.execute("PING")
    with redis_server.gone():
        pass
    other = RedisLink(redis_server.url, lambda up, why: None)
    await other.execute("PING")  # meanwhile the loop sees that the old connection has ended
    await other.close()
    assert await link.execute("ECHO", "x") == b"x"
    assert told == []


async def test_whoever_left_is_told_of_what_was_done_all_the_same(
    link: RedisLink, redis_server: RedisServer
) -> None:
    await link.run_script(ADD, ["n"], [1])
    left: list[object] = []
    with redis_server.silent():
        asked = asyncio.ensure_future(link.run_script(ADD, ["n"], [1], left.append))
        await _sent(link)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert await link.execute("GET", "n") == b"2"
    assert left == [2]


async def _sent(link: RedisLink) -> None:
    """Until what waits is on its way."""
    await asyncio.sleep(0)
    while link._waiting:
        await asyncio.sleep(0.001)


async def test_a_closed_link_leaves_nobody_waiting(redis_server: RedisServer) -> None:
    link = RedisLink(redis_server.url, lambda up, why: None)
    await link.execute("PING")
    with redis_server.silent():
        waiting = asyncio.ensure_future(link.execute("PING"))
        await _sent(link)
        await link.close()
        with pytest.raises(CallError):
            await waiting


@pytest.mark.parametrize(
    "url",
    [
        "redis.example.com",
        "http://redis.example.com",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@/0",
        "redis://:s3cret@host/0?speed=high",
        "redis://:s3cret@host/0?socket_timeout=long",
    ],
)
def test_an_address_that_cannot_be_meant_is_told_at_the_start(
    url: str, quiet: Callable[[bool, str], None]
) -> None:
    with pytest.raises(ConfigError) as caught:
        redis_link({"DAOBO_REDIS_URL": url}, quiet)
    assert "DAOBO_REDIS_URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_password_that_is_refused_is_not_shown(redis_server: RedisServer) -> None:
    reasons: list[str] = []
    url = redis_server.url.replace("//", "//:s3cret@")
    link = RedisLink(url, lambda up, why: reasons.append(why))
    error = await refusal(link)
    await link.close()
    assert error.outcome is Outcome.LIMITS_UNAVAILABLE
    assert len(reasons) == 1
    assert "s3cret" not in reasons[0] + error.message


def test_without_an_address_there_is_no_link(quiet: Callable[[bool, str], None]) -> None:
    assert redis_link({}, quiet) is None


@pytest.fixture
def quiet() -> Callable[[bool, str], None]:
    return lambda up, why: None
