"""Builds the rooms of one configuration and wires them into a pipeline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from .chunking.tokens import estimate_chat_tokens
from .chunking.window import Window
from .config import LoadedConfig
from .config_prices import TokenPriceConfig
from .contracts import EmbeddedProvider, Observer, ProviderSettings, Upstream
from .errors import ConfigError
from .limits.in_flight import InFlight
from .limits.pacing import Gate, gate_for
from .money.prices import PriceBook
from .money.spend import Spend
from .pipeline import Pipeline
from .plugins import Registry
from .routing.catalog import Catalog, build_catalog
from .routing.classifier import Classifier
from .routing.latency import Latency
from .routing.listing import build_listing
from .routing.router import Router
from .schema import TOKEN_CLASSES, Money, Target, Timeouts, Usage
from .server.door import Serving
from .telemetry.redaction import redact
from .upstream.attempts import Attempts
from .upstream.dialing import proxy_for
from .upstream.pool import ConnectionPool

UNKNOWN_PRICE_NANO = 1 << 62
TYPICAL_USAGE = Usage(input_tokens=1_000_000, output_tokens=250_000)
"""What targets are compared by: a script in, a quarter of it out."""


@dataclass(frozen=True)
class Connected:
    """A live provider with what a reload leaves alone while its settings are the same."""

    settings: ProviderSettings
    provider: Any
    upstream: Upstream
    gate: Gate | None
    timeouts: Timeouts


class View:
    """What strategies may know; implements the contract ``RouteView``."""

    def __init__(self, prices: PriceBook, latency: Latency, cny_per_usd: Decimal) -> None:
        self._prices = prices
        self._cny_per_usd = cny_per_usd
        self.first_token_s = latency.first_token_s
        self.random = random.random

    def price_nano(self, target: Target) -> int:
        price = None if target.rehearsal else self._prices.price(target)
        if price is None:
            return UNKNOWN_PRICE_NANO
        cost = price.cost(TYPICAL_USAGE, time.time())
        if cost.currency == "CNY":
            return int(cost.nano / self._cny_per_usd)
        return cost.nano if cost.currency == "USD" else UNKNOWN_PRICE_NANO


class Costs:
    """Prices a usage: what is billed, and what it costs at list price."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices

    def __call__(
        self, target: Target, usage: Usage, at_s: float
    ) -> tuple[Money | None, Money | None]:
        price = self._prices.price(target.stands_for or target)
        listed = price.cost(usage, at_s) if price else None
        if target.rehearsal:
            return Money(0, listed.currency if listed else "USD"), listed
        return listed, listed


@dataclass(frozen=True)
class Permanent:
    """What outlives a configuration: measurements, counters, the classifier, the registry."""

    registry: Registry
    latency: Latency
    spend: Spend
    in_flight: InFlight
    records: Observer
    classifier: Classifier
    environ: Mapping[str, str]
    price_cache: Path
    report_failure: Callable[[str, BaseException], None]


@dataclass(frozen=True)
class Rooms:
    """One configuration, built."""

    loaded: LoadedConfig
    connected: Mapping[str, Connected]
    catalog: Catalog
    prices: PriceBook
    serving: Serving
    price_problem: str | None


def build_rooms(
    loaded: LoadedConfig, permanent: Permanent, before: Mapping[str, Connected]
) -> Rooms:
    """Raises ConfigError. A provider of ``before`` with the same settings stays connected.

    Upstreams are opened last, when nothing can fail any more: a file that is refused leaves none.
    """
    providers = _providers(loaded, permanent, before)
    catalog = build_catalog(
        loaded.config,
        providers.keys(),
        {name for name, provider in providers.items() if isinstance(provider, EmbeddedProvider)},
        permanent.registry.strategies,
    )
    prices, problem = _price_book(loaded, providers, catalog, permanent.price_cache)
    listing = build_listing(
        loaded.config, catalog, lambda target: _price_shown(prices, target), int(time.time())
    )
    connected = _connect(loaded, permanent, providers, before)
    pipeline = _pipeline(loaded, permanent, connected, catalog, prices)
    serving = Serving(pipeline, listing, loaded.config.server.max_body_bytes)
    return Rooms(loaded, connected, catalog, prices, serving, problem)


