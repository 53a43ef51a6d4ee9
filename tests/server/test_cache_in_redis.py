"""Two gateways keep their answers in one Redis; without it, both go on answering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway, Options
from tests.redis_server import RedisServer

from .conftest import CONFIG, KEY, House, RawUpstream
from .kept import CACHED, MESSAGES, reply

BODY = {"model": "writer", "messages": MESSAGES}


@pytest.fixture
async def houses(
    tmp_path: Path, aiohttp_server: Any, redis_server: RedisServer
) -> AsyncIterator[list[House]]:
    """Two gateways, as on two machines but for the upstream."""
    upstream = RawUpstream()
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG % f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    environ = {"DAOBO_KEY": KEY, "DAOBO_REDIS_URL": redis_server.url}
    found = []
    async with aiohttp.ClientSession() as session:
        for name in ("one", "other"):
            gateway = Gateway(Options(config, tmp_path / name, environ), lambda record: None)
            server = await aiohttp_server(gateway.public_app())
            found.append(House(str(server.make_url("")).rstrip("/"), upstream, session, gateway))
        yield found
    for house in found:
        await house.gateway.close()
    listener.close()


async def told(house: House) -> str:
    async with house.post(json=BODY, headers=CACHED) as response:
        assert response.status == 200
        return response.headers["x-daobo-cache"]


async def test_what_one_gateway_was_answered_the_other_gives(houses: list[House]) -> None:
    one, other = houses
    one.upstream.script = reply()
    assert [await told(one), await told(other)] == ["miss", "hit"]
    assert len(one.upstream.requests) == 1


async def test_without_redis_every_look_is_a_miss_and_every_call_is_answered(
    houses: list[House], redis_server: RedisServer
) -> None:
    one, other = houses
    one.upstream.script = reply()
    await told(one)
    with redis_server.gone():
        assert [await told(one), await told(other)] == ["miss", "miss"]
