"""Builds the rooms of one configuration and wires them into a pipeline."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from .answers.answers import Answers, Archive
from .answers.keys import is_deterministic
from .chunking.answering.kept_parts import PartStore
from .chunking.answering.places import Places
from .chunking.mapper import Mapper
from .chunking.room import Room
from .chunking.tokens import estimate_chat_tokens, estimate_embedding_tokens
from .config import GatewayConfig, LoadedConfig, ModelConfig
from .config_media_prices import AnyPrice
from .connecting import Connected, Connector
from .contracts import EmbeddedProvider, Observer
from .errors import ConfigError
from .journey import Journey
from .ledger import ExchangeRate
from .limit_stores import LimitStores
from .limits.admission import Admission
from .limits.at_target import TargetLimits
from .limits.buckets import Bucket, BucketStore
from .limits.in_flight import InFlight
from .limits.reserve import Reserve
from .limits.rules import Rules
from .limits.turns import Pace
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
from .schema import TOKEN_CLASSES, Call, Plan, Target, Usage
from .server.calls import CHECKS
from .server.door import Serving
from .telemetry.redaction import redact
from .upstream.attempts import Attempts
from .upstream.exchange import Exchange
from .upstream.further import Patience
from .upstream.health import Health
from .upstream.retries import RetryBudget

UNKNOWN_PRICE_NANO = 1 << 62
TYPICAL_USAGE = Usage(input_tokens=1_000_000, output_tokens=250_000)
"""What targets are compared by: a script in, a quarter of it out."""


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
    limit_stores: LimitStores
    health: Health
    retry_budget: RetryBudget
    records: Observer
    archive: Archive
    part_store: PartStore
    places: Places
    classifier: Classifier
    connector: Connector
    price_cache: Path
    report_failure: Callable[[str, BaseException], None]


@dataclass(frozen=True)
class Rooms:
    """One configuration, built."""

    loaded: LoadedConfig
    connected: Mapping[str, Connected]
    pace: Pace
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
    connector = permanent.connector
    translators = connector.translators(loaded.providers, before)
    providers = {name: next(iter(found.values())) for name, found in translators.items()}
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
    limits = _limits(loaded, permanent)
    pace = _pace(loaded, permanent, limits)
    connected = connector.connect(loaded.providers, translators, before, pace)
    view = View(prices, permanent.latency, Decimal(loaded.config.money.cny_per_usd))
    router = Router(catalog, view, permanent.classifier)
    purse = _purse(loaded, permanent, prices)
    chunking = _chunking(loaded.config, permanent)
    pipeline = _pipeline(loaded, permanent, limits, connected, router, chunking, purse)
    quoter = _quoter(loaded, router, chunking, purse, prices)
    serving = Serving(pipeline, listing, permanent.health.shown, loaded.config.server, quoter)
    return Rooms(loaded, connected, pace, catalog, prices, serving, problem)


class _Limits(NamedTuple):
    """What a configuration limits, and where that is counted."""

    rules: Rules
    reserve: Reserve
    buckets: BucketStore


def _limits(loaded: LoadedConfig, permanent: Permanent) -> _Limits:
    config, reserve = loaded.config.limits, Reserve(estimate_chat_tokens)
    rules = Rules(config.rules, reserve.tokens)
    return _Limits(rules, reserve, permanent.limit_stores.buckets(config))


def _pace(loaded: LoadedConfig, permanent: Permanent, limits: _Limits) -> Pace:
    """The limits of targets that calls wait for, and how long."""

    def buckets_of(target: Target) -> Sequence[Bucket]:
        return [bucket for bucket, _ in limits.rules.of_target(target, 1)]

    def estimate_tokens(journey: Journey) -> int:
        assert journey.plan is not None
        return limits.reserve.tokens(journey.call, journey.plan)

    queue, are_shared = loaded.config.limits.queue, permanent.limit_stores.are_shared
    return Pace(queue, buckets_of, estimate_tokens, limits.buckets, are_shared)


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
    limits: _Limits,
    connected: Mapping[str, Connected],
    router: Router,
    chunking: Room,
    purse: Purse,
) -> Pipeline:
    config, refused = loaded.config, permanent.limit_stores.refused
    attempts = Attempts(
        {name: known.pool for name, known in connected.items()},
        purse,
        TargetLimits(limits.rules, limits.buckets, refused),
        Exchange(purse, estimate_chat_tokens, time.monotonic),
        permanent.health,
        Patience(config.retries, config.max_attempts, permanent.retry_budget, random.random),
        redact,
        time.monotonic,
    )
    return Pipeline(
        routing=router,
        chunking=chunking,
        money=purse,
        limits=Admission(permanent.in_flight, limits.rules, limits.buckets, refused),
        answers=_answers(loaded.config, permanent.archive),
        upstreams=attempts,
        observe=permanent.records,
        clock=time.monotonic,
        report_failure=permanent.report_failure,
    )


def _chunking(config: GatewayConfig, permanent: Permanent) -> Room:
    mapper = Mapper(
        permanent.places, permanent.part_store, time.monotonic, permanent.report_failure
    )
    rules = {name: task.chunking for name, task in config.tasks.items()}
    return Room(rules, mapper, lambda: secrets.token_hex(8))


def _answers(config: GatewayConfig, archive: Archive) -> Answers:
    tasks_fix_answers = any(is_deterministic(task.parameters) for task in config.tasks.values())
    return Answers(config.cache, archive, tasks_fix_answers, time.time, time.monotonic)


def _quoter(
    loaded: LoadedConfig, router: Router, chunking: Room, purse: Purse, prices: PriceBook
) -> Quoter:
    """Quotes go where calls would go, cut as they would be, and hold what they would hold."""

    def plan(call: Call) -> Plan:
        return chunking.fit_now(call, router.plan(call))

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
