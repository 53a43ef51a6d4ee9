"""Prices from the ``genai-prices`` package, compiled to integers.

The package (https://github.com/pydantic/genai-prices, 0.2.3 read 2026-11-22) ships its price
list, asks no network for it, and states all prices in US dollars. Importing it costs every start
a tenth of a second, therefore it happens inside a function and only if no cached result serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from .tables import to_nano
from .token_price import SECONDS_PER_DAY, Phase, Rates, Tier, TokenPrice, Window, fill_rates

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, TieredPrices

METERS: Mapping[str, str] = {
    "input_tokens": "input_mtok",
    "cache_read_tokens": "cache_read_mtok",
    "cache_write_tokens": "cache_write_mtok",
    "cache_write_1h_tokens": "cache_write_1h_mtok",
    "image_input_tokens": "input_image_mtok",
    "audio_input_tokens": "input_audio_mtok",
    "output_tokens": "output_mtok",
    "reasoning_tokens": "output_reasoning_mtok",
    "image_output_tokens": "output_image_mtok",
    "audio_output_tokens": "output_audio_mtok",
}
"""Our token classes and the package's names of their prices. Its other token meters (cached
audio, video) have no class of their own here and are billed at the class they belong to."""


class GenaiRef(NamedTuple):
    """A model as the package is asked for it."""

    provider: str
    model: str
    base_url: str | None = None


def compile_model(ref: GenaiRef) -> TokenPrice | None:
    """The package's price for a model; None if it has none that tokens alone decide."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    by_name = (ref.provider, None)
    for provider_id, url in ((None, ref.base_url), by_name) if ref.base_url else (by_name,):
        try:
            provider, model = snapshot.find_provider_model(ref.model, None, provider_id, url)
        except LookupError:
            continue
        phases = _phases(model)
        source = f"genai-prices {version('genai-prices')}, {provider.id}/{model.id}"
        return TokenPrice("USD", phases, source) if phases else None
    return None


def _phases(model: ModelInfo) -> tuple[Phase, ...]:
    """The package takes the last price whose condition holds, and the first if none does."""
    if not isinstance(model.prices, list):
        tiers = _tiers(model.prices)
        return (Phase(tiers),) if tiers else ()
    phases: list[Phase] = []
    for conditional in [*reversed(model.prices), model.prices[0]]:
        tiers = _tiers(conditional.prices)
        if not tiers:
            return ()
        last = conditional.constraint is None or len(phases) == len(model.prices)
        phases.append(Phase(tiers, None if last else _window(conditional)))
        if last:
            break
    return tuple(phases)


def _tiers(price: ModelPrice) -> tuple[Tier, ...]:
    """Empty if tokens alone do not decide the price, or if it would be 0 without being free."""
    meters = {name: getattr(price, meter) for name, meter in METERS.items()}
    named = {name: value for name, value in meters.items() if value is not None}
    if "input_tokens" not in named or getattr(price, "requests_kcount", None):
        return ()
    starts = {tier.start for value in named.values() for tier in getattr(value, "tiers", ())}
    tiers = tuple(Tier(start, _rates(named, start + 1)) for start in sorted({-1, *starts}))
    return tiers if all(any(tier.rates) for tier in tiers) else ()


def _rates(named: Mapping[str, Decimal | TieredPrices], input_tokens: int) -> Rates:
    nano = {name: to_nano(_at(value, input_tokens)) for name, value in named.items()}
    # Embedding models have no price for output, and report none.
    nano.setdefault("output_tokens", nano["input_tokens"])
    return fill_rates(nano)


def _at(price: Decimal | TieredPrices, input_tokens: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return reached[-1] if reached else price.base


def _window(conditional: ConditionalPrice) -> Window:
    from genai_prices.types import StartDateConstraint

    constraint = conditional.constraint
    assert constraint is not None
    if isinstance(constraint, StartDateConstraint):
        midnight = datetime.combine(constraint.start_date, time(), UTC)
        return Window(from_s=int(midnight.timestamp()))
    start, end = (_utc_second(moment) for moment in (constraint.start_time, constraint.end_time))
    return Window(
        hours=((start, end),) if start <= end else ((start, SECONDS_PER_DAY), (0, end)),
    )


def _utc_second(moment: time) -> int:
    day = datetime(2000, 1, 1, tzinfo=moment.tzinfo or UTC)
    utc = datetime.combine(day, moment, moment.tzinfo or UTC).astimezone(UTC)
    return utc.hour * 3600 + utc.minute * 60 + utc.second
