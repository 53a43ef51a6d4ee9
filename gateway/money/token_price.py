"""What tokens cost: integers only, compiled once, then a few microseconds for each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.ledger import Line
from gateway.schema import TOKEN_CLASSES, Money, Usage

TOKENS_PER_MTOK = 1_000_000
SECONDS_PER_DAY = 86_400
EVERY_DAY = frozenset(range(1, 8))
ROUNDING_METER = "rounding"
"""In a bound: what the lines of a bill may be rounded up by."""

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
        phase = self._phase(at_s)
        tier = phase.tiers[0]
        for higher in phase.tiers[1:]:
            if input_tokens <= higher.above_input_tokens:
                break
            tier = higher
        return tier.rates

    def lines(self, usage: Usage, at_s: float) -> tuple[Line, ...]:
        """A line for each class of token that was used, at the rates of that Unix second.

        A negative count is left out: no bug of an upstream earns a credit.
        """
        rates = self.rates(usage.total_input_tokens, int(at_s))
        return tuple(
            [
                Line(name, count, rate, TOKENS_PER_MTOK)
                for name, count, rate in zip(TOKEN_CLASSES, _counts(usage), rates, strict=True)
                if count > 0
            ]
        )

    def cost(self, usage: Usage, at_s: float) -> Money:
        """What the usage costs at that moment: the sum of its lines, each rounded up."""
        return Money(sum(line.cost_nano for line in self.lines(usage, at_s)), self.currency)

    def bound_nano(self, most: Most, at_s: float) -> int:
        """What a call can cost at most that uses no more than ``most``."""
        nano_mtok = max([_bound(tier.rates, most) for tier in self._reached(most, at_s)])
        # Each of the ten lines may be rounded up by itself; nothing is not.
        return -(-nano_mtok // TOKENS_PER_MTOK) + (len(TOKEN_CLASSES) if nano_mtok else 0)

    def bound_lines(self, most: Most, at_s: float) -> tuple[Line, ...]:
        """How ``bound_nano`` comes about: both sides at their dearest rates, and what the
        rounding of lines may add. They add up to it."""
        tiers = self._reached(most, at_s)
        rates = max((tier.rates for tier in tiers), key=lambda rates: _bound(rates, most))
        dearest = _dearest(rates)
        rate_in = dearest.any_in if most.media_in else dearest.text_in
        rate_out = dearest.any_out if most.media_out else dearest.text_out
        sides = [
            Line("input_tokens", most.input_tokens, rate_in, TOKENS_PER_MTOK),
            Line("output_tokens", most.output_tokens, rate_out, TOKENS_PER_MTOK),
        ]
        rounding = self.bound_nano(most, at_s) - sum(line.cost_nano for line in sides)
        lines = (*sides, Line(ROUNDING_METER, rounding, 1, 1))
        return tuple([line for line in lines if line.quantity and line.rate_nano])

    def _reached(self, most: Most, at_s: float) -> Sequence[Tier]:
        """The tiers that a call which uses no more than ``most`` can be billed by."""
        tiers = self._phase(int(at_s)).tiers
        if len(tiers) == 1:
            return tiers
        return [tier for tier in tiers if most.input_tokens > tier.above_input_tokens] or tiers[:1]

    def _phase(self, at_s: int) -> Phase:
        for phase in self.phases:
            if phase.window is None or phase.window.contains(at_s):
                break
        return phase


class Most(NamedTuple):
    """Upper bounds on what a call can use, and whether it has more than text in it."""

    input_tokens: int
    output_tokens: int
    media_in: bool = False
    media_out: bool = False


def _bound(rates: Rates, most: Most) -> int:
    dearest = _dearest(rates)
    return most.input_tokens * (
        dearest.any_in if most.media_in else dearest.text_in
    ) + most.output_tokens * (dearest.any_out if most.media_out else dearest.text_out)


class _Dearest(NamedTuple):
    """The highest rate that a token can be billed at, by side and kind."""

    text_in: int
    any_in: int
    text_out: int
    any_out: int


@lru_cache(maxsize=4096)
def _dearest(rates: Rates) -> _Dearest:
    rate = dict(zip(TOKEN_CLASSES, rates, strict=True))
    text_in = max(rate[f"{name}_tokens"] for name in _TEXT_INPUT)
    text_out = max(rate["output_tokens"], rate["reasoning_tokens"])
    return _Dearest(
        text_in=text_in,
        any_in=max(text_in, rate["image_input_tokens"], rate["audio_input_tokens"]),
        text_out=text_out,
        any_out=max(text_out, rate["image_output_tokens"], rate["audio_output_tokens"]),
    )


_TEXT_INPUT = ("input", "cache_read", "cache_write", "cache_write_1h")


def base_tier(rates: Rates) -> Tier:
    """The tier of calls too short for any other."""
    return Tier(-1, rates)
