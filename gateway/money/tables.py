"""From written prices to compiled ones, and the tables of ``config/prices/``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from gateway.config_media_prices import MediaPriceConfig, MediaRuleConfig
from gateway.config_price_tables import MediaPriceRule, PriceRule, PriceTable
from gateway.config_prices import RatesConfig, TimesConfig, TokenPriceConfig, days_between
from gateway.errors import ConfigError
from gateway.schema import TOKEN_CLASSES

from .media_price import MediaPrice, MediaRule
from .media_work import SELECTORS
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

try:  # libyaml's, with which the tables load in a fifth of the time
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

NANO = 1_000_000_000
UNITS: Mapping[str, tuple[str, int]] = {
    "image": ("images", 1),
    "second": ("video_ms", 1_000),
    "clip": ("video_clips", 1),
    "million_video_tokens": ("video_tokens", 1_000_000),
    "10k_characters": ("characters", 10_000),
    "million_characters": ("characters", 1_000_000),
    "audio_second": ("audio_ms", 1_000),
    "audio_minute": ("audio_ms", 60_000),
    "input_image": ("input_images", 1),
    "input_second": ("input_video_ms", 1_000),
}
"""The written unit of a media price → its meter, and how much of that is one unit."""


def to_nano(price: Decimal) -> int:
    """A price in units of its currency as nano-units, rounded up."""
    return int((price * NANO).to_integral_value(ROUND_CEILING))


def compile_price(config: TokenPriceConfig) -> TokenPrice:
    """The integer form of a written price."""
    source = _source(config)
    if config.free:
        free = base_tier((0,) * len(TOKEN_CLASSES))
        return TokenPrice(config.currency, (Phase((free,)),), source, free=True)
    tiers = [Tier(tier.above_input_tokens, _rates(tier)) for tier in config.tiers]
    phases = [Phase((base_tier(_rates(window)),), _window(window)) for window in config.windows]
    base = Phase((base_tier(_rates(config)), *tiers))
    return TokenPrice(config.currency, (*phases, base), source)


def compile_media_price(config: MediaPriceConfig) -> MediaPrice:
    """The integer form of a written media price."""
    return MediaPrice(
        currency=config.currency,
        rules=tuple(_media_rule(rule) for rule in config.rules),
        source=_source(config),
        frames={name: tuple(map(_pixels, sizes)) for name, sizes in config.frames.items()},
        fps=config.frames_per_second,
        han_character=config.han_character,
    )


def free_media_price(config: TokenPriceConfig) -> MediaPrice:
    """What is free by the token is free by the second."""
    return MediaPrice(config.currency, (), _source(config), {}, free=True)


def _media_rule(rule: MediaRuleConfig) -> MediaRule:
    meter, per = UNITS[rule.per]
    named = {name: getattr(rule, name) for name in SELECTORS}
    return MediaRule(
        meter=meter,
        rate_nano=to_nano(rule.price),
        per=per,
        unit=rule.per.replace("_", " "),
        wanted=tuple(
            (name, (values,) if isinstance(values, bool) else values)
            for name, values in named.items()
            if values is not None
        ),
        up_to_ms=rule.up_to_s * 1000 if rule.up_to_s else None,
        included=rule.included,
        window=_window(rule.times) if rule.times else None,
    )


def _pixels(frame: str) -> int:
    width, _, height = frame.partition("x")
    return int(width) * int(height)


def _source(config: TokenPriceConfig | MediaPriceConfig) -> str:
    return f"{config.source} ({config.checked})" if config.checked else config.source


def _rates(config: RatesConfig) -> Rates:
    return fill_rates({name: to_nano(price) for name, price in config.named().items()})


def _window(config: TimesConfig) -> Window:
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
                table = PriceTable.model_validate(yaml.load(path.read_text("utf-8"), SafeLoader))
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
        """The family's token price for a model; an exact id goes before any pattern."""
        for table in self._asked(family):
            if rule := _rule_for(model, table.prices):
                return compile_price(rule)
        return None

    def media_price(self, family: str | None, model: str) -> MediaPrice | None:
        """The family's price for what a model makes; found as ``price`` is."""
        for table in self._asked(family):
            if rule := _rule_for(model, table.media):
                return compile_media_price(rule)
        return None

    def _asked(self, family: str | None) -> Iterator[PriceTable]:
        """The family's table, and the one that it leads on to."""
        while family and (table := self.by_family.get(family)):
            yield table
            family = table.otherwise


_Rule = TypeVar("_Rule", PriceRule, MediaPriceRule)


def _rule_for(model: str, rules: Sequence[_Rule]) -> _Rule | None:
    wanted = model.casefold()
    for matches in (str.__eq__, fnmatchcase):
        for rule in rules:
            if any(matches(wanted, name.casefold()) for name in rule.models):
                return rule
    return None


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
