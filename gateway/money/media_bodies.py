"""From the body of a request for images, video or speech to the work that it orders.

Only what a price can depend on is read; all else is the provider's business. Words of several
dialects are known (``seconds``, ``duration``, ``num_frames`` with ``fps``). Where a price needs
something that the body leaves open, that is said, and never guessed to be nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal, DecimalException
from typing import Any

from gateway.errors import CallError, Outcome

from .media_work import MediaWork

MAX_SECONDS = 86_400
MAX_IMAGES = 10_000
_INPUT_IMAGES = ("image", "images", "image[]", "input_reference", "reference_images")
_SOUND = ("generate_audio", "with_audio", "has_audio", "audio")
_FRAME = re.compile(r"([1-9]\d{0,4})[xX*×]([1-9]\d{0,4})")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

Body = Mapping[str, Any]


def media_work(endpoint: str, body: Body) -> MediaWork:
    """``endpoint`` is ``images``, ``video`` or ``speech``. Raises CallError that names the
    field."""
    return _READERS[endpoint](body)


def _images(body: Body) -> MediaWork:
    _text(body, "prompt")
    return _framed(body)._replace(
        images=_whole(body, "n", MAX_IMAGES) or 1,
        input_images=_input_images(body),
        quality=_word(body, "quality"),
        tier=_word(body, "service_tier"),
    )


def _video(body: Body) -> MediaWork:
    _text(body, "prompt")
    if body.get("n") not in (None, 1):
        raise _wrong("n", "1: a video request makes one clip, several are quoted with `count`")
    input_ms = _input_video_ms(body)
    sound = next((body[name] for name in _SOUND if body.get(name) is not None), None)
    return _framed(body)._replace(
        duration_ms=_duration_ms(body),
        fps=_whole(body, "fps", 240),
        input_images=_input_images(body),
        input_video_ms=input_ms,
        quality=_word(body, "quality"),
        tier=_word(body, "service_tier"),
        has_audio=None if sound is None else bool(sound),
        has_video_input=input_ms > 0,
    )


def _speech(body: Body) -> MediaWork:
    text = _text(body, "input")
    return MediaWork(characters=len(text), han_characters=len(_HAN.findall(text)))


_READERS: Mapping[str, Callable[[Body], MediaWork]] = {
    "images": _images,
    "video": _video,
    "speech": _speech,
}


def _framed(body: Body) -> MediaWork:
    """Width, height, size and resolution, however the request says them."""
    size, resolution = _word(body, "size"), _word(body, "resolution")
    width, height = _whole(body, "width", 99_999), _whole(body, "height", 99_999)
    if size and (frame := _FRAME.fullmatch(size)):
        width, height = width or int(frame[1]), height or int(frame[2])
    elif size:  # 720p, 2K
        resolution, size = resolution or size, None
    return MediaWork(width=width, height=height, size=size, resolution=resolution)


def _duration_ms(body: Body) -> int:
    """Length of the clip, from whichever words say it."""
    for name in ("seconds", "duration"):
        if body.get(name) is not None:
            return _milliseconds(body, name)
    frames, fps = _whole(body, "num_frames", 1_000_000), _whole(body, "fps", 240)
    if frames and fps:
        return -(-frames * 1000 // fps)
    raise _wrong("seconds", "given: a video is priced by its length (or num_frames with fps)")


def _input_video_ms(body: Body) -> int:
    if body.get("input_video_seconds") is not None:
        return _milliseconds(body, "input_video_seconds")
    for name in ("video", "video_url", "input_video"):
        if body.get(name):
            raise _wrong(
                "input_video_seconds", f"given: {name} is billed by its length, which is not known"
            )
    return 0


def _input_images(body: Body) -> int:
    found = (body.get(name) for name in _INPUT_IMAGES)
    return sum(len(value) if isinstance(value, list) else 1 for value in found if value)


def _milliseconds(body: Body, name: str) -> int:
    """A length in seconds, a number or its digits, in milliseconds rounded up."""
    try:
        seconds = Decimal(str(body[name]))
        known = 0 < seconds <= MAX_SECONDS
    except DecimalException:
        known = False
    if not known:
        raise _wrong(name, f"a number of seconds above 0, at most {MAX_SECONDS}")
    return int((seconds * 1000).to_integral_value(ROUND_CEILING))


def _whole(body: Body, name: str, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise _wrong(name, f"a whole number between 1 and {most}")
    return value


def _word(body: Body, name: str) -> str | None:
    """``auto`` leaves the choice to the provider, which is the same as saying nothing."""
    value = body.get(name)
    if value is None or value == "auto":
        return None
    if not isinstance(value, str) or not value:
        raise _wrong(name, "a non-empty string")
    return value


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, "a non-empty string")
    return value


def _wrong(field: str, expected: str) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, f"{field} must be {expected}", param=field)
