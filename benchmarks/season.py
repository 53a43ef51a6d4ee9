"""``python -m benchmarks.season``: what a season's text costs by task, and on one model alone.

The real router plans every call over the default configuration and the real price book prices
it; nothing is sent anywhere. ``docs/season.md`` says where the volumes come from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.config_file import default_config_path
from gateway.errors import CallError, ConfigError
from gateway.schema import Plan, Usage

from . import season_report
from .season_calls import SeasonCall, Volumes, draw_calls
from .season_studio import SeasonError, Studio


@dataclass
class StageSum:
    """What the calls of one stage add up to; amounts in nano-yuan."""

    task: str
    calls: int = 0
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    retries: int = 0
    retry_cost_nano: int = 0
    """What was charged a second time."""
    targets: dict[str, int] = field(default_factory=dict)
    """Calls by target."""
    ladder_nano: dict[str, int] = field(default_factory=dict)
    """What the stage costs on each live target of its ladder, were that one first."""

    def add(self, usage: Usage, costs_nano: Mapping[str, int]) -> None:
        """One call, with what it costs on each target in order; it is made on the first."""
        target, cost_nano = next(iter(costs_nano.items()))
        self.calls += 1
        self.input_tokens += usage.input_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.cache_read_tokens += usage.cache_read_tokens
        self.output_tokens += usage.output_tokens
        self.targets[target] = self.targets.get(target, 0) + 1
        self.cost_nano += cost_nano
        for name, nano in costs_nano.items():
            self.ladder_nano[name] = self.ladder_nano.get(name, 0) + nano


def price_calls(
    studio: Studio, calls: Iterable[SeasonCall], model: str | None, at_s: float, seed: int
) -> dict[str, StageSum]:
    """The season by stage, routed by task or, with a ``model``, all on it.

    Raises CallError where the router finds no target, SeasonError where there is no price.
    """
    router = studio.router(at_s, seed)
    stages: dict[str, StageSum] = {}
    for call in calls:
        plan = router.plan(call.asking(model or call.task, at_s))
        _check_fits(call, plan)
        costs_nano = {
            target.name: studio.cost_nano(target, call.usage, at_s)
            for target in plan.targets
            if not target.rehearsal
        }
        stage = stages.setdefault(call.stage, StageSum(call.task))
        stage.add(call.usage, costs_nano)
        if call.retried:
            first_nano, *others_nano = costs_nano.values()
            stage.retries += 1
            stage.retry_cost_nano += others_nano[0] if others_nano else first_nano
    return stages


def _check_fits(call: SeasonCall, plan: Plan) -> None:
    target, usage = plan.targets[0], call.usage
    caps = [cap for cap in (plan.max_output_tokens, target.max_output_tokens) if cap]
    total_tokens = usage.total_input_tokens + usage.output_tokens
    if target.rehearsal:
        raise SeasonError(f"{call.stage}: no live target, the call would go to {target.name}")
    if usage.output_tokens > min(caps, default=usage.output_tokens):
        raise SeasonError(f"{call.stage}: {usage.output_tokens} tokens are more than {min(caps)}")
    if target.context_tokens and total_tokens > target.context_tokens:
        raise SeasonError(f"{call.stage}: {total_tokens} tokens do not fit {target.name}")


def run(studio: Studio, volumes: Volumes, seed: int) -> dict[str, Any]:
    """Everything that is printed, in integers and text only."""
    calls = draw_calls(volumes, seed)
    scenarios = {
        name: _scenario(studio, calls, at.timestamp(), seed) | {"at": at.isoformat()}
        for name, at in volumes.moments.items()
    }
    at = next(iter(volumes.moments.values()))
    cold = [replace(call, usage=_uncached(call.usage)) for call in calls]
    scenarios["no cache"] = _scenario(studio, cold, at.timestamp(), seed) | {"at": at.isoformat()}
    return {
        "seed": seed,
        "episodes": volumes.episodes,
        "retry_percent": volumes.retry_percent,
        "single_models": volumes.single_models,
        "config": studio.config_version,
        "genai_prices": version("genai-prices"),
        "cny_per_usd_nano": studio.rate.cny_per_usd_nano,
        "scenarios": scenarios,
        "price_sources": studio.price_sources(
            name for scenario in scenarios.values() for name in _used(scenario)
        ),
    }


def _uncached(usage: Usage) -> Usage:
    """The same tokens at a provider that remembers no prefix."""
    return Usage(input_tokens=usage.total_input_tokens, output_tokens=usage.output_tokens)


def _scenario(studio: Studio, calls: list[SeasonCall], at_s: float, seed: int) -> dict[str, Any]:
    routed = price_calls(studio, calls, None, at_s, seed)
    singles: dict[str, dict[str, Any]] = {}
    unable: dict[str, str] = {}
    for model in studio.text_models:
        try:
            stages = price_calls(studio, calls, model, at_s, seed)
        except (CallError, SeasonError) as error:
            unable[model] = str(error)
            continue
        singles[model] = {"cost_nano": sum(s.cost_nano for s in stages.values())} | {
            "targets": sorted({name for stage in stages.values() for name in stage.targets})
        }
    return {
        "stages": {name: asdict(stage) for name, stage in routed.items()},
        "cost_nano": sum(stage.cost_nano for stage in routed.values()),
        "retry_cost_nano": sum(stage.retry_cost_nano for stage in routed.values()),
        "singles": dict(sorted(singles.items(), key=lambda item: -item[1]["cost_nano"])),
        "unable": unable,
    }


def _used(scenario: Mapping[str, Any]) -> set[str]:
    """The targets that the scenario's calls go to."""
    groups = (*scenario["stages"].values(), *scenario["singles"].values())
    return {name for group in groups for name in group["targets"]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.season", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="draws other lengths and retries")
    parser.add_argument("--episodes", type=int, help="instead of those of season.yaml")
    parser.add_argument("--config", type=Path, default=default_config_path())
    parser.add_argument("--json", action="store_true", help="all figures, for machines")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/season.md")
    options = parser.parse_args(arguments)
    volumes = Volumes.load()
    if options.episodes is not None:
        if options.episodes < 1:
            parser.error("a season has at least one episode")
        volumes = volumes.model_copy(update={"episodes": options.episodes})
    try:
        figures = run(Studio.load(options.config), volumes, options.seed)
    except (CallError, ConfigError, SeasonError) as error:
        sys.exit(f"benchmarks.season: {error}")
    if options.json:
        print(json.dumps(figures, ensure_ascii=False, indent=1))
    else:
        season_report.show(figures)
    if options.write:
        season_report.fill_page(figures, volumes)


if __name__ == "__main__":
    main()
