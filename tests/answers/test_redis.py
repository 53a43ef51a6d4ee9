"""Answers kept in a real Redis: every process finds them, and misses them without harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.answers.redis import PREFIX, RedisKeeper
from gateway.stores.redis_link import RedisLink
from tests.redis_server import RedisServer

from .asked import kept


@pytest.fixture
async def keepers(redis_server: RedisServer) -> AsyncIterator[list[RedisKeeper]]:
    """Two processes' keepers."""
    links = [RedisLink(redis_server.url, lambda up, why: None) for _ in range(2)]
    yield [RedisKeeper(link) for link in links]
    await asyncio.gather(*(link.close() for link in links))


async def test_what_one_process_keeps_another_finds(keepers: list[RedisKeeper]) -> None:
    one, other = keepers
    await one.put("k", kept(), 60)
    assert await other.get("k") == kept()
    assert await other.get("l") is None


async def test_redis_gives_it_up_when_its_time_is_over(
    keepers: list[RedisKeeper], redis_server: RedisServer
) -> None:
    await keepers[0].put("k", kept(), 60)
    with redis_server.client() as client:
        left_ms = client.pttl(PREFIX + "k")
    assert 59_000 < left_ms <= 60_000


async def test_while_redis_is_gone_nothing_is_found_and_nothing_fails(
    keepers: list[RedisKeeper], redis_server: RedisServer
) -> None:
    keeper = keepers[0]
    await keeper.put("k", kept(), 60)
    with redis_server.gone():
        assert await keeper.get("k") is None
        await keeper.put("k", kept(), 60)
    assert keeper.failures == 2


async def test_what_somebody_else_wrote_there_is_no_answer(
    keepers: list[RedisKeeper], redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        client.set(PREFIX + "k", b"something else")
    assert await keepers[0].get("k") is None
