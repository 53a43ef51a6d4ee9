"""Token prices as people write them: models of ``price:`` in the configuration and of the tables.

Prices are decimal strings in units of the currency for a million tokens. A float is refused:
0.1 in YAML is not a tenth.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _refuse_float(value: object) -> object:
    if isinstance(value, float | bool):
        raise ValueError(f'write the price as a quoted string: "{value}"')
    return value


def known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None
    return name


def _some_hours(hours: str) -> str:
    start, _, end = hours.partition("-")
    if start == end:
        raise ValueError(f"{hours!r} is no time at all; a whole day is 00:00-24:00")
    return hours


def _real_days(days: str) -> str:
    if not days_between(days):
        raise ValueError(f"{days!r} ends before it starts")
    return days


def days_between(days: str) -> tuple[date, ...]:
    """The days of ``YYYY-MM-DD`` or ``YYYY-MM-DD..YYYY-MM-DD``. ValueError if they are none."""
    first, _, last = days.partition("..")
    start = date.fromisoformat(first)
    count = (date.fromisoformat(last or first) - start).days + 1
    return tuple(start + timedelta(days=n) for n in range(count))


# Nine decimals of a unit for a million tokens are one nano-unit: finer prices do not exist here.
Price = Annotated[
    Decimal, BeforeValidator(_refuse_float), Field(ge=0, decimal_places=9, allow_inf_nan=False)
]
Hours = Annotated[
    str,
    Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"),
    AfterValidator(_some_hours),
]
Days = Annotated[str, AfterValidator(_real_days)]


class RatesConfig(BaseModel):
    """Prices for a million tokens of each class; a class that is left out costs what its
    substitute costs (``gateway.money.token_price.SUBSTITUTES``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_per_mtok: Price | None = None
    cache_read_per_mtok: Price | None = None
    cache_write_per_mtok: Price | None = None
    cache_write_1h_per_mtok: Price | None = None
    image_input_per_mtok: Price | None = None
    audio_input_per_mtok: Price | None = None
    output_per_mtok: Price | None = None
    reasoning_per_mtok: Price | None = None
    image_output_per_mtok: Price | None = None
    audio_output_per_mtok: Price | None = None

    def named(self) -> dict[str, Decimal]:
        """The prices that are given, by token class."""
        fields = {name: getattr(self, name) for name in RatesConfig.model_fields}
        return {
            name.removesuffix("_per_mtok") + "_tokens": price
            for name, price in fields.items()
            if price is not None
        }

    def require_complete(self) -> None:
        """Raises ValueError for rates that would turn what is not known into 0."""
        if self.input_per_mtok is None or self.output_per_mtok is None:
            raise ValueError("input_per_mtok and output_per_mtok are both needed")
        if not any(self.named().values()):
            raise ValueError("every price is 0; a model without a price says `free: true`")


class PaidRatesConfig(RatesConfig):
    """Rates that stand for themselves."""

    @model_validator(mode="after")
    def _complete(self) -> PaidRatesConfig:
        self.require_complete()
        return self


class TierConfig(PaidRatesConfig):
    """The rates of all tokens of a call whose input, cached tokens included, is longer."""

    above_input_tokens: int = Field(ge=0)


class TimesConfig(BaseModel):
    """Certain local times of the week."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = (1, 2, 3, 4, 5, 6, 7)
    """ISO numbers, Monday is 1."""
    hours: tuple[Hours, ...] = ("00:00-24:00",)
    """``HH:MM-HH:MM``, the end excluded; an end before the start is on the next day. Weekday and
    date are those of the moment itself, also after midnight."""
    except_dates: tuple[Days, ...] = ()
    """Public holidays and the like: a date, or two with ``..`` between, both included."""


class WindowConfig(PaidRatesConfig, TimesConfig):
    """Rates that apply at certain local times in place of the base rates."""


class TokenPriceConfig(RatesConfig):
    """The price of one model: base rates, tiers by input length, windows by local time."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    free: bool = False
    tiers: tuple[TierConfig, ...] = ()
    windows: tuple[WindowConfig, ...] = ()
    source: str = "the configuration"
    """Address of the page that states the price."""
    checked: date | None = None

    @model_validator(mode="after")
    def _paid_or_free(self) -> TokenPriceConfig:
        if self.free:
            if self.named() or self.tiers or self.windows:
                raise ValueError("a model is free or it has prices, not both")
        else:
            self.require_complete()
        starts = [tier.above_input_tokens for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError("tiers have to ascend in above_input_tokens")
        return self
