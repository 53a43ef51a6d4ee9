"""From written prices to compiled ones, and the tables of ``config/prices/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from gateway.config_prices import (
    PriceTable,
    RatesConfig,
    TokenPriceConfig,
    WindowConfig,
    days_between,
)
from gateway.errors import ConfigError
from gateway.schema import TOKEN_CLASSES

from .token_price import (
    SECONDS_PER_DAY,
    Phase,
    Rates,
    Tier,
    TokenPrice,
    Window,
    base_tier,
    fill_rates,
)

NANO = 1_000_000_000


def to_nano(price: Decimal) -> int:
    """A price in units of its currency as nano-units, rounded up."""
    return int((price * NANO).to_integral_value(ROUND_CEILING))


def compile_price(config: TokenPriceConfig) -> TokenPrice:
    """The integer form of a written price."""
    source = f"{config.source} ({config.checked})" if config.checked else config.source
    if config.free:
        free = base_tier((0,) * len(TOKEN_CLASSES))
        return TokenPrice(config.currency, (Phase((free,)),), source, free=True)
    tiers = [Tier(tier.above_input_tokens, _rates(tier)) for tier in config.tiers]
    phases = [Phase((base_tier(_rates(window)),), _window(window)) for window in config.windows]
    base = Phase((base_tier(_rates(config)), *tiers))
    return TokenPrice(config.currency, (*phases, base), source)


def _rates(config: RatesConfig) -> Rates:
    return fill_rates({name: to_nano(price) for name, price in config.named().items()})


def _window(config: WindowConfig) -> Window:
    return Window(
        time_zone=config.time_zone,
        weekdays=frozenset(config.weekdays),
        hours=tuple(part for hours in config.hours for part in _day_parts(hours)),
        except_dates=frozenset(day for days in config.except_dates for day in days_between(days)),
    )


def _day_parts(hours: str) -> Iterable[tuple[int, int]]:
    """``22:00-02:00`` is two parts of a day, since a day is looked at by itself."""
    start, end = (int(time[:2]) * 3600 + int(time[3:]) * 60 for time in hours.split("-"))
    return [(start, end)] if start < end else [(start, SECONDS_PER_DAY), (0, end)]


@dataclass(frozen=True, slots=True)
class Tables:
    """All price tables, by family. Built once; asked once for each target."""

    by_family: Mapping[str, PriceTable]

    @classmethod
    def load(cls, price_dir: Path) -> Tables:
        """Reads every ``*.yaml``. Raises ConfigError with every problem of every file."""
        by_family: dict[str, PriceTable] = {}
        problems: list[str] = []
        for path in sorted(price_dir.glob("*.yaml")):
            try:
                table = PriceTable.model_validate(yaml.safe_load(path.read_text("utf-8")))
            except (OSError, ValueError, yaml.YAMLError) as error:
                problems.append(f"the price table {path} is not valid: {sentence(error)}")
                continue
            if table.family in by_family:
                problems.append(f"{path} is a second price table for {table.family!r}")
            by_family[table.family] = table
        problems += [
            f"the price table {table.family!r} leads on to {table.otherwise!r}, which is no table "
            f"or leads on itself"
            for table in by_family.values()
            if table.otherwise and _leads_on(by_family.get(table.otherwise))
        ]
        if problems:
            raise ConfigError(*problems)
        return cls(by_family)

    def family_of(self, provider: str, base_url: str | None) -> str | None:
        """The table for a configured provider: by the host it calls, else by its name."""
        host = urlsplit(base_url).hostname if base_url else None
        for table in self.by_family.values():
            if host and any(fnmatchcase(host, pattern) for pattern in table.api_hosts):
                return table.family
        for table in self.by_family.values():
            if provider.casefold() in (table.family, *table.aliases):
                return table.family
        return None

    def price(self, family: str | None, model: str) -> TokenPrice | None:
        """The family's price for a model; an exact id goes before any pattern."""
        table = self.by_family.get(family) if family else None
        if table is None:
            return None
        wanted = model.casefold()
        for matches in (str.__eq__, fnmatchcase):
            for rule in table.prices:
                if any(matches(wanted, name.casefold()) for name in rule.models):
                    return compile_price(rule)
        return self.price(table.otherwise, model)


def _leads_on(table: PriceTable | None) -> bool:
    return table is None or table.otherwise is not None


def sentence(error: Exception) -> str:
    """An error of YAML or pydantic on one line."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
            for detail in error.errors(include_url=False)
        )
    return " ".join(str(error).split())
