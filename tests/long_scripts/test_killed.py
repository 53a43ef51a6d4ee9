"""A gateway is killed in the middle of a script: what is charged is what parts have used that had
ended, and the bounds of those that were under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from gateway.ledger import HoldRequest
from gateway.money.recovery import closing_of_orphan
from gateway.stores.connections import Connection, connect
from gateway.stores.leases import LEASE_S
from gateway.stores.opening import ledger_store
from gateway.stores.verify import verify
from tests.end_to_end.gateway_process import KEY
from tests.faults.paid_upstream import Order
from tests.faults.processes import GatewayProcess, UpstreamProcess, until, written_config

from .scenes import mark_of, written

SCENES, POOL, SLOW = 24, 4, 14
"""From this scene on the upstream thinks until it is told to stop."""
USER = "script"
WAIT_S = 20.0


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[UpstreamProcess]:
    process = UpstreamProcess(tmp_path / "books")
    await process.start()
    yield process
    process.kill()


@pytest.fixture
async def gateway(tmp_path: Path, upstream: UpstreamProcess) -> AsyncIterator[GatewayProcess]:
    chunking = {"mode": "map", "budget_tokens": 300, "pool": POOL, "keep_s": 0}
    tasks = {"scenes": {"models": ["writer"], "chunking": chunking}}
    process = GatewayProcess(
        written_config(tmp_path, upstream.root, tasks=tasks), tmp_path / "state"
    )
    await process.start()
    yield process
    process.kill()


@pytest.fixture
def rows(gateway: GatewayProcess) -> Iterator[Connection]:
    connection = connect(gateway.database_url)
    yield connection
    connection.close()


async def test_a_restart_charges_what_parts_used_and_the_bounds_of_those_under_way(
    upstream: UpstreamProcess, gateway: GatewayProcess, rows: Connection, tmp_path: Path
) -> None:
    asking = asyncio.ensure_future(ask(gateway.root, tmp_path / "never"))
    ended = SLOW - 1
    await until(lambda: upstream.billed()[USER].times == ended + POOL, WAIT_S, "parts under way")
    await until(lambda: len(rows.execute("SELECT 1 FROM notes")) == ended, WAIT_S, "notes")
    gateway.kill()
    await asyncio.gather(asking, return_exceptions=True)
    [(held_nano,)] = rows.execute("SELECT amount_nano FROM holds")
    billed_nano = upstream.billed()[USER].nano_usd
    recover(gateway.database_url)
    [(call, recovered, kept_nano)] = rows.execute("SELECT id, recovered, held_nano FROM requests")
    found = rows.execute("SELECT number, part, estimated, cost_nano FROM attempts ORDER BY number")
    assert (bool(recovered), kept_nano) == (True, held_nano)
    assert sorted(part for _, part, *_ in found[:-1]) == [*range(1, SLOW)]
    assert [bool(estimated) for *_, estimated, _ in found] == [False] * ended + [True]
    charged_nano, lost_nano = sum(cost for *_, cost in found), found[-1][-1]
    assert billed_nano <= charged_nano
    assert lost_nano <= POOL * held_nano // SCENES * 1.2  # parts are not quite alike
    assert charged_nano < held_nano / 2
    report = verify(rows, int(time.time()))
    assert (report.named, report.rows["holds"]) == ([], 0)
    assert rows.execute("SELECT COUNT(*) FROM notes") == [(0,)]
    assert rows.execute("SELECT SUM(cost_nano) FROM ledger WHERE request_id = ?", (call,)) == [
        (charged_nano,)
    ]


async def ask(root: str, gate: Path) -> None:
    """For a script whose later scenes are never answered."""
    script = written(SCENES).text
    for number in range(SLOW, SCENES + 1):
        script = script.replace(f"》的{mark_of(number)}", f"》里最慢的{mark_of(number)}")
    order = Order(echoes=True, gate=str(gate), gated="最慢的")
    body = {
        "model": "writer",
        "user": USER,
        "metadata": {"order": order.text},
        "messages": [{"role": "user", "content": script}],
    }
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "x-daobo-task": "scenes",
        "x-daobo-chunking": "force",
    }
    url = f"{root}/v1/chat/completions"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, data=orjson.dumps(body)) as response,
    ):
        await response.read()


def recover(url: str) -> list[HoldRequest]:
    """As a process does that finds holds whose owner's lease has run out."""
    ahead_s = 0.0
    store = ledger_store(url, lambda: time.time() + ahead_s)
    store.connection()
    ahead_s = 2.0 * LEASE_S
    found = store.do_chores()
    store.commit([], [closing_of_orphan(hold) for hold in found])
    store.sign_off()
    return found
