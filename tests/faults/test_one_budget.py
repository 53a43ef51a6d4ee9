"""More calls at once than a budget has room for: not one too many, and none of it is lost."""

import asyncio
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

COME_AGAIN_S = 0.1


@dataclass(frozen=True)
class Setting:
    processes: int
    database: str
    room_for: int = 100
    calls: int = 500

    def __str__(self) -> str:
        count = "one process" if self.processes == 1 else f"{self.processes} processes"
        return f"{count}, {self.database}"


SETTINGS = [
    pytest.param(Setting(count, name, *size), id=f"{form}-{count}-{name}", marks=marks)
    for form, size, marks in (("short", (30, 120), []), ("long", (), [pytest.mark.soak]))
    for name in ("SQLite", "PostgreSQL")
    for count in (1, 2)
]


def order(percent: int, gate: Path) -> Order:
    """A call that costs about so much of what is held for it."""
    output_tokens = (MAX_TOKENS + 1024) * percent // 100
    return Order(chunks=output_tokens, input_tokens=2_000 * percent // 100, gate=str(gate))


class Stage:
    """Gateways on one database, with a budget for so many calls."""

    def __init__(self, folder: Path, upstream: UpstreamProcess, setting: Setting, url: str) -> None:
        self._folder = folder
        self._setting = setting
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
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))
        self.gate.touch()
        async with Clients(self.gateways[0].root, project="a-trial") as clients:
            await clients.call(Wish("trial-000000", order(50, self.gate)))
        self.gate.unlink()
        await until(lambda: open_holds(self._url) == 0, 60, "the trial settled")
        held_nano = self._number("SELECT MAX(held_nano) FROM requests")
        self.cap_nano = self._setting.room_for * held_nano
        cap = {"project": "night-market", "currency": "USD", "cap": amount(self.cap_nano)}
        money = {"budgets": [cap]}
        path = written_config(self._folder, self._upstream.root, money=money, server=PATIENT)
        await asyncio.gather(*(gateway.reload(lambda: path) for gateway in self.gateways))

    async def rush(self, clients: Clients) -> list[Reply]:
        """All calls at once; those that are let in wait until each of them is decided. Where the
        ledger had no time to decide, nothing was sent, and the client comes again as it is told."""
        refused: list[Reply] = []
        names = users("rush")

        async def one() -> Reply:
            while True:
                reply = await clients.call(Wish(next(names), order(50, self.gate)))
                if reply.code != "ledger_unavailable":
                    break
                await asyncio.sleep(COME_AGAIN_S)
            refused.extend([reply] if reply.status != 200 else [])
            return reply

        async def open_the_gate() -> None:
            decided = lambda: len(refused) + len(self._in_rush()) == calls  # noqa: E731
            await until(decided, 60, "every call decided")
            self.gate.touch()

        calls = self._setting.calls
        *replies, _ = await asyncio.gather(*(one() for _ in range(calls)), open_the_gate())
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


@pytest.mark.parametrize("setting", SETTINGS)
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
                # An answer does not wait for its closing, which a neighbour's writing may delay.
                await until(lambda: open_holds(url) == 0, 60, "all holds closed")
                rest.append(await clients.call(wish))
                if rest[-1].code == "insufficient_quota":
                    break
        await until(lambda: open_holds(url) == 0, 60, "all holds closed")
        report = audit(url, upstream.billed(), [*rush, *rest])
        admitted = sum(reply.complete for reply in rush)
        used = stage.spent_nano() / stage.cap_nano
        note(
            f"{setting.calls} calls at once on a budget for {setting.room_for}; {setting}",
            f"{admitted} admitted, {setting.calls - admitted} refused; spent in the end {used:.2%}",
        )
        assert admitted == setting.room_for
        assert {reply.code for reply in rush if not reply.complete} == {"insufficient_quota"}
        assert {reply.code for reply in rest[:-1]} <= {None, "ledger_unavailable"}
        assert 1 - 1 / setting.room_for <= used <= 1.0
        assert report.faults() == {}
    finally:
        kill_all(stage.gateways)
