"""The calls of one season: ``season.yaml`` read, and drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from gateway.chunking.tokens import estimate_chat_tokens, estimate_tokens
from gateway.schema import Call, Caller, Usage

VOLUMES = Path(__file__).with_name("season.yaml")
_HAN = range(0x4E00, 0x9FA6)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Model):
    """One step of the production. Lengths are mean characters of one call."""

    task: str
    per: Literal["season", "episode", "shot"]
    calls: int = Field(gt=0)
    prefix_chars: int = Field(gt=0)
    """The beginning that all calls of the stage have in common."""
    fresh_chars: int = Field(gt=0)
    output_chars: int = Field(0, ge=0)
    output_latin_chars: int = Field(0, ge=0)


class CacheHabits(_Model):
    """When a provider still knows the prefix of a call."""

    minimum_tokens: int
    episodes_per_session: int = Field(gt=0)
    hit_percent: int = Field(ge=0, le=100)


class Volumes(_Model):
    """What ``season.yaml`` says."""

    episodes: int = Field(gt=0)
    shots_per_episode: int = Field(gt=0)
    spread_percent: int = Field(ge=0, lt=100)
    retry_percent: int = Field(ge=0, le=100)
    cache: CacheHabits
    moments: Mapping[str, datetime]
    single_models: tuple[str, ...]
    stages: Mapping[str, Stage]

    @classmethod
    def load(cls, path: Path = VOLUMES) -> Volumes:
        """Raises pydantic's ValidationError for a file that says something else."""
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    def calls_of(self, stage: Stage) -> int:
        """Calls of a stage over the whole season."""
        units = {
            "season": 1,
            "episode": self.episodes,
            "shot": self.episodes * self.shots_per_episode,
        }
        return stage.calls * units[stage.per]


@dataclass(frozen=True)
class SeasonCall:
    """One call with what it uses, whichever model answers it."""

    id: str
    stage: str
    task: str
    messages: list[dict[str, Any]]
    usage: Usage
    retried: bool
    """Charged, lost, and made again at the next target."""

    def asking(self, model: str, at_s: float) -> Call:
        """The call as a client makes it that asks for ``model``: a task's name or a model's."""
        return Call(
            id=self.id,
            endpoint="chat",
            caller=Caller("season"),
            model=model,
            body={"model": model, "messages": self.messages},
            body_bytes=sum(len(message["content"].encode()) for message in self.messages),
            started_at_s=at_s,
            received_s=0.0,
            task_hint=self.task,
        )


def draw_calls(volumes: Volumes, seed: int) -> list[SeasonCall]:
    """The season's calls, stage by stage; the same seed draws the same ones."""
    return [
        call
        for name, stage in volumes.stages.items()
        # A generator for each stage: a change to one leaves the others as they were.
        for call in _draw_stage(volumes, name, stage, Random(f"{seed} {name}"))
    ]


def _draw_stage(volumes: Volumes, name: str, stage: Stage, random: Random) -> Iterator[SeasonCall]:
    prefix = _text(stage.prefix_chars, random)
    count = volumes.calls_of(stage)
    sessions = 1 if stage.per == "season" else -(-volumes.episodes // _session(volumes))
    for index in range(count):
        first_of_session = index * sessions // count != (index - 1) * sessions // count
        messages = [
            {"role": "system", "content": prefix},
            {"role": "user", "content": _text(_vary(stage.fresh_chars, volumes, random), random)},
        ]
        hit = random.randrange(100) < volumes.cache.hit_percent and not first_of_session
        yield SeasonCall(
            id=f"{name} {index}",
            stage=name,
            task=stage.task,
            messages=messages,
            usage=_usage(messages, _output_tokens(stage, volumes, random), hit, volumes.cache),
            retried=random.randrange(100) < volumes.retry_percent,
        )


def _session(volumes: Volumes) -> int:
    return min(volumes.cache.episodes_per_session, volumes.episodes)


def _usage(
    messages: list[dict[str, Any]], output_tokens: int, hit: bool, cache: CacheHabits
) -> Usage:
    """What a provider would report, by the gateway's own estimate of tokens."""
    input_tokens = estimate_chat_tokens({"messages": messages})
    prefix_tokens = estimate_tokens(messages[0]["content"])
    if prefix_tokens < cache.minimum_tokens:
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return Usage(
        input_tokens=input_tokens - prefix_tokens,
        cache_read_tokens=prefix_tokens if hit else 0,
        cache_write_tokens=0 if hit else prefix_tokens,
        output_tokens=output_tokens,
    )


def _output_tokens(stage: Stage, volumes: Volumes, random: Random) -> int:
    han = "字" * _vary(stage.output_chars, volumes, random)
    return estimate_tokens(han + "a" * _vary(stage.output_latin_chars, volumes, random))


def _vary(chars: int, volumes: Volumes, random: Random) -> int:
    spread = chars * volumes.spread_percent / 100
    return round(random.triangular(chars - spread, chars + spread))


def _text(chars: int, random: Random) -> str:
    return "".join(map(chr, random.choices(_HAN, k=chars)))
