"""Calls of every kind, well and badly meant, one after the other for as long as it takes."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .calls import Clients, Reply, Wish
from .fault_proxy import Fault
from .paid_upstream import Order

CACHED = 50
"""So many different requests may be answered from what was kept."""
LIMITED_PROJECT = "limited"
EXPECTED = frozenset({200, 400, 404, 408, 429, 502, 503, 504})
KEPT_PREFIX = "kept"
"""Of the users whose calls are the same, again and again."""


def mostly_sound(chance: random.Random) -> Fault:
    """A few connections break, are slow, or fall silent; the others are closed when idle."""
    after_bytes = chance.randrange(5000)
    kind = chance.random()
    if kind < 0.03:
        return Fault(end="reset", after_bytes=after_bytes)
    if kind < 0.05:
        return Fault(end="close", after_bytes=after_bytes)
    if kind < 0.06:
        return Fault(end="garbage", after_bytes=after_bytes)
    if kind < 0.065:
        return Fault(end="silence", after_bytes=after_bytes)
    if kind < 0.10:
        return Fault(delay_s=0.05)
    return Fault(idle_s=(0.5, 5.0))


def plain(wish: Wish, chance: random.Random) -> Wish:
    order = Order(after_s=chance.choice([0.0, 0.01, 0.05]), chunks=chance.randint(2, 30))
    model = chance.choice(["writer", "two-homes", "elsewhere"])
    return replace(wish, order=order, model=model, stream=chance.random() < 0.5)


def leaving(wish: Wish, chance: random.Random) -> Wish:
    order = Order(after_s=0.05, chunks=50, pace_s=0.01)
    leaves_s = chance.uniform(0.0, 0.3)
    return replace(wish, order=order, stream=chance.random() < 0.5, leaves_after_s=leaves_s)


def failing(wish: Wish, chance: random.Random) -> Wish:
    order = Order(ending=chance.choice(["cut", "reset", "error", "garbage"]))
    return replace(wish, order=order, stream=chance.random() < 0.5)


def kept(_: Wish, chance: random.Random) -> Wish:
    user = f"{KEPT_PREFIX}-{chance.randrange(CACHED):06d}"
    return Wish(user, more={"temperature": 0}, headers={"x-daobo-cache": "on"})


def limited(wish: Wish, _: random.Random) -> Wish:
    return replace(wish, headers={"x-daobo-project": LIMITED_PROJECT})


def strange_names(wish: Wish, chance: random.Random) -> Wish:
    """A project and a task that nobody has heard of, and never will again."""
    project = f"project-{chance.getrandbits(64):x}"
    return replace(wish, headers={"x-daobo-project": project})


def unknown_model(wish: Wish, chance: random.Random) -> Wish:
    return replace(wish, model=f"model-{chance.getrandbits(64):x}")


def invalid(wish: Wish, chance: random.Random) -> Wish:
    fault: dict[str, Any] = chance.choice(
        [{"messages": "none"}, {"max_tokens": -1}, {"temperature": []}]
    )
    return replace(wish, more=fault)


def large(wish: Wish, chance: random.Random) -> Wish:
    order = Order(chunks=2)
    script = {"role": "user", "content": "a door opens. " * chance.randint(100, 20_000)}
    return replace(
        wish, order=order, more={"messages": [{"role": "user", "content": order.text}, script]}
    )


KINDS: dict[Callable[[Wish, random.Random], Wish], int] = {
    plain: 50, leaving: 8, failing: 5, kept: 15, limited: 5, strange_names: 5,
    unknown_model: 4, invalid: 4, large: 2,
}  # fmt: skip


class Traffic:
    """Many clients, each with one call of any kind after the other; what became of them."""

    def __init__(self, clients: Clients, chance: random.Random) -> None:
        self._clients = clients
        self._chance = chance
        self.calls = 0
        self.statuses: Counter[int | None] = Counter()
        self.hits = 0
        self.unexpected: list[Reply] = []

    async def go_on(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            self.calls += 1
            wish = Wish(f"soak-{self.calls:09d}")
            kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            self._look(await self._clients.call(kind(wish, self._chance)))

    def _look(self, reply: Reply) -> None:
        self.statuses[reply.status] += 1
        self.hits += reply.headers.get("x-daobo-cache", "").startswith("hit")
        told = reply.complete or reply.code is not None
        left = reply.wish.leaves_after_s is not None
        if not left and (not told or reply.status not in EXPECTED):
            self.unexpected.append(reply)
