"""Reads the entries of ``providers:``: references to the environment, settings of their type."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import SecretStr

from .config import Dormant
from .config_report import Report, members
from .config_yaml import Where
from .contracts import ProviderSettings

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def read_providers(
    report: Report,
    tree: Any,
    settings_of: Mapping[str, type[ProviderSettings]],
    environ: Mapping[str, str],
) -> tuple[dict[str, ProviderSettings], dict[str, Dormant], list[str]]:
    """The live and the dormant entries and what to note of them, read from the file itself: a
    fault elsewhere in it must not hide theirs. What is wrong with an entry as such has been
    reported already."""
    live: dict[str, ProviderSettings] = {}
    dormant: dict[str, Dormant] = {}
    notes: list[str] = []
    entries = tree.get("providers") if isinstance(tree, dict) else None
    for name, raw in entries.items() if isinstance(entries, dict) else ():
        if not isinstance(raw, dict) or ("providers", name) in report.places:
            continue
        found = _provider(report, name, raw, settings_of, environ)
        if isinstance(found, Dormant):
            dormant[name] = found
        elif found is not None:
            live[name] = found
            notes += _notes(name, raw, found)
    return live, dormant, notes


def _provider(
    report: Report,
    name: str,
    raw: dict[str, Any],
    settings_of: Mapping[str, type[ProviderSettings]],
    environ: Mapping[str, str],
) -> ProviderSettings | Dormant | None:
    at: Where = ("providers", name)
    kind = str(raw.get("type", name))
    if kind not in settings_of:
        known = ", ".join(sorted(settings_of))
        report.add(at, f"no plugin provides the type {kind!r}; there are {known}")
        return None
    settings = settings_of[kind]
    secrets = _secret_fields(settings)
    for place, value in _values(raw, secrets):
        if isinstance(value, str) and not _SECRET_REFERENCE.fullmatch(value):
            report.add((*at, *place), "a secret does not belong in a file; write ${NAME} instead")
    missing = {
        key: _missing_of_all(value, environ)
        if key in secrets and isinstance(value, list)
        else _missing(value, environ)
        for key, value in raw.items()
    }
    waiting = frozenset(key for key, names in missing.items() if names)
    found = report.validate(settings, _expand({**raw, "type": kind}, environ), at, waiting)
    if waiting:
        return Dormant(kind, _waits_for(raw, secrets, missing))
    return found


def _secret_fields(settings: type[ProviderSettings]) -> list[str]:
    return [
        name
        for name, field in settings.model_fields.items()
        if any(SecretStr in (kind, *get_args(kind)[:1]) for kind in members(field.annotation))
    ]


def _values(raw: Mapping[str, Any], fields: Iterable[str]) -> Iterator[tuple[Where, Any]]:
    """The values of some fields and where they stand; of lists, each by itself."""
    for field in fields:
        value = raw.get(field)
        if isinstance(value, list):
            yield from (((field, index), item) for index, item in enumerate(value))
        else:
            yield (field,), value


def _notes(name: str, raw: Mapping[str, Any], settings: ProviderSettings) -> Iterator[str]:
    """Of several keys, those that are not used."""
    seen: dict[str, int] = {}
    for number, key in enumerate(settings.api_keys, 1):
        text = key.get_secret_value()
        if not text:
            reference = raw["api_keys"][number - 1]
            yield f"provider {name} does without {name}#{number}: {reference} is not set"
        elif (first := seen.setdefault(text, number)) != number:
            yield f"provider {name} does without {name}#{number}: it is the same key as #{first}"


def _waits_for(
    raw: Mapping[str, Any], secrets: Collection[str], missing: Mapping[str, set[str]]
) -> str:
    """All of the variables, or one of those of a list of keys."""
    parts = set[str]()
    for key, names in missing.items():
        several = key in secrets and isinstance(raw[key], list)
        parts |= {" or ".join(sorted(names))} if several and names else names
    return " and ".join(sorted(parts))


def _expand(value: Any, environ: Mapping[str, str]) -> Any:
    """``${NAME}`` and ``${NAME:-default}`` in every string; what is not set becomes empty."""
    if isinstance(value, dict):
        return {key: _expand(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda match: environ.get(match[1]) or match[2] or "", value)


def _missing_of_all(values: list[Any], environ: Mapping[str, str]) -> set[str]:
    """Of several keys one is enough."""
    missing = [_missing(value, environ) for value in values]
    return set[str]().union(*missing) if all(missing) else set()


def _missing(value: Any, environ: Mapping[str, str]) -> set[str]:
    """The variables that a value refers to and that neither the environment nor a default set."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return set[str]().union(*(_missing(item, environ) for item in items))
    if not isinstance(value, str):
        return set()
    return {
        match[1]
        for match in _REFERENCE.finditer(value)
        if not environ.get(match[1]) and match[2] is None
    }
