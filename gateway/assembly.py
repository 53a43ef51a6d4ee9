"""Builds the rooms of one configuration and wires them into a pipeline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from .chunking.tokens import estimate_chat_tokens, estimate_embedding_tokens
from .chunking.window import Window
from .config import GatewayConfig, LoadedConfig, ModelConfig
from .config_media_prices import AnyPrice
from .contracts import EmbeddedProvider, Observer, ProviderSettings, Upstream
from .errors import ConfigError
from .ledger import ExchangeRate
from .limits.admission import Admission
from .limits.in_flight import InFlight
from .limits.pacing import Gate, gate_for
from .money.media_price import MediaPrice
from .money.prices import PriceBook
from .money.purse import Ledger, Purse
from .money.quotes import Planning, Quoter
from .money.tables import to_nano
from .pipeline import Pipeline
from .plugins import Registry
from .routing.catalog import Catalog, build_catalog
from .routing.classifier import Classifier
from .routing.latency import Latency
from .routing.listing import build_listing
from .routing.router import Router
from .schema import TOKEN_CLASSES, Call, Plan, Target, Timeouts, Usage
from .server.calls import CHECKS
from .server.door import Serving
from .telemetry.redaction import redact
from .upstream.attempts import Attempts
from .upstream.dialing import proxy_for
from .upstream.exchange import Exchange
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


@dataclass(frozen=True)
class Permanent:
    """What outlives a configuration: measurements, counters, the classifier, the registry."""

    registry: Registry
    latency: Latency
    ledger: Ledger
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
    view = View(prices, permanent.latency, Decimal(loaded.config.money.cny_per_usd))
    router = Router(catalog, view, permanent.classifier)
    purse = _purse(loaded, permanent, prices)
    pipeline = _pipeline(loaded, permanent, connected, router, purse)
    quoter = _quoter(loaded, router, purse, prices)
    serving = Serving(pipeline, listing, loaded.config.server.max_body_bytes, quoter)
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
    """Raises ConfigError: what nobody can price is not served, asleep or awake."""
    book = PriceBook.load(
        overrides=configured_prices(loaded),
        base_urls={name: provider.root for name, provider in providers.items()},
    )
    configured = {target.stands_for or target for target in catalog.all_targets()}
    report = book.snapshot(configured, cache)
    if missing := book.missing(configured):
        raise ConfigError(*sorted(_no_price(loaded.source, target) for target in missing))
    return book, report.problem


def _no_price(source: str, target: Target) -> str:
    return (
        f"{source}: models.{target.public_model}: no price is known for {target.name}; give it "
        "`price:` (by token, by what is made, or family/model, as docs/prices.md says) or, if it "
        "costs nothing, `price: {free: true}`"
    )


def configured_prices(loaded: LoadedConfig) -> dict[str, AnyPrice]:
    """The prices that the configuration itself names, by target or public model."""
    prices: dict[str, AnyPrice] = {}
    for name, model in loaded.config.models.items():
        prices |= model.target_prices
        if model.price is not None:
            prices[name] = model.price
    return prices


def _purse(loaded: LoadedConfig, permanent: Permanent, prices: PriceBook) -> Purse:
    return Purse(
        permanent.ledger,
        prices,
        exchange_rate(loaded.config),
        loaded.config.max_attempts,
        _baselines(loaded.config),
    )


def _pipeline(
    loaded: LoadedConfig,
    permanent: Permanent,
    connected: Mapping[str, Connected],
    router: Router,
    purse: Purse,
) -> Pipeline:
    attempts = Attempts(
        connected,
        purse,
        Exchange(purse, estimate_chat_tokens, time.monotonic),
        redact,
        time.monotonic,
        loaded.config.max_attempts,
    )
    return Pipeline(
        routing=router,
        chunking=Window(),
        money=purse,
        limits=Admission(permanent.in_flight),
        upstreams=attempts,
        observe=permanent.records,
        clock=time.monotonic,
        report_failure=permanent.report_failure,
    )


def _quoter(loaded: LoadedConfig, router: Router, purse: Purse, prices: PriceBook) -> Quoter:
    """Quotes go where calls would go, and hold what they would hold."""
    window = Window()

    def plan(call: Call) -> Plan:
        return window.fit(call, router.plan(call))

    def input_tokens(call: Call) -> int:
        estimate = estimate_chat_tokens if call.endpoint == "chat" else estimate_embedding_tokens
        return estimate(call.body)

    config = loaded.config
    planning = Planning(
        plan, purse.hold_for, input_tokens, router.catalog.configured, CHECKS, config.max_attempts
    )
    return Quoter(planning, prices, exchange_rate(config), config.money.currency)


def exchange_rate(config: GatewayConfig) -> ExchangeRate:
    """The configured rate, as it is kept with every amount."""
    money = config.money
    nano = to_nano(Decimal(money.cny_per_usd))
    return ExchangeRate(nano, money.cny_per_usd_checked, money.cny_per_usd_source)


def _baselines(config: GatewayConfig) -> dict[str | None, Target]:
    """For each task, and for calls without one, the first target of the model that savings are
    worked out against."""
    named: dict[str | None, str | None] = {None: config.money.baseline_model}
    for name, task in config.tasks.items():
        named[name] = task.baseline_model or config.money.baseline_model
    return {
        task: _first_target(model, config.models[model]) for task, model in named.items() if model
    }


def _first_target(name: str, model: ModelConfig) -> Target:
    """Whose price a model's is: live, dormant or shut out by ``rehearsal: always``."""
    provider, _, upstream_model = model.targets[0].partition("/")
    return Target(provider, upstream_model, public_model=name)


def _price_shown(prices: PriceBook, target: Target) -> dict[str, Any] | None:
    """The base price of a target for ``/v1/models``; None for stand-ins and where nobody knows."""
    if target.rehearsal:
        return None
    price = prices.price(target)
    if price is None:
        return _media_price_shown(prices.media_price(target))
    rates = price.phases[-1].tiers[0].rates
    shown = {name: rates[TOKEN_CLASSES.index(f"{name}_tokens")] for name in ("input", "output")}
    return {
        "currency": price.currency,
        **{f"{name}_per_mtok": str(Decimal(nano) / 10**9) for name, nano in shown.items()},
        "source": price.source,
    }


def _media_price_shown(price: MediaPrice | None) -> dict[str, Any] | None:
    if price is None:
        return None
    rules = [f"{Decimal(rule.rate_nano) / 10**9} {rule}" for rule in price.rules]
    return {"currency": price.currency, "rules": rules, "source": price.source}
