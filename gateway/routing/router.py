"""Turns a client's word into an ordered list of targets that can do what is asked.

``model`` may be a task, a model, a pinned target or ``auto``. With ``auto`` the task comes from
the header, then ``metadata.task``, then the classifier, then the configured default. A model's
name is always honoured; a task beside it adds everything but the model.
"""

from __future__ import annotations

import difflib
from operator import attrgetter
from typing import Any, NamedTuple

from gateway.contracts import RouteView
from gateway.errors import CallError, Outcome
from gateway.schema import Call, Capability, Plan, Target

from .catalog import Catalog, Route, TaskRules
from .classifier import Classifier
from .needs import chat_needs

_is_stand_in = attrgetter("rehearsal")
_NO_RULES = TaskRules()
_EMBEDDINGS: set[str] = {Capability.EMBEDDINGS}
OWN_METADATA = frozenset({"task", "project", "season", "episode", "scene", "shot"})
"""Words of ``metadata`` that say to the gateway what a call is for."""


class _Choice(NamedTuple):
    route: Route
    reason: str
    task: str | None = None
    confidence: float | None = None


class Router:
    """Plans calls over one catalog."""

    def __init__(self, catalog: Catalog, view: RouteView, classifier: Classifier) -> None:
        self.catalog = catalog
        self._view = view
        self._classifier = classifier

    def plan(self, call: Call) -> Plan:
        """Raises CallError: UNKNOWN_MODEL, INVALID_REQUEST, UNSUPPORTED, NO_TARGET."""
        choice = self._choose(call)
        rules = self._rules(call, choice.task)
        body = _without_own_words({**rules.parameters, **call.body})
        cap, warnings = _output_cap(call, rules, choice.task)
        if cap is None and call.endpoint == "chat":
            cap = self._cap_of_last_resort(choice.route)
        needs = chat_needs(body) if call.endpoint == "chat" else _EMBEDDINGS
        able, skipped = self._able(call, choice.route, needs)
        ordered = choice.route.strategy(able, self._view) if len(able) > 1 else able
        return Plan(
            targets=tuple(sorted(ordered, key=_is_stand_in)),
            body=body,
            reason=choice.reason,
            task=choice.task,
            confidence=choice.confidence,
            max_output_tokens=cap,
            deadline_s=rules.deadline_s,
            priority=call.priority or rules.priority,
            hedge_after_s=rules.hedge_after_s,
            skipped=skipped,
            warnings=warnings,
        )

    def _cap_of_last_resort(self, route: Route) -> int | None:
        """No call goes out unbounded: what it can cost has to be known before."""
        if all(target.max_output_tokens or target.context_tokens for target in route.targets):
            return None  # each has a limit of its own
        return self.catalog.default_max_output_tokens

    def _rules(self, call: Call, task: str | None) -> TaskRules:
        """What the task asks for; its parameters and its cap are those of chat completions."""
        rules = self.catalog.rules.get(task or "", _NO_RULES)
        if call.endpoint == "chat":
            return rules
        return TaskRules(deadline_s=rules.deadline_s, priority=rules.priority)

    def _choose(self, call: Call) -> _Choice:
        name, catalog = call.model, self.catalog
        if (route := catalog.tasks.get(name)) is not None:
            return _Choice(route, "task", name)
        if (route := catalog.models.get(name)) is not None:
            return _Choice(route, "model", self._declared_task(call)[0])
        if (route := catalog.targets.get(name)) is not None:
            return _Choice(route, "target", self._declared_task(call)[0])
        if name == "auto":
            return self._auto(call)
        raise _unknown_model(name, catalog)

    def _auto(self, call: Call) -> _Choice:
        tasks = self.catalog.tasks
        task, source = self._declared_task(call)
        if task is not None:
            return _Choice(tasks[task], f"auto-{source}", task)
        confidence = None
        if call.endpoint == "chat":
            guess = self._classifier.classify(call.body["messages"], tasks.keys())
            confidence = guess.confidence
            if guess.task is not None:
                return _Choice(tasks[guess.task], "auto-classifier", guess.task, confidence)
        default = self.catalog.default_task
        if default is None:
            raise CallError(
                Outcome.UNKNOWN_MODEL,
                "model 'auto' could not tell the task of this call, and auto.default_task is not "
                f"configured; name one with X-Daobo-Task, one of {', '.join(tasks)}",
                param="model",
            )
        return _Choice(tasks[default], "auto-default", default, confidence)

    def _declared_task(self, call: Call) -> tuple[str | None, str]:
        """The task that the header or ``metadata.task`` names; an unknown one is an error."""
        metadata = call.body.get("metadata")
        in_metadata = metadata.get("task") if isinstance(metadata, dict) else None
        for task, source in ((call.task_hint, "header"), (in_metadata, "metadata")):
            if task is None:
                continue
            if not isinstance(task, str) or task not in self.catalog.tasks:
                raise CallError(
                    Outcome.INVALID_REQUEST,
                    f"the {source} names the task {str(task)[:100]!r}, which is not configured; "
                    f"there are {', '.join(self.catalog.tasks) or 'none'}",
                    param="metadata.task" if source == "metadata" else None,
                )
            return task, source
        return None, ""

    def _able(
        self, call: Call, route: Route, needs: set[str]
    ) -> tuple[list[Target], tuple[str, ...]]:
        """The live targets that can do it, and why the others cannot."""
        able = [target for target in route.targets if needs <= target.capabilities]
        if able and len(able) == len(route.targets):
            return able, ()
        configured = (*route.targets, *route.dormant)
        skipped = tuple(_why_not(target, needs) for target in configured if target not in able)
        if able:
            return able, skipped
        waits = any(needs <= target.capabilities for target in route.dormant)
        outcome = Outcome.NO_TARGET if waits else Outcome.UNSUPPORTED
        raise CallError(
            outcome,
            f"no target of {call.model!r} can answer this: {'; '.join(skipped)}. "
            + _what_next(self.catalog, needs),
            param="model",
        )


