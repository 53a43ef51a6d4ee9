"""A gateway stands still for longer than its lease: its neighbour settles its calls, wrongly, and
what really became of them takes the place of that."""

import asyncio
import signal
from pathlib import Path

import pytest

from gateway.stores.connections import connect

from .audit import audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Note
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, kill_all, until, written_config

CALLS = 40
GUESSES = "SELECT COUNT(*) FROM requests WHERE recovered"


@pytest.mark.soak
async def test_the_truth_takes_the_place_of_a_guess(
    upstream: UpstreamProcess, tmp_path: Path, ledger_url: str, note: Note
) -> None:
    config = written_config(tmp_path, upstream.root)
    environ = {"DAOBO_DATABASE_URL": ledger_url}
    gateways = [GatewayProcess(config, tmp_path / name, environ) for name in ("one", "other")]
    frozen, neighbour = gateways
    wishes = [
        Wish(user, Order(after_s=2.0), stream=number % 2 == 0)
        for number, user in enumerate(users("frozen", CALLS))
    ]
    try:
        await frozen.start()
        await neighbour.start()
        async with Clients(frozen.root) as clients:
            replies, guessed = await asyncio.gather(
                clients.all(wishes), _freeze_until_it_is_given_up(frozen, upstream, ledger_url)
            )
        await until(lambda: _guesses(ledger_url) == 0, 10, "the truth in their place")
        report = audit(ledger_url, upstream.billed(), replies)
        note(
            f"a gateway stands still with {CALLS} calls in flight until another process closes "
            f"them; {ledger_url.partition(':')[0]}",
            f"{guessed} charged at their bound meanwhile; {_complete(replies)} answered in full "
            f"in the end, {report.exact} charged to the token, {len(report.differences)} "
            "differences",
        )
        assert report.faults() == {}
        assert _complete(replies) == report.exact == CALLS
    finally:
        kill_all(gateways)


async def _freeze_until_it_is_given_up(
    gateway: GatewayProcess, upstream: UpstreamProcess, url: str
) -> int:
    """How many of its calls were closed for it."""
    await until(lambda: len(upstream.billed()) == CALLS, 30, "calls under way")
    gateway.signal(signal.SIGSTOP)
    try:
        await until(lambda: open_holds(url) == 0, 60, "all holds closed")
        return _guesses(url)
    finally:
        gateway.signal(signal.SIGCONT)


def _guesses(url: str) -> int:
    connection = connect(url)
    try:
        return int(connection.execute(GUESSES)[0][0])
    finally:
        connection.close()


def _complete(replies: list[Reply]) -> int:
    return sum(reply.complete for reply in replies)
