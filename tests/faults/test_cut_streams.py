"""An upstream's connection breaks at any byte of a stream: the client is told, and nothing is said
twice."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .audit import Report, audit, open_holds
from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .fault_proxy import End, Fault, FaultProxy
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, until, written_config

AT_ONCE = 30
CHUNKS = 20
WHOLE = "".join(f"word{number} " for number in range(CHUNKS))
STREAM_BYTES = 4000
"""About as many as such a stream has, head and all."""
ENDS: dict[End, int] = {"close": 10, "reset": 10, "half_close": 5, "garbage": 5, "silence": 1}
SILENCE_S = 0.5
MOST_CALLS = 3
"""For each cut."""
BEGUN_SHARE = 0.1
"""Of the calls: so many get to the middle of a stream, or the campaign has shown nothing."""
SIZES = pytest.mark.parametrize(
    "cuts",
    [
        pytest.param(150, id="short"),
        pytest.param(10_000, id="long", marks=pytest.mark.soak),
    ],
)


def any_cut(chance: random.Random) -> Fault:
    return Fault(
        end=chance.choices(list(ENDS), list(ENDS.values()))[0],
        after_bytes=chance.randrange(STREAM_BYTES),
    )


def streams(proxy: FaultProxy, cuts: int, chance: random.Random) -> Iterator[Wish]:
    """Until so many connections have been cut, or the gateway asks for none."""
    for user in users("cut", cuts * MOST_CALLS):
        if proxy.done.ended.total() >= cuts:
            return
        order = Order(chunks=CHUNKS, pace_s=chance.choice([0.0, 0.0, 0.002]))
        yield Wish(user, order, stream=True, model=chance.choice(["writer", "two-homes"]))


@dataclass(frozen=True)
class Told:
    """What clients were told, call by call."""

    replies: list[Reply]

    @property
    def whole(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.complete]

    @property
    def begun(self) -> list[Reply]:
        """Told in the middle of a stream that it is over."""
        return [reply for reply in self.replies if reply.status == 200 and reply.code]

    def faults(self, upstream: UpstreamProcess) -> dict[str, list[str]]:
        """Calls that were told what is not so, by name."""
        visited = upstream.visited()
        faults = {
            "ended in silence": [r for r in self.replies if not r.complete and not r.code],
            "a false [DONE]": [
                r for r in self.replies if b"[DONE]" in r.text and (r.code or r.words != WHOLE)
            ],
            "text twice or out of order": [
                r for r in self.replies if not WHOLE.startswith(r.words)
            ],
            "asked again after the first byte": [
                r
                for r in [*self.whole, *self.begun]
                if max(visited[r.wish.user].asked_s) > (r.first_byte_s or 0)
            ],
        }  # fmt: skip
        return {name: [r.wish.user for r in found] for name, found in faults.items() if found}


def faults_of_books(report: Report) -> dict[str, object]:
    """What is wrong in the ledger. What the upstream had written and billed, and the broken
    connection swallowed, no gateway can know: the figure is in the table."""
    return {name: found for name, found in report.faults().items() if name != "undercharged"}


def impatient(upstream_root: str) -> dict[str, Any]:
    """Providers that may be silent for a moment only, both of them behind the proxy."""
    entry = {
        "type": "openai-compatible",
        "base_url": f"{upstream_root}/v1",
        "first_byte_timeout_s": SILENCE_S,
        "idle_timeout_s": SILENCE_S,
    }
    return {"paid": entry, "second": entry}


@SIZES
async def test_a_stream_that_is_cut_ends_with_an_error_and_says_nothing_twice(
    cuts: int, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"stream cut by the upstream ({', '.join(ENDS)}) at any byte, {cuts:,} times",
        "an error event each time, never a silent end or a false `[DONE]`; 0 duplicated text; no "
        "retry after the first byte",
    )
    chance = random.Random(20261123)
    async with FaultProxy(upstream.port, chance, any_cut) as proxy:
        config = written_config(tmp_path, proxy.root, providers=impatient(proxy.root))
        gateway = GatewayProcess(config, tmp_path / "state")
        try:
            await gateway.start()
            async with Clients(gateway.root) as clients:
                replies = await clients.by_turns(streams(proxy, cuts, chance), AT_ONCE)
            await until(lambda: open_holds(gateway.database_url) == 0, 60, "all holds closed")
            report = audit(gateway.database_url, upstream.billed(), replies)
        finally:
            gateway.kill()
    told = Told(replies)
    faults = told.faults(upstream)
    wrong = {name: len(calls) for name, calls in faults.items()}
    found(
        f"{len(replies):,} calls, {proxy.done.ended.total():,} cuts: {len(told.begun):,} told in "
        f"the middle of their stream, {len(told.whole):,} whole, the others told before it; "
        f"{wrong or 'none told what is not so'}; {len(report.undercharged):,} charged for what "
        "came, where the upstream had billed more"
    )
    assert faults == {}
    assert faults_of_books(report) == {}
    assert len(told.begun) > BEGUN_SHARE * len(replies)
