"""Writes calls into a real ledger, the way a gateway does: a hold, then its closing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.ledger import (
    NANO,
    AttemptRow,
    Charge,
    Closing,
    ExchangeRate,
    HoldRequest,
    LedgerRow,
    Line,
    Place,
    RequestRow,
)
from gateway.stores.ledger_store import LedgerStore
from gateway.stores.opening import connector

RATE = ExchangeRate(7_100_000_000, "2026-11-20", "the central bank")
NOW_S = 1_795_000_000
"""Wall clock of the process that writes."""
SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> int:
    """Unix microseconds of a time in Shanghai: ``2026-11-22 23:59``."""
    return int(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()) * 1_000_000


def line(units: str, meter: str = "output_tokens") -> Line:
    """A thousand of a meter that cost so many units of a currency together."""
    return Line(meter, 1000, nano(units), 1000)


def nano(units: str) -> int:
    whole, _, decimals = units.partition(".")
    return int(whole) * NANO + int(f"{decimals:0<9}"[:9])


class Tried(NamedTuple):
    """One attempt, and what it is billed."""

    lines: tuple[Line, ...] = ()
    provider: str = "studio"
    currency: str | None = "CNY"
    outcome: str = "ok"
    estimated: bool = False
    rehearsal: bool = False
    charged_nano: int | None = None
    """Where it was clamped; else what the lines say, or 0 for a rehearsal."""

    price: str = "a price list (2026-11-22)"
    part: int | None = None

    @property
    def list_nano(self) -> int:
        return sum(line.cost_nano for line in self.lines)

    @property
    def cost_nano(self) -> int:
        if self.rehearsal:
            return 0
        return self.list_nano if self.charged_nano is None else self.charged_nano


class Books:
    """One process's hand on a ledger that is made anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = LedgerStore(connector(url), "a-process", lambda: NOW_S)

    def __enter__(self) -> Books:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.disconnect()

    def hold(
        self, id_: str, place: Place, units: str, expires_us: int | None = None
    ) -> HoldRequest:
        """Money set aside and not settled."""
        hold = HoldRequest(id_, place, at("2026-11-22 12:00"), nano(units), "CNY", RATE,
                           expires_us=expires_us)  # fmt: skip
        self.store.commit([hold], [])
        return hold

    def call(
        self,
        id_: str,
        started_us: int,
        *tried: Tried,
        place: Place = Place(),  # noqa: B008
        outcome: str | None = None,
        baseline: tuple[int, str] | None = None,
        recovered: bool = False,
        rate: ExchangeRate = RATE,
    ) -> None:
        """A call from its hold to its last row."""
        last = tried[-1] if tried else None
        rehearsal = bool(last and last.rehearsal)
        hold = HoldRequest(id_, place, started_us, nano("100"), "CNY", rate, rehearsal)
        request = RequestRow(
            id_, started_us, 1_500_000, "chat", *place,
            requested_model="draft", route_reason="task", stream=False,
            outcome=outcome or (last.outcome if last else "client_gone"),
            provider=last.provider if last else None, model="m-1" if last else None,
            public_model="writer" if last else None, rehearsal=rehearsal, recovered=recovered,
            held_nano=hold.amount_nano, held_currency="CNY", exchange_rate=rate.id,
            baseline_model="dear" if baseline else None,
            baseline_nano=baseline[0] if baseline else None,
            baseline_currency=baseline[1] if baseline else None,
        )  # fmt: skip
        numbered = list(enumerate(tried, start=1))
        attempts = tuple(_attempt_row(id_, number, one) for number, one in numbered)
        lines = tuple(
            LedgerRow(id_, number, *line, line.cost_nano)
            for number, one in numbered
            for line in one.lines
        )
        charges = tuple(_charge(one) for one in tried if one.currency)
        self.store.commit([hold], [])
        self.store.commit([], [Closing(hold, charges, request, attempts, lines)])


def _charge(tried: Tried) -> Charge:
    assert tried.currency is not None
    return Charge(tried.currency, tried.cost_nano, tried.list_nano if tried.rehearsal else 0)


def _attempt_row(request_id: str, number: int, tried: Tried) -> AttemptRow:
    return AttemptRow(
        request_id,
        number,
        tried.provider,
        "m-1",
        tried.outcome,
        900_000,
        tried.rehearsal,
        tried.currency,
        tried.cost_nano,
        tried.list_nano,
        estimated=tried.estimated,
        clamped=tried.charged_nano is not None,
        price=tried.price,
        part=tried.part,
    )
