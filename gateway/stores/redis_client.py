"""A client of Redis for an address that an operator wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from redis.asyncio import Redis

ADDRESSES = "redis://[user:password@]host:6379/0, rediss://… (with TLS) or unix:///path/to/socket"


def redis_client(url: str) -> Redis:
    """A client with one connection, not yet open, that tries nothing twice and waits for as long as
    it is let. Raises ConfigError."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        client: Redis = Redis.from_url(
            url,
            protocol=2,
            driver_info=None,
            max_connections=1,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        # An option that nobody knows is only found out when a connection is made.
        make_connection: Callable[[], object] = client.connection_pool.make_connection
        make_connection()
        if urlsplit(url).scheme != "unix" and not urlsplit(url).hostname:
            raise ValueError("no host")
    except (ValueError, TypeError):
        # Whose words may hold a part of the password.
        raise ConfigError(f"DAOBO_REDIS_URL is not the address of a Redis: {ADDRESSES}") from None
    return client
