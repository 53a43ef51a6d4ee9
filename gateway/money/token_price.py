"""What tokens cost: integers only, compiled once, then a few microseconds for each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter, mul
from typing import Any
from zoneinfo import ZoneInfo

from gateway.schema import TOKEN_CLASSES, Money, Usage

TOKENS_PER_MTOK = 1_000_000
SECONDS_PER_DAY = 86_400
EVERY_DAY = frozenset(range(1, 8))

SUBSTITUTES: Mapping[str, str] = {
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "cache_write_1h_tokens": "cache_write_tokens",
    "image_input_tokens": "input_tokens",
    "audio_input_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "image_output_tokens": "output_tokens",
    "audio_output_tokens": "output_tokens",
}
"""The class whose price stands in for one that a price list does not name. A list that names no
cache price gives no cache discount; thinking, pictures and sound are output unless priced apart."""

Rates = tuple[int, ...]
"""Nano-units for a million tokens, one for each of ``TOKEN_CLASSES``, in that order."""

_counts = attrgetter(*TOKEN_CLASSES)


def fill_rates(named: Mapping[str, int]) -> Rates:
    """Rates for all classes from those that a price list names, the rest by ``SUBSTITUTES``.

    ``input_tokens`` and ``output_tokens`` have no substitute: KeyError if one is missing.
    """
    rates = dict(named)
    for name in TOKEN_CLASSES:
        if name not in rates:
            rates[name] = rates[SUBSTITUTES[name]]
    return tuple(rates[name] for name in TOKEN_CLASSES)


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for *all* tokens of a call with more input tokens than this, cached ones included."""

    above_input_tokens: int
    rates: Rates

    def __post_init__(self) -> None:
        if len(self.rates) != len(TOKEN_CLASSES) or min(self.rates) < 0:
            raise ValueError(f"{self.rates} are not the rates of {len(TOKEN_CLASSES)} classes")


@dataclass(frozen=True, slots=True)
class Window:
    """The moments at which a price applies: every condition has to hold."""

    from_s: int = 0
    """Unix seconds; the price did not exist before."""
    time_zone: str = "UTC"
    weekdays: frozenset[int] = EVERY_DAY
    """ISO numbers, Monday is 1."""
    hours: tuple[tuple[int, int], ...] = ((0, SECONDS_PER_DAY),)
    """Seconds of the local day, start included, end excluded."""
    except_dates: frozenset[date] = frozenset()
    """Local days on which the window never opens, such as public holidays."""

    def contains(self, at_s: int) -> bool:
        """``at_s`` is a moment in Unix seconds."""
        if at_s < self.from_s:
            return False
        local = datetime.fromtimestamp(at_s, ZoneInfo(self.time_zone))
        second = local.hour * 3600 + local.minute * 60 + local.second
        return (
            any(start <= second < end for start, end in self.hours)
            and local.isoweekday() in self.weekdays
            and local.date() not in self.except_dates
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """One column of a price list: tiers by input length, and when they apply (None: always)."""

    tiers: tuple[Tier, ...]
    """Ascending; the first starts below zero, so that one always applies."""
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """The price of one model at one provider. It never changes once it is made."""

    currency: str
    phases: tuple[Phase, ...]
    """The first whose window contains the moment applies; the last has no window."""
    source: str
    """Where the figures come from, with the date they were checked or the list's version."""
    free: bool = False

    def rates(self, input_tokens: int, at_s: int) -> Rates:
        """The rates for a call with so many input tokens of all classes at that Unix second."""
        for phase in self.phases:
            if phase.window is None or phase.window.contains(at_s):
                break
        tier = phase.tiers[0]
        for higher in phase.tiers[1:]:
            if input_tokens <= higher.above_input_tokens:
                break
            tier = higher
        return tier.rates

    def cost(self, usage: Usage, at_s: float) -> Money:
        """What the usage costs at that moment, rounded up to a whole nano-unit once.

        ``at_s`` is in Unix seconds. A negative count is taken as 0: no bug of an upstream earns
        a credit.
        """
        counts: tuple[int, ...] = _counts(usage)
        if min(counts) < 0:
            floored: dict[str, Any] = {
                name: max(0, count) for name, count in usage.classes().items()
            }
            return self.cost(Usage(**floored), at_s)
        rates = self.rates(usage.total_input_tokens, int(at_s))
        nano_mtok = sum(map(mul, counts, rates))
        return Money(-(-nano_mtok // TOKENS_PER_MTOK), self.currency)


def base_tier(rates: Rates) -> Tier:
    """The tier of calls too short for any other."""
    return Tier(-1, rates)
