"""Which limits concern a call, and what it takes of them.

Rules come from the configuration. A rule concerns the calls that match all of its subjects; where a
subject is ``*``, each value has a bucket of its own, and a call without a value is not concerned.
Rules on the caller and the task are asked once, at admission; those that also name a model or a
target are asked for each target, and those that name nothing else are kept by waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple
from urllib.parse import quote

from gateway.config_limits import LimitRule
from gateway.schema import Call, Caller, Plan, Target

from .buckets import Bucket, Kind, Take

EACH = "*"
OF_TARGET = {"model", "target"}
MAX_KNOWN = 10_000
"""Combinations of subjects whose buckets are remembered; more are worked out again."""

_FIELDS = {"tenant": "tenant", "key": "key_id", "project": "project", "user": "user"}
"""Of a ``Caller``, by the rules' word for it."""
_NOBODY = Caller("")

Named = Mapping[str, str | None]
"""The value that a call has for each subject."""


class _Concerned(NamedTuple):
    """The buckets of one combination of subjects, as a call takes of them."""

    fixed: tuple[Take, ...]
    """Requests and places: always one."""
    tokens: tuple[Bucket, ...]
    places: tuple[Take, ...]
    """Of the fixed ones."""
    requests: tuple[Take, ...]

    def takes(self, tokens: int) -> Sequence[Take]:
        return [*self.fixed, *[(bucket, tokens) for bucket in self.tokens]]


class Rules:
    """The rules of one configuration. ``reserved_tokens`` is asked where tokens are limited."""

    def __init__(
        self, rules: Sequence[LimitRule], reserved_tokens: Callable[[Call, Plan], int]
    ) -> None:
        self._reserved_tokens = reserved_tokens
        groups = _Group(), _Group(), _Group()
        for number, rule in enumerate(rules):
            subjects = {subject for subject, _ in rule.subjects}
            on_target, on_caller = bool(subjects & OF_TARGET), bool(subjects - OF_TARGET)
            groups[on_target + (on_target and not on_caller)].add(f"rules[{number}]", rule)
        self._at_admission, self._at_target, self._of_target = groups

    def at_admission(self, call: Call, plan: Plan) -> Sequence[Take]:
        """Of the rules on caller and task. A call that is cut takes its place, each of its parts
        takes a request and tokens."""
        if not self._at_admission.rules:
            return ()
        found = self._at_admission.concerned(call.caller, plan.task, None)
        if plan.parts:
            return found.places
        if plan.part is not None:
            tokens = self._reserved_tokens(call, plan) if found.tokens else 0
            return [*found.requests, *[(bucket, tokens) for bucket in found.tokens]]
        return found.takes(self._reserved_tokens(call, plan)) if found.tokens else found.fixed

    def at_target(self, call: Call, plan: Plan, target: Target) -> Sequence[Take]:
        """Of the rules on caller and target together: refused, the next target is asked."""
        if not self._at_target.rules:
            return ()
        found = self._at_target.concerned(call.caller, plan.task, target)
        return found.takes(self._reserved_tokens(call, plan)) if found.tokens else found.fixed

    def of_target(self, target: Target, tokens: int) -> Sequence[Take]:
        """Of the rules on a model or a target alone: those that a call waits for."""
        if not self._of_target.rules:
            return ()
        return self._of_target.concerned(_NOBODY, None, target).takes(tokens)


class _Group:
    """Rules that are asked together, and what they came to for callers that were seen lately."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, LimitRule]] = []
        self._read: Callable[[Caller], object] = _nothing
        self._known: dict[tuple[object, ...], _Concerned] = {}

    def add(self, name: str, rule: LimitRule) -> None:
        self.rules.append((name, rule))
        asked = {subject for _, rule in self.rules for subject, _ in rule.subjects}
        fields = [field for subject, field in _FIELDS.items() if subject in asked]
        self._read = attrgetter(*fields) if fields else _nothing

    def concerned(self, caller: Caller, task: str | None, target: Target | None) -> _Concerned:
        if target is None:
            key: tuple[object, ...] = (self._read(caller), task)
        else:
            key = (self._read(caller), task, target.public_model, target.name)
        return self._known.get(key) or self._work_out(key, caller, task, target)

    def _work_out(
        self, key: tuple[object, ...], caller: Caller, task: str | None, target: Target | None
    ) -> _Concerned:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        named: dict[str, str | None] = {s: getattr(caller, field) for s, field in _FIELDS.items()}
        named["task"] = task
        if target is not None:
            named |= {"model": target.public_model, "target": target.name}
        buckets = [
            bucket
            for name, rule in self.rules
            if _matches(rule, named)
            for bucket in _buckets(name, rule, named)
        ]
        fixed = tuple((bucket, 1) for bucket in buckets if bucket.kind != "tokens")
        tokens = tuple(bucket for bucket in buckets if bucket.kind == "tokens")
        places = tuple(take for take in fixed if take[0].kind == "concurrency")
        requests = tuple(take for take in fixed if take[0].kind == "requests")
        found = self._known[key] = _Concerned(fixed, tokens, places, requests)
        return found


def _nothing(caller: Caller) -> object:
    return None


def _matches(rule: LimitRule, named: Named) -> bool:
    return all(
        named[subject] is not None and value in (EACH, named[subject])
        for subject, value in rule.subjects
    )


def _buckets(name: str, rule: LimitRule, named: Named) -> Iterator[Bucket]:
    """A rule's buckets for one combination of its subjects."""
    place = " ".join(_part(subject, value, named) for subject, value in rule.subjects) or "all"
    subject = " and ".join(f"{subject} {named[subject]}" for subject, _ in rule.subjects)
    limits: tuple[tuple[Kind, int | None, int | None], ...] = (
        ("requests", rule.requests_per_minute, rule.burst_requests),
        ("tokens", rule.tokens_per_minute, rule.burst_tokens),
    )
    for kind, rate, burst in limits:
        if rate:
            yield Bucket(f"{place} {kind}", kind, burst or rate, rate, name, subject)
    if rule.concurrency:
        kind = "concurrency"
        yield Bucket(f"{place} {kind}", kind, rule.concurrency, 0, name, subject)


def _part(subject: str, value: str, named: Named) -> str:
    """The one bucket of a rule on this value is not that of a rule on each value."""
    each = EACH if value == EACH else ""
    return f"{subject}={each}{quote(named[subject] or '', safe='', errors='backslashreplace')}"