def _providers(
    loaded: LoadedConfig, permanent: Permanent, before: Mapping[str, Connected]
) -> dict[str, Any]:
    """The live providers; one whose settings are unchanged is the same object."""
    providers = {}
    for name, settings in loaded.providers.items():
        known = before.get(name)
        if known is not None and known.settings == settings:
            providers[name] = known.provider
            continue
        provider = permanent.registry.providers[settings.type][1](settings)
        if not isinstance(getattr(provider, "root", None), str):
            raise ConfigError(
                f"the provider type {settings.type!r} lacks the attribute 'root', the base "
                "URL in effect (see plugins/README.md)"
            )
        providers[name] = provider
    return providers


def _connect(
    loaded: LoadedConfig,
    permanent: Permanent,
    providers: Mapping[str, Any],
    before: Mapping[str, Connected],
) -> dict[str, Connected]:
    connected = {}
    for name, settings in loaded.providers.items():
        known = before.get(name)
        if known is None or known.provider is not providers[name]:
            upstream = _upstream(providers[name], settings, permanent.environ)
            gate = gate_for(settings)
            known = Connected(settings, providers[name], upstream, gate, settings.timeouts)
        connected[name] = known
    return connected


def _upstream(provider: Any, settings: ProviderSettings, environ: Mapping[str, str]) -> Upstream:
    if isinstance(provider, EmbeddedProvider):
        return provider.open_upstream()
    return ConnectionPool(
        max_connections=settings.max_connections, proxy_url=proxy_for(provider.root, environ)
    )


def _price_book(
    loaded: LoadedConfig, providers: Mapping[str, Any], catalog: Catalog, cache: Path
) -> tuple[PriceBook, str | None]:
    book = PriceBook.load(
        overrides=configured_prices(loaded),
        base_urls={name: provider.root for name, provider in providers.items()},
    )
    report = book.snapshot(catalog.all_targets(), cache)
    return book, report.problem


def configured_prices(loaded: LoadedConfig) -> dict[str, TokenPriceConfig | str]:
    """The prices that the configuration itself names, by target or public model."""
    prices: dict[str, TokenPriceConfig | str] = {}
    for name, model in loaded.config.models.items():
        prices |= model.target_prices
        if model.price is not None:
            prices[name] = model.price
    return prices


def _pipeline(
    loaded: LoadedConfig,
    permanent: Permanent,
    connected: Mapping[str, Connected],
    catalog: Catalog,
    prices: PriceBook,
) -> Pipeline:
    view = View(prices, permanent.latency, Decimal(loaded.config.money.cny_per_usd))
    attempts = Attempts(
        connected,
        Costs(prices),
        estimate_chat_tokens,
        redact,
        time.monotonic,
        loaded.config.max_attempts,
    )
    return Pipeline(
        routing=Router(catalog, view, permanent.classifier),
        chunking=Window(),
        money=permanent.spend,
        limits=permanent.in_flight,
        upstreams=attempts,
        observe=permanent.records,
        clock=time.monotonic,
        report_failure=permanent.report_failure,
    )


def _price_shown(prices: PriceBook, target: Target) -> dict[str, Any] | None:
    """The base price of a target for ``/v1/models``; None for stand-ins and where nobody knows."""
    price = None if target.rehearsal else prices.price(target)
    if price is None:
        return None
    rates = price.phases[-1].tiers[0].rates
    shown = {name: rates[TOKEN_CLASSES.index(f"{name}_tokens")] for name in ("input", "output")}
    return {
        "currency": price.currency,
        **{f"{name}_per_mtok": str(Decimal(nano) / 10**9) for name, nano in shown.items()},
        "source": price.source,
    }
