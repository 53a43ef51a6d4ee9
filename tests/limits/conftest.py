"""Stores of buckets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer

from .bucket_stores import Bench, InMemory, InRedis


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty store of each kind."""
    made: Bench
    if request.param == "memory":
        made = InMemory()
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        made = InRedis(server)
    yield made
    made.close()
