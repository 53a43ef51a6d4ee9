"""More calls at once than a budget has room for: not one too many, and none of it is lost."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.budget import amount
from gateway.stores.connections import connect

from .audit import audit, open_holds
from .calls import MAX_TOKENS, Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import (
    PATIENT,
    GatewayProcess,
    UpstreamProcess,
    kill_all,
    until,
    written_config,
)

ROOM_FOR = 100
CALLS = 500


@dataclass(frozen=True)
class Setting:
    processes: int
    database: str

    def __str__(self) -> str:
        count = "one process" if self.processes == 1 else f"{self.processes} processes"
        return f"{count}, {self.database}"


SETTINGS = [Setting(count, name) for name in ("SQLite", "PostgreSQL") for count in (1, 2)]


def order(percent: int, gate: Path) -> Order:
    """A call that costs about so much of what is held for it."""
    output_tokens = (MAX_TOKENS + 1024) * percent // 100
    return Order(chunks=output_tokens, input_tokens=2_000 * percent // 100, gate=str(gate))


class Stage:
    """Gateways on one database, with a budget for a hundred calls."""

    def __init__(self, folder: Path, upstream: UpstreamProcess, setting: Setting, url: str) -> None:
        self._folder = folder
        self._upstream = upstream
        self._url = url
        self.gate = folder / "gate"
        environ = {"DAOBO_DATABASE_URL": url}
        config = written_config(folder, upstream.root, server=PATIENT)
        self.gateways = [
            GatewayProcess(config, folder / f"state{number}", environ)
            for number in range(setting.processes)
        ]
        self.cap_nano = 0

    async def start(self) -> None:
        """Find out what is held for a call, then make the budget from it."""
        first = self.gateways[0]
        await first.start()
        self.gate.touch()
        async with Clients(first.root, project="a-trial") as clients:
            await clients.call(Wish("trial-000000", order(50, self.gate)))
        self.gate.unlink()
        first.signal(signal.SIGTERM)
        await first.ended(10)
        self.cap_nano = ROOM_FOR * self._number("SELECT MAX(held_nano) FROM requests")
        cap = {"project": "night-market", "currency": "USD", "cap": amount(self.cap_nano)}
        written_config(self._folder, self._upstream.root, money={"budgets": [cap]}, server=PATIENT)
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    async def rush(self, clients: Clients) -> list[Reply]:
        """All calls at once; those that are let in wait until each of them is decided."""
        refused: list[Reply] = []

        async def one(wish: Wish) -> Reply:
            reply = await clients.call(wish)
            refused.extend([reply] if reply.status != 200 else [])
            return reply

        async def open_the_gate() -> None:
            decided = lambda: len(refused) + len(self._in_rush()) == CALLS  # noqa: E731
            await until(decided, 60, "every call decided")
            self.gate.touch()

        wishes = [Wish(user, order(50, self.gate)) for user in users("rush", CALLS)]
        *replies, _ = await asyncio.gather(*map(one, wishes), open_the_gate())
        return [reply for reply in replies if reply is not None]

    def _in_rush(self) -> list[str]:
        return [user for user in self._upstream.billed() if user.startswith("rush")]

    def rest(self) -> Iterator[Wish]:
        """Dear calls, as long as one more may be let in."""
        return (Wish(user, order(95, self.gate)) for user in users("rest"))

    def spent_nano(self) -> int:
        return self._number("SELECT SUM(spent_nano) FROM balances WHERE node LIKE '%night%'")

    def _number(self, sql: str) -> int:
        connection = connect(self._url)
        try:
            return int(connection.execute(sql)[0][0])
        finally:
            connection.close()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
async def test_a_budget_for_a_hundred_calls_lets_a_hundred_in(
    setting: Setting,
    upstream: UpstreamProcess,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    note: Note,
) -> None:
    fixture = {"SQLite": "sqlite_url", "PostgreSQL": "postgres_url"}[setting.database]
    url: str = request.getfixturevalue(fixture)
    stage = Stage(tmp_path, upstream, setting, url)
    try:
        await stage.start()
        async with Clients(*(gateway.root for gateway in stage.gateways)) as clients:
            rush = await stage.rush(clients)
            rest = []
            for wish in stage.rest():
                rest.append(await clients.call(wish))
                if not rest[-1].complete:
                    break
        # An answer does not wait for its closing, which a neighbour's writing may delay.
        await until(lambda: open_holds(url) == 0, 10, "all holds closed")
        report = audit(url, upstream.billed(), [*rush, *rest])
        admitted = sum(reply.complete for reply in rush)
        used = stage.spent_nano() / stage.cap_nano
        note(
            f"{CALLS} calls at once on a budget for {ROOM_FOR}; {setting}",
            f"{admitted} admitted, {CALLS - admitted} refused; spent in the end {used:.2%}",
        )
        assert admitted == ROOM_FOR
        assert {reply.code for reply in [*rush, *rest] if not reply.complete} == {
            "insufficient_quota"
        }
        assert 0.99 <= used <= 1.0
        assert report.faults() == {}
    finally:
        kill_all(stage.gateways)
