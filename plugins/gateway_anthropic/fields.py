"""Reading a client's JSON: the field that is wanted, or a refusal that names it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from gateway import CallError, Outcome

Object = dict[str, Any]


def lost(value: Mapping[str, Any], carried: Container[str]) -> set[str]:
    """The names in ``value`` that say something and are not among ``carried``."""
    return {
        name
        for name, said in value.items()
        if name not in carried and said is not None and said not in ([], {}, "")
    }


def objects(value: Any, where: str) -> list[Object]:
    """A list of JSON objects, or none at all."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise CallError(Outcome.INVALID_REQUEST, "a list of objects is wanted here", param=where)
    return [object_of(item, where) for item in value]


def object_of(value: Any, where: str) -> Object:
    if not isinstance(value, dict):
        raise CallError(Outcome.INVALID_REQUEST, "an object is wanted here", param=where)
    return value


def text_of(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise CallError(Outcome.INVALID_REQUEST, "a string is wanted here", param=where)
    return value
