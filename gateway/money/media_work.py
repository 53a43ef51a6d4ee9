"""What a price of images, video or speech has to know of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.config_media_prices import selector_word

SELECTORS = ("resolution", "size", "quality", "tier", "has_audio", "has_video_input")

Selection = Mapping[str, str | bool | None]
"""Selector → what it is, in the spelling of rules; None for what nobody said."""


class MediaWork(NamedTuple):
    """What is made of what: quantities, 0 where there is none, and selectors, None if unknown.

    One work is one job: ``images`` pictures, or one clip of ``duration_ms``, or speech.
    """

    images: int = 0
    duration_ms: int = 0
    """Length of the clip that is made."""
    characters: int = 0
    """Of a text that is spoken, Chinese ones included."""
    han_characters: int = 0
    """The Chinese ones among them, which some providers count twice."""
    audio_ms: int = 0
    """Length of speech that is made, or that is written down."""
    input_images: int = 0
    input_video_ms: int = 0
    video_tokens: int = 0
    """What the provider says it used; 0 makes the formula count."""
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    """Frames per second; None for what the model is known to render."""
    resolution: str | None = None
    """Follows from ``width`` and ``height`` if it is not given: the shorter side."""
    size: str | None = None
    quality: str | None = None
    tier: str | None = None
    has_audio: bool | None = None
    has_video_input: bool | None = None
    """Follows from ``input_video_ms`` if it is not given."""

    def selection(self) -> dict[str, str | bool | None]:
        """The selectors in the spelling of rules; None for what nobody said."""
        chosen = {name: _spelled(getattr(self, name)) for name in SELECTORS}
        if self.width and self.height:
            short = min(self.width, self.height)
            chosen["resolution"] = chosen["resolution"] or selector_word(f"{short}p")
            chosen["size"] = chosen["size"] or f"{self.width}x{self.height}"
        if self.has_video_input is None and self.input_video_ms:
            chosen["has_video_input"] = True
        return chosen


def _spelled(value: object) -> str | bool | None:
    return value if value is None or isinstance(value, bool) else selector_word(value)
