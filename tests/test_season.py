"""The synthetic season: its sums add up, a seed draws it again, and all choices pay for the
same tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.report import table
from benchmarks.season import main, price_calls, run
from benchmarks.season_calls import SeasonCall, Volumes, draw_calls
from benchmarks.season_report import PAGE, VOLUMES_MARKS, sections, volume_rows
from benchmarks.season_studio import SeasonError, Studio
from gateway.config_file import default_config_path

SEED = 7
SINGLE_MODEL = "gpt-5.5"
TOKENS = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens")


@pytest.fixture(scope="module")
def volumes() -> Volumes:
    return Volumes.load().model_copy(update={"episodes": 2, "shots_per_episode": 3})


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio.load(default_config_path())


@pytest.fixture(scope="module")
def calls(volumes: Volumes) -> list[SeasonCall]:
    return draw_calls(volumes, SEED)


@pytest.fixture(scope="module")
def figures(studio: Studio, volumes: Volumes) -> dict[str, Any]:
    return run(studio, volumes, SEED)


def at_s(volumes: Volumes) -> float:
    return next(iter(volumes.moments.values())).timestamp()


def test_the_stages_add_up_to_the_whole(figures: dict[str, Any]) -> None:
    for scenario in figures["scenarios"].values():
        stages = scenario["stages"].values()
        assert scenario["cost_nano"] == sum(stage["cost_nano"] for stage in stages) > 0


def test_a_seed_draws_the_same_season_again(
    studio: Studio, volumes: Volumes, figures: dict[str, Any]
) -> None:
    assert run(studio, volumes, SEED) == figures


def test_another_seed_draws_another_season(
    studio: Studio, volumes: Volumes, figures: dict[str, Any]
) -> None:
    assert run(studio, volumes, SEED + 1)["scenarios"] != figures["scenarios"]


def test_one_model_alone_is_charged_for_the_tokens_that_were_routed(
    studio: Studio, volumes: Volumes, calls: list[SeasonCall]
) -> None:
    routed, single = (
        price_calls(studio, calls, model, at_s(volumes), SEED) for model in (None, SINGLE_MODEL)
    )
    assert [tokens(routed, stage) for stage in routed] == [
        tokens(single, stage) for stage in single
    ]


def tokens(stages: dict[str, Any], stage: str) -> list[int]:
    return [getattr(stages[stage], name) for name in TOKENS]


def test_a_model_asked_for_by_name_gets_every_call(
    studio: Studio, volumes: Volumes, calls: list[SeasonCall]
) -> None:
    stages = price_calls(studio, calls, SINGLE_MODEL, at_s(volumes), SEED)
    assert {name for stage in stages.values() for name in stage.targets} == {"openai/gpt-5.5"}


def test_every_stage_makes_the_calls_that_the_volumes_state(
    volumes: Volumes, figures: dict[str, Any]
) -> None:
    stages = figures["scenarios"]["off-peak"]["stages"]
    counted = {name: stage["calls"] for name, stage in stages.items()}
    assert counted == {name: volumes.calls_of(stage) for name, stage in volumes.stages.items()}


def test_without_a_cache_every_token_is_fresh_and_none_is_lost(figures: dict[str, Any]) -> None:
    cached, cold = (figures["scenarios"][name]["stages"] for name in ("off-peak", "no cache"))
    for name, stage in cold.items():
        assert stage["cache_read_tokens"] == stage["cache_write_tokens"] == 0
        assert sum(stage[key] for key in TOKENS) == sum(cached[name][key] for key in TOKENS)


def test_the_prefix_is_written_before_it_is_read(calls: list[SeasonCall]) -> None:
    first = {call.stage: call.usage for call in reversed(calls)}
    assert any(call.usage.cache_read_tokens for call in calls)
    assert all(usage.cache_read_tokens == 0 for usage in first.values())


def test_a_retried_call_is_charged_once_more_in_the_routed_sum_only(
    studio: Studio, volumes: Volumes
) -> None:
    always = volumes.model_copy(update={"retry_percent": 100})
    stages = run(studio, always, SEED)["scenarios"]["off-peak"]["stages"].values()
    assert all(stage["retries"] == stage["calls"] for stage in stages)
    assert all(stage["retry_cost_nano"] > 0 for stage in stages)


def test_an_answer_longer_than_its_tasks_cap_stops_the_run(
    studio: Studio, volumes: Volumes
) -> None:
    bible = volumes.stages["bible"].model_copy(update={"output_chars": 100_000})
    endless = volumes.model_copy(update={"stages": {"bible": bible}})
    with pytest.raises(SeasonError, match="are more than 8192"):
        run(studio, endless, SEED)


def test_the_tables_begin_with_the_dearest_model_and_end_with_the_cheapest(
    figures: dict[str, Any],
) -> None:
    rows = dict(sections(figures))["The whole season, in yuan"]
    alone = [float(row[1].replace(",", "")) for row in rows[3:]]
    assert alone[0] == max(alone)
    assert alone[-1] == min(alone)


def test_the_command_prints_its_figures_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--episodes", "1", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["episodes"] == 1
    assert isinstance(printed["scenarios"]["peak"]["cost_nano"], int)


def test_the_page_shows_the_volumes_of_the_file() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = page.partition(VOLUMES_MARKS[0])[2].partition(VOLUMES_MARKS[1])[0]
    assert shown.strip() == table(volume_rows(Volumes.load()))
