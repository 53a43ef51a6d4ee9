"""The tables of ``config/prices/``: what one provider asks, for tokens and for media."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .config_media_prices import MediaPriceConfig
from .config_prices import TokenPriceConfig

SECTIONS = ("prices", "media")


class PriceRule(TokenPriceConfig):
    """A price and the models that it is for."""

    models: tuple[str, ...] = Field(min_length=1)
    """Ids at the provider, or patterns with ``*``; letter case does not matter."""


class MediaPriceRule(MediaPriceConfig):
    """A price for what is made and the models that it is for."""

    models: tuple[str, ...] = Field(min_length=1)
    """Ids at the provider, or patterns with ``*``; letter case does not matter."""


class PriceTable(BaseModel):
    """One file of ``config/prices/``: what one provider asks, in its own currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    """The name that ``price: family/model`` and a provider of that name lead to."""
    aliases: tuple[str, ...] = ()
    """Other names that a provider in the configuration may have."""
    api_hosts: tuple[str, ...] = ()
    """Hosts of ``base_url`` that bill by this table, or patterns with ``*``."""
    otherwise: str | None = None
    """The family to ask for models that are not here."""
    definitions: dict[str, Any] = Field(default_factory=dict)
    """A place for YAML anchors; never read."""
    currency: str
    source: str
    checked: date
    prices: tuple[PriceRule, ...] = ()
    """By token."""
    media: tuple[MediaPriceRule, ...] = ()
    """By image, second, character and the like."""

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, table: Any) -> Any:
        """A rule has its table's currency, source and date unless it says otherwise."""
        if not isinstance(table, dict):
            return table
        common = {key: table[key] for key in ("currency", "source", "checked") if key in table}
        return table | {
            section: [common | rule if isinstance(rule, dict) else rule for rule in table[section]]
            for section in SECTIONS
            if isinstance(table.get(section), list)
        }