def _why_not(target: Target, needs: set[str]) -> str:
    if lacking := needs - target.capabilities:
        return f"{target.name} cannot do {', '.join(sorted(lacking))}"
    return f"{target.name} waits for the key of its provider {target.provider!r}"


def _without_own_words(body: dict[str, Any]) -> dict[str, Any]:
    """Takes out of ``metadata`` what was meant for the gateway; upstreams may refuse it."""
    metadata = body.get("metadata")
    if metadata and not OWN_METADATA.isdisjoint(metadata):
        rest = {key: value for key, value in metadata.items() if key not in OWN_METADATA}
        if rest:
            body["metadata"] = rest
        else:
            del body["metadata"]
    return body


def _output_cap(
    call: Call, rules: TaskRules, task: str | None
) -> tuple[int | None, tuple[str, ...]]:
    """The cap to send upstream and, where it is below what the client asked for, a warning."""
    if call.endpoint != "chat":
        return None, ()
    asked = call.asked_output_tokens
    cap = rules.max_output_tokens
    if asked is None or cap is None:
        return asked or cap, ()
    if asked <= cap:
        return asked, ()
    return cap, (f"max_tokens lowered from {asked} to {cap}, the cap of task {task}",)


def _what_next(catalog: Catalog, needs: set[str]) -> str:
    fits = [
        name
        for name, route in {**catalog.tasks, **catalog.models}.items()
        if any(needs <= target.capabilities for target in route.targets)
    ]
    if not fits:
        return f"No live model can do {', '.join(sorted(needs))}; set a provider's key."
    return f"These can: {', '.join(fits[:8])}."


def _unknown_model(name: str, catalog: Catalog) -> CallError:
    """The error for a name that leads nowhere, with the names that are near."""
    known = [*catalog.tasks, *catalog.models, *catalog.targets]
    near = difflib.get_close_matches(name[:100], known, n=3, cutoff=0.4)
    hint = f"Did you mean {', '.join(near)}?" if near else "GET /v1/models lists what there is."
    return CallError(
        Outcome.UNKNOWN_MODEL,
        f"no task, model or target is called {name[:100]!r}. {hint}",
        param="model",
    )
