"""More calls at once than a limit has room for, at two gateways on one Redis: not one too many."""

import asyncio
from collections import Counter
from pathlib import Path

from tests.redis_server import RedisServer

from .calls import Clients, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import PATIENT, GatewayProcess, UpstreamProcess, kill_all, written_config

CALLS = 400
PER_MINUTE = 100
AT_ONCE = 20
TRIES = 50


async def test_two_gateways_let_through_what_one_limit_allows(
    upstream: UpstreamProcess, redis_server: RedisServer, tmp_path: Path, note: Note
) -> None:
    limits = {"rules": [{"key": "*", "requests_per_minute": PER_MINUTE}]}
    gateways = _gateways(upstream, redis_server, tmp_path, limits)
    try:
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        async with Clients(*(gateway.root for gateway in gateways)) as clients:
            began_s = asyncio.get_running_loop().time()
            replies = await clients.all(map(Wish, users("call", CALLS)))
            took_s = asyncio.get_running_loop().time() - began_s
    finally:
        kill_all(gateways)
    found = Counter((reply.status, reply.code) for reply in replies)
    passed = found[200, None]
    refilled = took_s * PER_MINUTE / 60
    assert set(found) == {(200, None), (429, "rate_limit_exceeded")}
    assert PER_MINUTE <= passed <= PER_MINUTE + refilled + 1
    assert len(upstream.billed()) == passed
    note(
        f"{CALLS} calls at once over two gateways on one Redis, {PER_MINUTE} a minute allowed",
        f"{passed} let through in {took_s:.1f} s, in which {refilled:.1f} flowed in",
    )


async def test_two_gateways_answer_as_many_at_once_as_one_limit_allows(
    upstream: UpstreamProcess, redis_server: RedisServer, tmp_path: Path, note: Note
) -> None:
    limits = {"rules": [{"project": "*", "concurrency": AT_ONCE}]}
    gateways = _gateways(upstream, redis_server, tmp_path, limits)
    order = Order(gate=str(tmp_path / "gate"))
    try:
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        async with Clients(*(gateway.root for gateway in gateways)) as clients:
            calls = [
                asyncio.ensure_future(clients.call(Wish(user, order)))
                for user in users("call", CALLS)
            ]
            while sum(call.done() for call in calls) < CALLS - AT_ONCE:
                await asyncio.wait(
                    [call for call in calls if not call.done()], return_when="FIRST_COMPLETED"
                )
            (tmp_path / "gate").touch()
            found = Counter(reply.status for reply in await asyncio.gather(*calls))
            again = await _answered_again(clients)
    finally:
        kill_all(gateways)
    assert found == {200: AT_ONCE, 429: CALLS - AT_ONCE}
    assert again == {200: AT_ONCE}
    note(
        f"{CALLS} calls at once over two gateways on one Redis, {AT_ONCE} at a time allowed",
        f"{found[200]} were answered at a time, and {again[200]} again once they had ended",
    )


async def _answered_again(clients: Clients) -> Counter[int | None]:
    """As many calls once more. An answer does not wait until its place is given back, and the other
    gateway hears of that later still: so it may take some tries until all places are free."""
    for number in range(TRIES):
        wishes = map(Wish, users(f"more{number}", AT_ONCE))
        found = Counter(reply.status for reply in await clients.all(wishes))
        if found == {200: AT_ONCE}:
            break
    return found


def _gateways(
    upstream: UpstreamProcess, redis_server: RedisServer, folder: Path, limits: dict[str, object]
) -> list[GatewayProcess]:
    config = written_config(folder, upstream.root, limits=limits, server=PATIENT)
    environ = {"DAOBO_REDIS_URL": redis_server.url}
    return [GatewayProcess(config, folder / f"state{number}", environ) for number in range(2)]
