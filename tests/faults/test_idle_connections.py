"""Connections that nobody uses cost little, and are closed after a while."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Goal
from .measures import MIB, at_rest, descriptors, memory_bytes, percentile
from .processes import GatewayProcess, UpstreamProcess, until, written_config
from .raw_clients import RawClient, dial, may_open

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
GROUP = 100
WARM = 200
"""Connections that come and go before anything is measured."""
MARGIN_S = 1.0
"""How late the loop of these clients may notice that the last of thousands was closed."""
SLACK_S = 20.0
"""And on a machine that does other things meanwhile."""
REST_SHARE = 0.3
OTHERS = 8
"""Descriptors that the ledger's audit and the like may open meanwhile."""
IMPATIENT = {"idle_timeout_s": 1.0}


@dataclass(frozen=True)
class Size:
    connections: int
    more_bytes: int
    server: dict[str, Any]
    """Of the configuration; the long form goes by what is the default."""
    idle_s: float
    margin_s: float


SIZES = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(500, 10 * MIB, IMPATIENT, 1.0, SLACK_S), id="short"),
        pytest.param(
            Size(10_000, 100 * MIB, {}, 75.0, MARGIN_S), id="long", marks=pytest.mark.soak
        ),
    ],
)


async def used_once(port: int, count: int) -> list[RawClient]:
    """Connections that had one request answered and are left alone from then on. They come in
    small groups: what a crowd costs that asks all at once is another question."""
    clients: list[RawClient] = []
    while len(clients) < count:
        group = await dial(port, (RawClient() for _ in range(min(GROUP, count - len(clients)))))
        for client in group:
            client.transport.write(HEALTH)
        await asyncio.gather(*(client.has_come(b'"ok"') for client in group))
        clients += group
    return clients


@SIZES
async def test_idle_connections_cost_little_and_are_closed(
    size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    count = may_open(size.connections)
    found = goal(
        f"{count:,} idle connections",
        f"≤ +{size.more_bytes / MIB:.0f} MiB, closed at ≤ {size.idle_s:g} s idle",
    )
    config = written_config(tmp_path, upstream.root, server=size.server)
    gateway = GatewayProcess(config, tmp_path / "state")
    try:
        await gateway.start()
        pid = gateway.process.pid
        for client in await used_once(gateway.port, WARM):
            client.hang_up(rudely=False)
        await at_rest(pid, REST_SHARE, 60)
        before_bytes, before = memory_bytes(pid), descriptors(pid)
        clients = await used_once(gateway.port, count)
        more_bytes = memory_bytes(pid) - before_bytes
        limit_s = size.idle_s + size.margin_s
        idle_s = await asyncio.wait_for(
            asyncio.gather(*(client.has_ended() for client in clients)), limit_s + 30
        )
        await until(lambda: descriptors(pid) <= before + OTHERS, 60, "descriptors given back")
    finally:
        gateway.kill()
    found(
        f"+{more_bytes / MIB:.0f} MiB ({more_bytes / count / 1024:.1f} KiB each); closed after "
        f"{percentile(idle_s, 0.5):.1f} s, the last after {max(idle_s):.1f} s"
    )
    assert more_bytes <= size.more_bytes
    assert max(idle_s) <= limit_s
    assert min(idle_s) >= size.idle_s / 2
    assert not any(client.reset for client in clients)
