"""A target dies while another one can do the same: it is left alone, and comes back by itself."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from .calls import Clients, Reply, Wish, users
from .conftest import Goal
from .fault_proxy import Fault, FaultProxy, no_fault
from .paid_upstream import Order
from .processes import GatewayProcess, UpstreamProcess, kill_all, until, written_config

Death = Literal["refuses", "resets", "is silent"]
AT_ONCE = 8
FAILURES = 5
OUT_S = 1.0
LAST_CALLS = 30


@dataclass(frozen=True)
class Size:
    dead_s: float
    back_s: float
    breaker: dict[str, Any]
    """The long form goes by what is the default."""
    silence_s: float = 0.5
    """How long an upstream may say nothing."""


QUICK = {"open_s": 0.3, "max_open_s": 0.6}
SHORT = Size(1.2, 60.0, QUICK, silence_s=60.0)
LONG = Size(60.0, 35.0, {})
CASES = pytest.mark.parametrize(
    ("death", "size"),
    [
        pytest.param("refuses", SHORT, id="refuses-short"),
        *(
            pytest.param(death, LONG, id=f"{death}-long", marks=pytest.mark.soak)
            for death in ("refuses", "resets", "is silent")
        ),
    ],
)


async def kill(proxy: FaultProxy, death: Death) -> None:
    if death == "refuses":
        await proxy.refuse()
    elif death == "resets":
        proxy.faults = lambda _: Fault(end="reset", direction="request")
        proxy.reset_all()
    else:
        proxy.faults = lambda _: Fault(end="silence", direction="request")
        proxy.reset_all()


async def revive(proxy: FaultProxy, death: Death) -> None:
    proxy.faults = no_fault
    if death == "refuses":
        await proxy.accept()


@dataclass
class Watch:
    """What clients of the model with two targets saw, before, while and after one was dead."""

    clients: Clients
    replies: list[Reply] = field(default_factory=list)
    over: bool = False

    def wishes(self) -> Iterator[Wish]:
        for user in users("two"):
            if self.over:
                return
            yield Wish(user, Order(after_s=0.01), model="two-homes")

    async def run(self) -> None:
        async def look(reply: Reply) -> None:
            self.replies.append(reply)

        await self.clients.by_turns(self.wishes(), AT_ONCE, look)

    def since(self, moment_s: float) -> list[Reply]:
        return [reply for reply in self.replies if reply.began_s >= moment_s]

    def came_from(self, provider: str, moment_s: float) -> bool:
        return any(r.headers.get("x-daobo-provider") == provider for r in self.since(moment_s))

    def second_tries(self, begin_s: float, end_s: float) -> int:
        """Calls of that time that had been to the dead target first."""
        return sum(
            reply.headers.get("x-daobo-attempts", "1") != "1"
            for reply in self.since(begin_s)
            if reply.began_s < end_s
        )


@dataclass
class Story:
    """When it died, when it came back, and what was seen of it."""

    died_s: float = 0.0
    revived_s: float = 0.0
    back_after_s: float = 0.0
    alone: list[Reply] = field(default_factory=list)
    at_once: Reply | None = None


async def live_through(
    death: Death, size: Size, proxy: FaultProxy, gateway: GatewayProcess
) -> tuple[Story, Watch]:
    story = Story()
    async with Clients(gateway.root) as clients:
        watch = Watch(clients)
        running = asyncio.ensure_future(watch.run())
        try:
            await until(lambda: len(watch.replies) > 5 * AT_ONCE, 60, "calls")
            story.died_s = time.monotonic()
            await kill(proxy, death)
            await asyncio.sleep(size.dead_s)
            story.revived_s = time.monotonic()
            await revive(proxy, death)
            story.back_after_s = await until(
                lambda: watch.came_from("paid", story.revived_s), size.back_s + 10, "back"
            )
        finally:
            watch.over = True
            await running
        await kill(proxy, death)
        only = [Wish(user, Order(), model="writer") for user in users("alone", LAST_CALLS)]
        story.alone = await clients.by_turns(only, AT_ONCE)
        await revive(proxy, death)
        story.at_once = await clients.call(Wish("at-once-000000", model="writer"))
    return story, watch


@CASES
async def test_a_dead_target_is_left_alone_and_comes_back(
    death: Death, size: Size, upstream: UpstreamProcess, tmp_path: Path, goal: Goal
) -> None:
    found = goal(
        f"dead target ({death}) with a healthy second",
        f"out after {FAILURES} failures and ≤ {OUT_S:g} s, 0 client errors after that, back ≤ "
        f"{size.back_s:g} s after recovery; the last one is never ejected",
    )
    second = UpstreamProcess(tmp_path / "second")
    async with FaultProxy(upstream.port, random.Random(20261123)) as proxy:
        config = written_config(
            tmp_path, proxy.root, second.root, breaker=size.breaker,
            providers={
                name: {
                    "type": "openai-compatible", "base_url": f"{root}/v1",
                    "first_byte_timeout_s": size.silence_s,
                }
                for name, root in (("paid", proxy.root), ("second", second.root))
            },
        )  # fmt: skip
        gateway = GatewayProcess(config, tmp_path / "state")
        try:
            await second.start()
            await gateway.start()
            story, watch = await live_through(death, size, proxy, gateway)
        finally:
            kill_all([gateway, second])
    out_s = story.died_s + OUT_S
    failures = watch.second_tries(story.died_s - OUT_S, out_s)
    probes = watch.second_tries(out_s, story.revived_s)
    during = watch.since(out_s)
    errors = sum(not reply.complete for reply in during)
    early = sum(not reply.complete for reply in watch.replies) - errors
    tried = sum(b"nothing was sent" not in reply.text for reply in story.alone)
    assert story.at_once is not None
    found(
        f"{failures} calls had to be tried twice within {OUT_S:g} s, {early} failed; after that "
        f"{errors} of {len(during):,} failed, {probes} had been to the dead target as probes; back "
        f"after {story.back_after_s:.1f} s; as the only target it was tried by {tried} of "
        f"{LAST_CALLS} calls, and answered the first one after its recovery: "
        f"{'yes' if story.at_once.complete else 'no'}"
    )
    under_way = AT_ONCE  # when it was found out
    if size is SHORT:  # a second may be over before a busy machine has made a call
        dead_s = story.revived_s - story.died_s
        assert failures + probes <= FAILURES + under_way + 1 + dead_s / QUICK["open_s"]
    else:
        assert failures <= FAILURES + under_way
        assert probes <= 1 + len(during) // 20
    assert errors == early == 0
    assert story.back_after_s <= size.back_s
    assert not any(reply.complete for reply in story.alone)
    assert tried == LAST_CALLS
    assert story.at_once.complete
