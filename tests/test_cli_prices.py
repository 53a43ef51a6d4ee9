"""``daobo prices`` explains what a call costs, and ``daobo check`` refuses what has no price."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from gateway.app import Gateway, Options
from gateway.price_report import explain, overview
from gateway.telemetry.logs import CallLog

from . import command
from .command import Done, daobo_process

CONFIG = """
rehearsal: never
providers:
  deepseek: {type: openai-compatible, base_url: "https://api.deepseek.com"}
  studio: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1"}
  asleep: {type: openai, api_key: "${KEY_THAT_NOBODY_SETS}"}
  rehearsal: {}
models:
  flash: {targets: [deepseek/deepseek-flash]}
  long:
    targets: [studio/long-1]
    price:
      input_per_mtok: "1"
      output_per_mtok: "4"
      tiers: [{above_input_tokens: 32000, input_per_mtok: "2", output_per_mtok: "8"}]
  painter:
    targets: [studio/paint-1]
    capabilities: [image]
    price: {currency: CNY, rules: [{per: image, price: "0.25", size: 1024x1024}]}
  camera: {targets: [asleep/camera-1], capabilities: [video], price: kling/kling-v3}
  gratis: {targets: [studio/gratis-1], price: {free: true}}
  understudy: {targets: [rehearsal/rehearsal-writer]}
tasks:
  draft: {models: [flash, long]}
"""
SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT_S = int(datetime(2026, 11, 23, 3, tzinfo=SHANGHAI).timestamp())  # a Monday
PEAK_S = int(datetime(2026, 11, 23, 10, tzinfo=SHANGHAI).timestamp())


def daobo(folder: Path, *arguments: str, run: Callable[..., Done] = command.daobo) -> Done:
    options = ["--config", str(folder / "gateway.yaml"), "--state", str(folder / "state")]
    return run(folder, *arguments, *options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def gateway(folder: Path) -> Gateway:
    options = Options(folder / "gateway.yaml", folder / "state")
    return Gateway(options, CallLog(lambda line: None))


def printed(renderable: object) -> str:
    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def row(text: str, *words: str) -> str:
    (found,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return found


def test_the_overview_has_a_row_for_every_model_asleep_or_awake(gateway: Gateway) -> None:
    text = printed(overview(gateway.rooms, NIGHT_S))
    assert "¥1.00" in row(text, "deepseek/deepseek-flash")
    assert "off-peak hours now" in row(text, "deepseek/deepseek-flash")
    assert "¥0.25 per image (1024x1024)" in row(text, "studio/paint-1")
    assert "per second (720p, without audio)" in row(text, "asleep/camera-1")
    assert "free" in row(text, "studio/gratis-1")
    assert "bills nothing" in row(text, "understudy")


def test_the_overview_shows_the_rates_of_the_hour(gateway: Gateway) -> None:
    line = row(printed(overview(gateway.rooms, PEAK_S)), "deepseek/deepseek-flash")
    assert "¥2.00" in line
    assert "peak hours now" in line


def test_a_model_is_explained_with_its_hours_and_an_example(gateway: Gateway) -> None:
    text = printed(explain(gateway.rooms, "flash", PEAK_S))
    assert "← now" in row(text, "Mon-Fri 09:00-12:00, 14:00-18:00 Asia/Shanghai")
    assert "← now" not in row(text, "otherwise")
    assert "https://api-docs.deepseek.com/zh-cn/quick_start/pricing/ (2026-11-22)" in text
    # 4,000 x 2 + 1,000 x 8 yuan for a million.
    assert "4,000 tokens in, 1,000 out: ¥0.0160 = " in text


def test_tiers_by_input_length_are_shown(gateway: Gateway) -> None:
    text = printed(explain(gateway.rooms, "long", NIGHT_S))
    assert "← now" not in row(text, "above 32,000 tokens in", "$8.00")
    assert "source: the configuration" in text


def test_a_task_is_explained_by_its_whole_ladder(gateway: Gateway) -> None:
    text = printed(explain(gateway.rooms, "draft", NIGHT_S))
    assert text.index("deepseek/deepseek-flash") < text.index("studio/long-1")


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("painter", "1 image, 1024x1024: ¥0.2500 = 1 images x ¥0.25"),
        ("camera", "8 s of video, at 720p, without audio: ¥4.8000 = "),
        ("studio/paint-1", "1 image"),
        ("kling/kling-v3", "8 s of video, at 720p"),
        ("viduq3-pro", "8 s of video, at 720p, off_peak: ¥2.5000 = "),
        ("cosyvoice-v3-flash", "a Chinese character counts as two"),
        ("openai/gpt-4.1-nano", "4,000 tokens in"),
        ("gratis", "free: its tokens cost nothing"),
        ("understudy", "a stand-in"),
    ],
)
def test_any_name_that_has_a_price_is_explained(gateway: Gateway, name: str, example: str) -> None:
    assert example in printed(explain(gateway.rooms, name, NIGHT_S))


def test_a_name_of_several_tables_is_explained_by_each(gateway: Gateway) -> None:
    text = printed(explain(gateway.rooms, "kling-v3", NIGHT_S))
    assert "kling/kling-v3" in text
    assert "kling-intl/kling-v3" in text


def test_the_command_prints_the_overview_and_a_single_price(folder: Path) -> None:
    done = daobo(folder, "prices", run=daobo_process)
    assert done.returncode == 0, done.stderr
    assert "studio/paint-1" in done.stdout
    assert "¥0.2500" in daobo(folder, "prices", "painter").stdout


def test_an_unknown_name_gets_near_ones_and_exit_code_1(folder: Path) -> None:
    done = daobo(folder, "prices", "paintr")
    assert done.returncode == 1
    assert done.stderr.startswith("daobo: no price is known for 'paintr' (did you mean 'painter'")
    assert done.stdout == ""


UNPRICED = CONFIG.replace(", price: {free: true}", "").replace(", price: kling/kling-v3", "")


@pytest.mark.parametrize(
    ("name", "run"),
    [("check", command.daobo), ("serve", daobo_process), ("prices", command.daobo)],
    ids=["check", "serve", "prices"],
)
def test_a_configured_model_without_a_price_stops_every_command(
    folder: Path, name: str, run: Callable[..., Done]
) -> None:
    (folder / "gateway.yaml").write_text(UNPRICED)
    done = daobo(folder, name, run=run)
    assert done.returncode == 1
    asleep, awake = done.stderr.splitlines()
    assert "models.camera: no price is known for asleep/camera-1; give it `price:`" in asleep
    assert "models.gratis: no price is known for studio/gratis-1" in awake
    assert "`price: {free: true}`" in awake


def test_a_stand_in_needs_no_price(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(
        "rehearsal: always\nproviders: {rehearsal: {}}\n"
        "models: {writer: {targets: [rehearsal/rehearsal-writer]}}\n"
    )
    done = daobo(folder, "check")
    assert done.returncode == 0, done.stderr


def test_the_list_of_models_shows_the_rules_of_a_media_price(gateway: Gateway) -> None:
    (step,) = gateway.rooms.serving.listing["painter"]["daobo"]["ladder"]
    assert step["price"]["rules"] == ["0.25 per image (1024x1024)"]
    assert step["price"]["currency"] == "CNY"
