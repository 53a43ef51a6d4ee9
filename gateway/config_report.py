"""What is wrong with a configuration, as sentences with file, line and path."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from .config_yaml import Where, dotted

_M = TypeVar("_M", bound=BaseModel)


class Report:
    """Collects the problems of one file."""

    def __init__(self, source: str, lines: Mapping[Where, int]) -> None:
        self.source = source
        self.lines = lines
        self.problems: list[str] = []
        self.places: set[Where] = set()
        """Where they are."""

    def add(self, path: Where, message: str) -> None:
        self.places.add(path)
        known = path
        while known not in self.lines and known:
            known = known[:-1]
        line = self.lines.get(known, 1)
        self.problems.append(f"{self.source}:{line}: {dotted(path) or 'the file'}: {message}")

    def validate(
        self, model: type[_M], tree: Any, at: Where, waiting: frozenset[str] = frozenset()
    ) -> _M | None:
        """The model, or None and what is wrong. Nothing is said of keys that are ``waiting``."""
        try:
            return model.model_validate(tree)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        found = [(_shown(tree, d["loc"], d["type"] == "missing"), d) for d in details]
        for loc, detail in found:
            # Of a union every member complains; the one that looked inside says what is meant.
            deeper = any(other[: len(loc)] == loc != other for other, _ in found)
            if deeper or (waiting and (not loc or loc[0] in waiting)):
                continue
            if detail["type"] == "extra_forbidden":
                names = _field_names(model, loc[:-1])
                self.add((*at, *loc), f"unknown key{did_you_mean(str(loc[-1]), names)}")
            else:
                self.add((*at, *loc), _sentence(detail["type"], detail["msg"]))
        return None


def _shown(tree: Any, loc: Where, is_missing: bool) -> Where:
    """The part of a pydantic location that stands in the file (it adds union member names)."""
    shown: list[str | int] = []
    for step in loc[:-1] if is_missing else loc:
        if _has(tree, step):
            shown.append(step)
            tree = tree[step]
    return (*shown, loc[-1]) if is_missing else tuple(shown)


def _has(tree: Any, step: str | int) -> bool:
    if isinstance(tree, dict):
        return step in tree
    return isinstance(tree, list) and isinstance(step, int) and step < len(tree)


def _sentence(kind: str, message: str) -> str:
    if kind in ("model_type", "dict_type"):
        return "keys with values are expected here"
    if kind == "missing":
        return "is missing"
    if kind == "tuple_type":
        return "a list is expected here, such as [one, two]"
    if kind == "string_type":
        return "input should be a valid string; a number needs quotes to be one"
    if kind == "too_short":
        return "the list is empty"
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean …?)`` for a near name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _field_names(model: type[BaseModel], path: Where) -> list[str]:
    """The keys that a model allows at ``path``."""
    kind: Any = model
    for step in path:
        kind = _inner(kind, step)
    kind = next((k for k in members(kind) if _is_model(k)), None)
    return list(kind.model_fields) if kind else []


def _inner(kind: Any, step: str | int) -> Any:
    for member in members(kind):
        if _is_model(member) and step in member.model_fields:
            return member.model_fields[str(step)].annotation
        if get_origin(member) is dict:
            return get_args(member)[1]
        if get_origin(member) in (tuple, list):
            return get_args(member)[0]
    return None


def members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself; what ``Annotated`` adds is left off."""
    if get_origin(kind) is Annotated:
        return members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(member for part in get_args(kind) for member in members(part))
    return (kind,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
