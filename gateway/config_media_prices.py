"""Prices of images, video and speech as people write them: rules, of which the first that fits
applies.

As with tokens, a price is a decimal string in units of the currency, never a float.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from .config_prices import Price, TimesConfig, TokenPriceConfig

Per = Literal[
    "image",
    "second",
    "clip",
    "million_video_tokens",
    "10k_characters",
    "million_characters",
    "audio_second",
    "audio_minute",
    "input_image",
    "input_second",
]
"""What a price is for one of. Video tokens are frames of 1024 pixels: width x height x frames
per second x seconds / 1024."""
INPUTS = frozenset({"input_image", "input_second"})
_SAME_WORD = {"2160p": "4k", "1440p": "2k"}


def selector_word(value: object) -> str:
    """One spelling for the words of price lists and requests: ``1080P``, ``1024*1024``, ``2160p``
    are ``1080p``, ``1024x1024``, ``4k``."""
    word = str(value).strip().casefold().replace("*", "x").replace("×", "x")
    return _SAME_WORD.get(word, word)


def _words(value: object) -> object:
    """A single word stands for a list of one."""
    values = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(word, str) for word in values):
        raise ValueError('write a word, or a list of words, such as ["480p", "720p"]')
    return tuple(selector_word(word) for word in values)


Words = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
Frame = Annotated[str, Field(pattern=r"^[1-9]\d{1,4}x[1-9]\d{1,4}$")]


class MediaRuleConfig(BaseModel):
    """A price, what it is for one of, and the work that it applies to; what a rule does not
    mention does not matter to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price: Annotated[Price, Field(gt=0)]
    per: Per
    resolution: Words | None = None
    """``720p``, ``1080p``, ``4k``; of images ``1k``, ``2k``, ``4k``."""
    size: Words | None = None
    """Of images: ``1024x1024``."""
    quality: Words | None = None
    tier: Words | None = None
    """The provider's word for a class of service: ``flex``, ``off_peak``."""
    up_to_s: int | None = Field(None, gt=0)
    """The longest clip that the rule is for, in seconds; shorter ones come first."""
    has_audio: bool | None = None
    has_video_input: bool | None = None
    included: int = Field(0, ge=0)
    """How many of an input cost nothing."""
    times: TimesConfig | None = None

    @model_validator(mode="after")
    def _free_inputs_only(self) -> MediaRuleConfig:
        if self.included and self.per not in INPUTS:
            raise ValueError("`included` is for inputs; nothing that is made costs nothing")
        return self


class MediaPriceConfig(BaseModel):
    """The price of one model that makes images, video or speech."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    rules: tuple[MediaRuleConfig, ...] = Field(min_length=1)
    frames: dict[str, tuple[Frame, ...]] = Field(default_factory=dict)
    """Resolution → the frames that the model renders at it, for prices by video token."""
    frames_per_second: int = Field(24, gt=0)
    """For prices by video token."""
    han_character: Literal[1, 2] = 1
    """As how many characters the provider counts a Chinese one."""
    source: str = "the configuration"
    """Address of the page that states the price."""
    checked: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _spell(cls, price: Any) -> Any:
        if isinstance(price, dict) and isinstance(price.get("frames"), dict):
            frames = {selector_word(key): sizes for key, sizes in price["frames"].items()}
            return price | {"frames": frames}
        return price


def _kind(price: object) -> str:
    """Which of the three ways to write ``price:`` this is."""
    if isinstance(price, str):
        return "reference"
    rules = isinstance(price, MediaPriceConfig) or (isinstance(price, dict) and "rules" in price)
    return "media" if rules else "tokens"


AnyPrice = Annotated[
    Annotated[TokenPriceConfig, Tag("tokens")]
    | Annotated[MediaPriceConfig, Tag("media")]
    | Annotated[str, Tag("reference")],
    Discriminator(_kind),
]
"""What ``price:`` may be: by token, by what is made, or ``family/model``, another model's."""
