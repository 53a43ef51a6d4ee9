"""The default configuration as if every provider's key were set; nothing is ever sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from gateway.assembly import TYPICAL_USAGE, UNKNOWN_PRICE_NANO, configured_prices
from gateway.config_file import disabled_plugins, load_config
from gateway.contracts import EmbeddedProvider
from gateway.ledger import NANO, ExchangeRate
from gateway.money.prices import PriceBook
from gateway.plugins import discover
from gateway.routing import strategies
from gateway.routing.catalog import Catalog, build_catalog
from gateway.routing.classifier import Classifier
from gateway.routing.router import Router
from gateway.schema import Capability, Target, Usage


class SeasonError(Exception):
    """A sentence on why the season cannot be priced."""


@dataclass(frozen=True)
class Studio:
    """Router and prices of one configuration."""

    config_version: str
    catalog: Catalog
    prices: PriceBook
    rate: ExchangeRate
    text_models: tuple[str, ...]
    """Those that somebody bills for a chat."""

    @classmethod
    def load(cls, config_path: Path) -> Studio:
        """Raises ConfigError."""
        registry = discover(disabled_plugins(config_path), core=[("core", strategies)])
        text = config_path.read_text(encoding="utf-8")
        environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "placeholder")
        settings = {name: settings for name, (settings, _) in registry.providers.items()}
        loaded = load_config(config_path, settings, frozenset(registry.strategies), environ)
        providers: dict[str, Any] = {
            name: registry.providers[settings.type][1](settings)
            for name, settings in loaded.providers.items()
        }
        embedded = {name for name, made in providers.items() if isinstance(made, EmbeddedProvider)}
        catalog = build_catalog(loaded.config, providers, embedded, registry.strategies)
        prices = PriceBook.load(
            overrides=configured_prices(loaded),
            base_urls={name: provider.root for name, provider in providers.items()},
        )
        rate = ExchangeRate(int(Decimal(loaded.config.money.cny_per_usd) * NANO))
        return cls(loaded.version, catalog, prices, rate, _text_models(catalog))

    def router(self, at_s: float, seed: int) -> Router:
        """The router as it plans at that moment."""
        view = _MomentView(self.prices, self.rate, at_s, Random(seed))
        return Router(self.catalog, view, Classifier.load())

    def cost_nano(self, target: Target, usage: Usage, at_s: float) -> int:
        """Nano-yuan at list price. Raises SeasonError where nobody knows the price."""
        price = self.prices.price(target)
        if price is None:
            raise SeasonError(f"{target.name} has no price")
        cost = price.cost(usage, at_s)
        return self.rate.convert(cost.nano, cost.currency, "CNY")

    def price_sources(self, names: Iterable[str]) -> dict[str, str]:
        """Where the prices of targets come from, with date or version."""
        targets = {target.name: target for target in self.catalog.all_targets()}
        prices = {name: self.prices.price(targets[name]) for name in sorted(set(names))}
        return {name: price.source for name, price in prices.items() if price}


def _text_models(catalog: Catalog) -> tuple[str, ...]:
    return tuple(
        name
        for name, route in catalog.models.items()
        if any(Capability.CHAT in t.capabilities and not t.rehearsal for t in route.targets)
    )


class _MomentView:
    """What strategies may know at a stated moment; implements the contract ``RouteView``."""

    def __init__(self, prices: PriceBook, rate: ExchangeRate, at_s: float, random: Random) -> None:
        self._prices, self._rate, self._at_s = prices, rate, at_s
        self.random = random.random

    def price_nano(self, target: Target) -> int:
        price = None if target.rehearsal else self._prices.price(target)
        if price is None:
            return UNKNOWN_PRICE_NANO
        cost = price.cost(TYPICAL_USAGE, self._at_s)
        return self._rate.convert(cost.nano, cost.currency, "USD")

    def first_token_s(self, target: Target) -> float:
        return 0.0
