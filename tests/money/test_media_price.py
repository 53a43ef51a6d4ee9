"""What images, video and speech cost: figures worked by hand, and what holds for all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config_media_prices import MediaPriceConfig
from gateway.config_prices import TokenPriceConfig
from gateway.ledger import Line
from gateway.money.media_price import Bound, MediaNotPricedError, MediaPrice
from gateway.money.media_work import MediaWork
from gateway.money.prices import default_price_dir
from gateway.money.tables import UNITS, Tables, compile_media_price, free_media_price

SHIPPED = Tables.load(default_price_dir())
NIGHT_S = int(datetime(2026, 11, 23, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
NOON_S = NIGHT_S + 12 * 3600


def shipped(family: str, model: str) -> MediaPrice:
    price = SHIPPED.media_price(family, model)
    assert price is not None
    return price


def price_of(*rules: dict[str, Any], **fields: Any) -> MediaPrice:
    return compile_media_price(MediaPriceConfig.model_validate({"rules": rules, **fields}))


def cost(price: MediaPrice, work: MediaWork) -> str:
    money = price.cost(work, NIGHT_S)
    return f"{money} {money.currency}"


# One model for each meter, worked by hand.


def test_video_by_the_token_of_its_pixels() -> None:
    # 1280 x 720 x 24 x 5 s / 1024 = 108,000 tokens; at 46 yuan a million: 4.968 yuan.
    work = MediaWork(duration_ms=5_000, width=1280, height=720, has_video_input=False)
    assert cost(shipped("ark", "doubao-seedance-2-0-260128"), work) == "4.968000000 CNY"


def test_seconds_of_an_input_video_are_tokens_too_at_their_own_rate() -> None:
    # (5 s + 10 s) x 21,600 tokens a second = 324,000; at 28 yuan a million: 9.072 yuan.
    work = MediaWork(duration_ms=5_000, input_video_ms=10_000, width=1280, height=720)
    assert cost(shipped("ark", "doubao-seedance-2-0-260128"), work) == "9.072000000 CNY"


def test_tokens_that_the_provider_reports_go_before_the_formula() -> None:
    # 100,000 tokens at 70 yuan a million: 7 yuan.
    work = MediaWork(
        duration_ms=5_000, video_tokens=100_000, resolution="720p", has_video_input=False
    )
    assert cost(shipped("ark", "doubao-seedance-2-5-260628"), work) == "7.000000000 CNY"


def test_without_width_and_height_the_largest_frame_of_the_resolution_counts() -> None:
    # 1112 x 834 is the largest: 927,408 x 24 x 5 / 1024 = 108,680.6, up to 108,681 tokens.
    work = MediaWork(duration_ms=5_000, resolution="720P", has_video_input=False)
    (line,) = shipped("ark", "doubao-seedance-2-0-260128").lines(work, NIGHT_S)
    assert line == Line("video_tokens", 108_681, 46_000_000_000, 1_000_000)


def test_video_by_the_second_with_and_without_sound() -> None:
    # 8 s at 720p: 8 x 0.6 = 4.8 yuan silent, 8 x 0.9 = 7.2 with sound.
    kling = shipped("kling", "kling-v3")
    silent = MediaWork(duration_ms=8_000, resolution="720p", has_audio=False)
    assert cost(kling, silent) == "4.800000000 CNY"
    assert cost(kling, silent._replace(has_audio=True)) == "7.200000000 CNY"


def test_video_by_the_clip_goes_up_in_steps_of_length() -> None:
    hailuo = shipped("minimax", "MiniMax-Hailuo-2.3")
    assert cost(hailuo, MediaWork(duration_ms=6_000, resolution="768P")) == "0.280000000 USD"
    assert cost(hailuo, MediaWork(duration_ms=6_100, resolution="768P")) == "0.560000000 USD"


def test_images_by_the_piece() -> None:
    # 3 x 0.22 yuan.
    work = MediaWork(images=3, size="2K")
    assert cost(shipped("ark", "doubao-seedream-5-0-260128"), work) == "0.660000000 CNY"


def test_images_by_size_and_quality() -> None:
    # Two upright ones of medium quality: 2 x 0.05 dollars.
    work = MediaWork(images=2, width=1024, height=1536, quality="medium")
    assert cost(shipped("openai", "gpt-image-1.5"), work) == "0.100000000 USD"


def test_input_images_beyond_the_included_ones() -> None:
    # 5 s x 0.08 + (7 - 5) x 0.04 = 0.48 dollars.
    h3 = shipped("minimax", "MiniMax-H3")
    work = MediaWork(duration_ms=5_000, resolution="768p", input_images=7, has_video_input=False)
    assert cost(h3, work) == "0.480000000 USD"
    assert len(h3.lines(work._replace(input_images=5), NIGHT_S)) == 1


def test_seconds_of_an_input_video_by_the_second() -> None:
    # 5 s made and 10 s handed in at 720p: 5 x 0.3 + 10 x 0.15 = 3 dollars.
    work = MediaWork(duration_ms=5_000, input_video_ms=10_000, resolution="720p")
    assert cost(shipped("runway", "seedance2_5"), work) == "3.000000000 USD"


def test_speech_by_ten_thousand_characters_counts_a_chinese_one_as_two() -> None:
    # 100 characters, 80 of them Chinese: 180 at 1 yuan for 10,000 = 0.018 yuan.
    work = MediaWork(characters=100, han_characters=80)
    assert cost(shipped("dashscope", "cosyvoice-v3-flash"), work) == "0.018000000 CNY"


def test_speech_by_a_million_characters() -> None:
    # 2,000 characters at 15 dollars a million: 0.03 dollars.
    assert cost(shipped("openai", "tts-1"), MediaWork(characters=2_000)) == "0.030000000 USD"


def test_transcription_by_the_minute() -> None:
    # 90 s at 0.006 dollars a minute: 0.009 dollars.
    assert cost(shipped("openai", "whisper-1"), MediaWork(audio_ms=90_000)) == "0.009000000 USD"


def test_transcription_by_the_second() -> None:
    # 10 s x 0.00022 yuan.
    work = MediaWork(audio_ms=10_000)
    assert cost(shipped("dashscope", "qwen3-asr-flash"), work) == "0.002200000 CNY"


def test_the_tier_of_service_decides() -> None:
    # 4 s at 720p: 4 x 0.625 = 2.5 yuan, half of it off peak.
    work = MediaWork(duration_ms=4_000, resolution="720p")
    vidu = shipped("vidu", "viduq3-pro")
    assert cost(vidu, work) == "2.500000000 CNY"
    assert cost(vidu, work._replace(tier="off_peak")) == "1.250000000 CNY"


def test_a_rule_may_be_for_certain_hours() -> None:
    hours = {"time_zone": "Asia/Shanghai", "hours": ["00:00-08:00"]}
    price = price_of(
        {"per": "second", "price": "1", "times": hours}, {"per": "second", "price": "2"}
    )
    work = MediaWork(duration_ms=1_000)
    assert price.cost(work, NIGHT_S).nano == 10**9
    assert price.cost(work, NOON_S).nano == 2 * 10**9


def test_a_part_of_a_nano_unit_is_rounded_up() -> None:
    price = price_of({"per": "10k_characters", "price": "0.000000001"})
    assert price.cost(MediaWork(characters=1), NIGHT_S).nano == 1


# Words


@pytest.mark.parametrize("word", ["1080p", "1080P", " 1080p "])
def test_the_spelling_of_a_resolution_does_not_matter(word: str) -> None:
    price = price_of({"per": "second", "price": "1", "resolution": "1080P"})
    assert price.cost(MediaWork(duration_ms=1_000, resolution=word), NIGHT_S).nano == 10**9


def test_a_resolution_follows_from_the_shorter_side() -> None:
    price = price_of({"per": "second", "price": "1", "resolution": "4k"})
    work = MediaWork(duration_ms=1_000, width=2160, height=3840)
    assert price.cost(work, NIGHT_S).nano == 10**9


# What is not priced


@pytest.mark.parametrize(
    ("rules", "work", "complaint"),
    [
        (
            [{"per": "second", "price": "1", "resolution": ["480p", "720p"]}],
            MediaWork(duration_ms=8_000, resolution="4k"),
            r"no rule prices video \(4k, 8 s\); priced is per second \(480p or 720p\)",
        ),
        (
            [{"per": "second", "price": "1", "has_audio": False}],
            MediaWork(duration_ms=8_000),
            r"no rule prices video \(8 s\); priced is per second \(without audio\)",
        ),
        (
            [{"per": "clip", "price": "1", "up_to_s": 6}],
            MediaWork(duration_ms=6_001),
            r"priced is per clip \(up to 6 s\)",
        ),
        (
            [{"per": "image", "price": "1"}],
            MediaWork(duration_ms=1_000),
            "no rule prices video .*other work only",
        ),
        (
            [{"per": "second", "price": "1"}, {"per": "input_image", "price": "1", "tier": "pro"}],
            MediaWork(duration_ms=1_000, input_images=1),
            "no rule prices input images",
        ),
        (
            [{"per": "million_video_tokens", "price": "1"}],
            MediaWork(duration_ms=1_000),
            "width and height are needed",
        ),
        (
            [{"per": "audio_second", "price": "1"}],
            MediaWork(characters=10),
            "speech is priced per audio second, and how many is not known",
        ),
        ([{"per": "image", "price": "1"}], MediaWork(input_images=2), "nothing is made"),
    ],
)
def test_work_that_no_rule_fits_is_refused_with_what_is_priced(
    rules: list[dict[str, Any]], work: MediaWork, complaint: str
) -> None:
    with pytest.raises(MediaNotPricedError, match=complaint):
        price_of(*rules).lines(work, NIGHT_S)


def test_inputs_without_a_price_of_their_own_are_included() -> None:
    price = price_of({"per": "image", "price": "1"})
    assert len(price.lines(MediaWork(images=1, input_images=4), NIGHT_S)) == 1


def test_what_is_free_has_an_empty_bill() -> None:
    free = free_media_price(TokenPriceConfig(free=True))
    assert free.lines(MediaWork(images=1), NIGHT_S) == ()
    assert free.bound(MediaWork(duration_ms=1), NIGHT_S) == Bound(0, 0)


# Bounds


def test_a_selector_that_nobody_gave_makes_a_range() -> None:
    # 5 s of Kling 3: 5 x 0.6 at the least, 5 x 3 at the most; at 1080p 5 x 0.8 to 5 x 1.2.
    kling = shipped("kling", "kling-v3")
    work = MediaWork(duration_ms=5_000)
    assert kling.bound(work, NIGHT_S) == Bound(3 * 10**9, 15 * 10**9)
    assert kling.bound(work._replace(resolution="1080p"), NIGHT_S) == Bound(4 * 10**9, 6 * 10**9)


def test_the_shape_of_the_frame_makes_a_range_of_tokens() -> None:
    # At 480p from 640 x 640 to 864 x 496: 9,600 and 10,044 tokens a second at 46 yuan a million.
    work = MediaWork(duration_ms=1_000, resolution="480p", has_video_input=False)
    bound = shipped("ark", "doubao-seedance-2-0-260128").bound(work, NIGHT_S)
    assert bound == Bound(9_600 * 46_000, 10_044 * 46_000)


def test_nothing_bounds_what_is_priced_for_no_choice() -> None:
    with pytest.raises(MediaNotPricedError, match="no rule prices video"):
        shipped("kling", "kling-v3").bound(MediaWork(duration_ms=5_000, resolution="144p"), NIGHT_S)


# What holds for every price

RESOLUTIONS = ("480p", "720p", "4k")
SIZES = ("1024x1024", "1536x1024")
QUALITIES = ("low", "high")
TIERS = ("flex", "default")


def some(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "per": draw(st.sampled_from(sorted(UNITS))),
        "price": draw(st.decimals("0.000000001", 100, places=9)),
    }
    optional = {
        "resolution": some(RESOLUTIONS),
        "size": some(SIZES),
        "quality": some(QUALITIES),
        "tier": some(TIERS),
        "has_audio": st.booleans(),
        "has_video_input": st.booleans(),
        "up_to_s": st.integers(1, 20),
    }
    for name in draw(st.sets(st.sampled_from(sorted(optional)), max_size=3)):
        rule[name] = draw(optional[name])
    return rule


def priced() -> st.SearchStrategy[MediaPrice]:
    frames = {"480p": ["864x496", "640x640"], "720p": ["1280x720"]}
    return st.lists(rules(), min_size=1, max_size=5).map(
        lambda written: price_of(*written, frames=frames)
    )


def or_unknown(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, "unheard-of" if isinstance(values[0], str) else None, *values))


SELECTED = {
    "resolution": or_unknown(RESOLUTIONS),
    "size": or_unknown(SIZES),
    "quality": or_unknown(QUALITIES),
    "tier": or_unknown(TIERS),
    "has_audio": or_unknown((True, False)),
    "has_video_input": or_unknown((True, False)),
}
QUANTITIES = ("images", "duration_ms", "characters", "audio_ms", "input_images", "input_video_ms")
WORK = st.builds(
    MediaWork,
    **{name: st.integers(0, 30_000) for name in QUANTITIES},
    **SELECTED,
    width=st.none(),
    height=st.none(),
).filter(lambda work: work.has_video_input is not False or not work.input_video_ms)
"""Nothing in it says the opposite of something else, as no real work does."""


@given(priced(), WORK)
def test_a_line_is_never_negative_and_never_empty(price: MediaPrice, work: MediaWork) -> None:
    try:
        lines = price.lines(work, NIGHT_S)
    except MediaNotPricedError:
        return
    assert lines
    assert all(line.quantity > 0 and line.cost_nano > 0 for line in lines)


@given(priced(), WORK, st.sets(st.sampled_from(sorted(SELECTED))))
def test_a_bound_holds_whatever_the_unknown_selectors_turn_out_to_be(
    price: MediaPrice, work: MediaWork, unknown: set[str]
) -> None:
    try:
        nano = price.cost(work, NIGHT_S).nano
    except MediaNotPricedError:
        return
    blank: dict[str, Any] = dict.fromkeys(unknown)
    bound = price.bound(work._replace(**blank), NIGHT_S)
    assert bound.min_nano <= nano <= bound.max_nano


# How prices may be written


@pytest.mark.parametrize(
    ("price", "complaint"),
    [
        ({"rules": []}, "at least 1 item"),
        ({"rules": [{"per": "image", "price": 0.1}]}, "quoted string"),
        ({"rules": [{"per": "image", "price": "0"}]}, "greater than 0"),
        ({"rules": [{"per": "picture", "price": "1"}]}, "Input should be 'image'"),
        ({"rules": [{"per": "second", "price": "1", "resolution": 720}]}, "write a word"),
        ({"rules": [{"per": "image", "price": "1", "included": 2}]}, "is for inputs"),
        ({"rules": [{"per": "image", "price": "1"}], "frames": {"4k": ["big"]}}, "pattern"),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(price: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        MediaPriceConfig.model_validate(price)
