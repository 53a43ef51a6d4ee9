"""Every name that a client may ask for, and the targets it leads to.

Built once for each configuration, never changed: a reload builds another catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config import GatewayConfig, ModelConfig
from gateway.contracts import Strategy
from gateway.schema import INTERACTIVE, Target


@dataclass(frozen=True)
class Route:
    """A ladder of targets with the strategy that orders it."""

    targets: tuple[Target, ...]
    """Live ones, stand-ins last."""
    dormant: tuple[Target, ...]
    """Configured ones whose provider waits for its key."""
    strategy: Strategy


@dataclass(frozen=True)
class TaskRules:
    """What a task adds to whatever route a call takes."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int | None = None
    deadline_s: float | None = None
    hedge_after_s: float | None = None
    priority: str = INTERACTIVE


@dataclass(frozen=True)
class Catalog:
    """Names to routes. ``targets`` are those that may be pinned as ``provider/model``."""

    models: Mapping[str, Route]
    tasks: Mapping[str, Route]
    targets: Mapping[str, Route]
    rules: Mapping[str, TaskRules]
    default_task: str | None
    default_max_output_tokens: int | None = None
    """The cap of a call that names none, for a target whose own limit is not known."""

    def configured(self, name: str) -> tuple[Target, ...]:
        """The targets that a name leads to, live or dormant; none for an unknown name."""
        route = self.tasks.get(name) or self.models.get(name) or self.targets.get(name)
        return tuple(dict.fromkeys((*route.targets, *route.dormant))) if route else ()

    def all_targets(self) -> set[Target]:
        """Every configured target, live or dormant."""
        return {t for route in self.models.values() for t in (*route.targets, *route.dormant)}


def build_catalog(
    config: GatewayConfig,
    live: Collection[str],
    embedded: Collection[str],
    strategies: Mapping[str, Strategy],
) -> Catalog:
    """``live`` providers have what they need; ``embedded`` ones are stand-ins."""
    ladders = {name: _targets(name, model, embedded) for name, model in config.models.items()}
    stand_ins = ladders.get(config.rehearsal_model or "", ())

    def route(targets: Iterable[Target], strategy: str) -> Route:
        ladder = tuple(dict.fromkeys(targets))
        awake = _admitted(ladder, stand_ins, config.rehearsal, live)
        asleep = tuple(t for t in ladder if t.provider not in live)
        return Route(awake, asleep, strategies[strategy])

    models = {name: route(ladders[name], model.strategy) for name, model in config.models.items()}
    tasks = {
        name: route((t for model in task.models for t in ladders[model]), task.strategy)
        for name, task in config.tasks.items()
    }
    pinned = {
        name: route([target], "priority")
        for ladder in ladders.values()
        for target in ladder
        for name in (target.name, f"{target.provider}/{target.public_model}")
    }
    rules = {
        name: TaskRules(
            task.parameters,
            task.max_output_tokens,
            task.deadline_s,
            task.hedge_after_s,
            task.priority,
        )
        for name, task in config.tasks.items()
    }
    return Catalog(
        models,
        tasks,
        pinned,
        rules,
        config.auto.default_task,
        config.money.default_max_output_tokens,
    )


def _targets(name: str, model: ModelConfig, embedded: Collection[str]) -> tuple[Target, ...]:
    return tuple(
        Target(
            provider=provider,
            model=upstream_model,
            public_model=name,
            capabilities=frozenset(model.capabilities),
            context_tokens=model.context_tokens,
            max_output_tokens=model.max_output_tokens,
            weight=model.weights.get(f"{provider}/{upstream_model}", 1),
            rehearsal=provider in embedded,
        )
        for provider, _, upstream_model in (target.partition("/") for target in model.targets)
    )


def _admitted(
    ladder: tuple[Target, ...],
    stand_ins: tuple[Target, ...],
    rehearsal: str,
    live: Collection[str],
) -> tuple[Target, ...]:
    """The live part of a ladder, with stand-ins where the configuration wants them."""
    real = tuple(t for t in ladder if not t.rehearsal and t.provider in live)
    named = tuple(t for t in ladder if t.rehearsal)
    if ladder and len(named) == len(ladder):
        return named  # asked for by its own name: that is no rehearsal in silence
    if rehearsal == "never":
        return real
    stands_for = next((t for t in ladder if not t.rehearsal), None)
    can = frozenset[str]().union(*(t.capabilities for t in ladder))
    rehearsing = tuple(
        replace(t, stands_for=stands_for, capabilities=t.capabilities & can)
        for t in named or stand_ins
        if t.capabilities & can
    )
    return rehearsing if rehearsal == "always" else real + rehearsing
