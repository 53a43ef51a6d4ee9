"""Parts of calls, and a purse whose ledger does what a test says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cache

import orjson

from gateway.config_prices import TokenPriceConfig
from gateway.ledger import Closing, ExchangeRate, Granted, HoldRequest, Note, Verdict
from gateway.money.prices import PriceBook
from gateway.money.purse import Purse
from gateway.schema import Call, Caller, Part, Plan, Target

AT_S = 1_795_348_800.0
RATE = ExchangeRate(7_100_000_000, "2026-11-20", "a bank")
CHEAP, DEAR, YUAN = (Target("studio", name, name) for name in ("cheap", "dear", "yuan"))
STAND_IN = Target("stage", "extra", "cheap", rehearsal=True, stands_for=CHEAP)
SECRET = Target("studio", "secret", "secret")
PRICES = {
    "cheap": TokenPriceConfig.model_validate({"input_per_mtok": "1", "output_per_mtok": "2"}),
    "dear": TokenPriceConfig.model_validate({"input_per_mtok": "3", "output_per_mtok": "15"}),
    "yuan": TokenPriceConfig.model_validate(
        {"currency": "CNY", "input_per_mtok": "2", "output_per_mtok": "8"}
    ),
}


@cache
def book() -> PriceBook:
    return PriceBook.load(overrides=PRICES)


class Answer:
    """Waits by hand: whoever drives the coroutine says what the ledger says."""

    def __await__(self) -> Generator[Answer, Verdict, Verdict]:
        return (yield self)


@dataclass
class Counter:
    """A ledger that remembers what it was asked. By default it grants at once."""

    verdict: Callable[[HoldRequest], Verdict] = lambda request: Granted()
    by_hand: bool = False
    asked: list[HoldRequest] = field(default_factory=list)
    notes: list[tuple[Note, Callable[[], None]]] = field(default_factory=list)
    """With whom to tell that they are written; ``writes`` does so at once."""
    writes: bool = True

    async def hold(self, request: HoldRequest) -> Verdict:
        self.asked.append(request)
        return await Answer() if self.by_hand else self.verdict(request)

    def close(self, make_closing: Callable[[], Closing]) -> None:
        self.closing = make_closing()

    def note(self, note: Note, written: Callable[[], None]) -> None:
        self.notes.append((note, written))
        if self.writes:
            written()


def purse(ledger: Counter | None = None) -> Purse:
    return Purse(ledger or Counter(), book(), RATE, 3, {})


def part(number: int, size: int = 1_000, targets: tuple[Target, ...] = (CHEAP,)) -> Part:
    body = {"model": "polish", "messages": [{"role": "user", "content": "x" * size}]}
    caller = Caller("k1", project="market")
    size_bytes = len(orjson.dumps(body))
    call = Call("call", "chat", caller, "polish", body, size_bytes, AT_S, 0.0, stream=True)
    return Part(call, Plan(targets, body, "task", "polish", max_output_tokens=500, part=number))


def whole(*parts: Part, at_once: int = 8) -> Part:
    """The call that is cut into these, of which so many are under way ``at_once``."""
    call, plan = parts[0]
    return Part(call, plan._replace(parts=parts, part=None, at_once=at_once))


def bound(part: Part) -> int:
    return purse().hold_for(*part).amount_nano
