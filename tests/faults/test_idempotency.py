"""Many twins with one ``Idempotency-Key``: one call upstream, one charge, one body."""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.stores.connections import connect
from gateway.stores.verify import verify

from .audit import open_holds
from .calls import Clients, Reply, Wish
from .conftest import Note
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, kill_all, until, written_config

TWINS = 50
PAID = (
    "SELECT user_id, SUM(cost_nano), COUNT(*) FROM requests "
    "JOIN attempts ON attempts.request_id = requests.id GROUP BY user_id"
)


@dataclass(frozen=True)
class Setting:
    processes: int
    database: str
    keys: int

    def __str__(self) -> str:
        count = "one process" if self.processes == 1 else f"{self.processes} processes"
        return f"{count}, {self.database}"


SHORT = pytest.param(Setting(2, "SQLite", 2), id="short")
LONG = [
    pytest.param(Setting(count, name, 100), id=f"{count}-{name}", marks=[pytest.mark.soak])
    for name in ("SQLite", "PostgreSQL")
    for count in (1, 2)
]


def twins_of(number: int) -> list[Wish]:
    """Fifty of a kind: every second key is a stream's, and a fifth of the clients do not wait."""
    order = Order(after_s=0.2, chunks=20, pace_s=0.005)
    return [
        Wish(
            f"twin-{number:06d}",
            order,
            stream=bool(number % 2),
            leaves_after_s=random.uniform(0, 0.3) if twin % 5 == 0 else None,
            headers={"idempotency-key": f"key-{number}"},
        )
        for twin in range(TWINS)
    ]


def bodies(replies: Iterable[Reply]) -> set[bytes]:
    """What clients read that stayed to the end; a stream's own cost is a comment at its end."""
    return {reply.text.partition(b": cost")[0] for reply in replies if reply.complete}


class Campaign:
    """Gateways on one database, and what their clients saw of each key."""

    def __init__(self, folder: Path, upstream: UpstreamProcess, setting: Setting, url: str) -> None:
        self._upstream = upstream
        self._keys = setting.keys
        self.url = url
        self.seen: dict[int, set[bytes]] = {}
        config = written_config(folder, upstream.root)
        self.gateways = [
            GatewayProcess(config, folder / f"state{number}", {"DAOBO_DATABASE_URL": url})
            for number in range(setting.processes)
        ]

    async def start(self) -> None:
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    def clients(self) -> Clients:
        return Clients(*(gateway.root for gateway in self.gateways))

    async def ask_at_once(self) -> int:
        """Every key with all its twins; how many were answered."""
        answered = 0
        async with self.clients() as clients:
            for number in range(self._keys):
                replies = await clients.all(twins_of(number))
                assert {reply.code for reply in replies if not reply.complete} <= {None}
                self.seen[number] = bodies(replies)
                answered += sum(reply.complete for reply in replies)
        return answered

    async def ask_again(self) -> dict[int, set[bytes]]:
        """Every key once more."""
        async with self.clients() as clients:
            return {
                number: bodies([await clients.call(twins_of(number)[1])])
                for number in range(self._keys)
            }

    async def ask_for_something_else(self) -> set[tuple[int | None, str | None]]:
        """Every key with another body: statuses and codes."""
        async with self.clients() as clients:
            replies = [
                await clients.call(
                    Wish("another", Order(), headers={"idempotency-key": f"key-{number}"})
                )
                for number in range(self._keys)
            ]
        return {(reply.status, reply.code) for reply in replies}

    def billed_times(self) -> list[int]:
        return [bill.times for bill in self._upstream.billed().values()]

    def unpaid(self) -> list[str]:
        """Calls that the ledger does not say the upstream's own figures of, exactly once."""
        paid = {user: (int(cost), count) for user, cost, count in self._rows(PAID)}
        return [
            user
            for user, bill in self._upstream.billed().items()
            if paid.get(user) != (bill.nano_usd, 1)
        ]

    def differences(self) -> list[str]:
        connection = connect(self.url)
        try:
            return verify(connection, int(time.time())).named
        finally:
            connection.close()

    def _rows(self, sql: str) -> Iterator[tuple[str, int, int]]:
        connection = connect(self.url)
        try:
            yield from connection.execute(sql)  # type: ignore[misc]
        finally:
            connection.close()


@pytest.mark.parametrize("setting", [SHORT, *LONG])
async def test_twins_with_one_key_are_sent_once_and_paid_once(
    setting: Setting,
    upstream: UpstreamProcess,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    note: Note,
) -> None:
    fixture = {"SQLite": "sqlite_url", "PostgreSQL": "postgres_url"}[setting.database]
    campaign = Campaign(tmp_path, upstream, setting, request.getfixturevalue(fixture))
    try:
        await campaign.start()
        answered = await campaign.ask_at_once()
        conflicts = await campaign.ask_for_something_else()
        kill_all(campaign.gateways)
        await campaign.start()
        after_restart = await campaign.ask_again()
        await until(lambda: open_holds(campaign.url) == 0, 60, "all holds closed")
        several = [number for number, seen in campaign.seen.items() if len(seen) != 1]
        note(
            f"{TWINS} twins at once with one Idempotency-Key, {setting.keys} keys, a fifth of the "
            f"clients leaving; SIGKILL and restart; {setting}",
            f"{sum(campaign.billed_times())} calls upstream for {setting.keys} keys, "
            f"{len(campaign.unpaid())} not charged exactly once, {answered:,} answers, "
            f"{len(several)} keys with more than one body; another body: "
            f"{', '.join(str(status) for status, _ in conflicts)}; after the restart "
            f"{sum(after_restart[n] == campaign.seen[n] for n in campaign.seen)} the same",
        )
        assert campaign.billed_times() == [1] * setting.keys
        assert campaign.unpaid() == []
        assert several == []
        assert conflicts == {(409, "idempotency_key_reused")}
        assert after_restart == campaign.seen
        assert campaign.differences() == []
    finally:
        kill_all(campaign.gateways)


@pytest.mark.soak
async def test_a_call_whose_gateway_was_killed_is_in_doubt_and_never_paid_twice(
    upstream: UpstreamProcess, tmp_path: Path, sqlite_url: str, note: Note
) -> None:
    setting = Setting(2, "SQLite", 0)
    campaign = Campaign(tmp_path, upstream, setting, sqlite_url)
    doomed, neighbour = campaign.gateways
    wishes = [
        Wish(f"doubt-{n:06d}", Order(ending="never"), headers={"idempotency-key": f"key-{n}"})
        for n in range(20)
    ]

    async def kill_in_the_middle() -> None:
        await until(lambda: len(upstream.billed()) == len(wishes), 60, "calls under way")
        doomed.kill()

    try:
        await campaign.start()
        async with Clients(doomed.root) as clients:
            await asyncio.gather(clients.all(wishes), kill_in_the_middle())
        async with Clients(neighbour.root) as clients:
            began_s = time.monotonic()
            replies = await clients.all(wishes)
            told_s = time.monotonic() - began_s
        await until(lambda: open_holds(campaign.url) == 0, 60, "all holds closed")
        codes = {reply.code for reply in replies}
        note(
            f"SIGKILL with {len(wishes)} calls under way that have an Idempotency-Key, sent again "
            "to a second process",
            f"{sum(campaign.billed_times())} calls upstream, each told after {told_s:.0f} s that "
            f"it is in doubt ({', '.join(map(str, codes))}); all charged at their bound",
        )
        assert codes == {"idempotency_in_doubt"}
        assert campaign.billed_times() == [1] * len(wishes)
        assert campaign.differences() == []
    finally:
        kill_all(campaign.gateways)
