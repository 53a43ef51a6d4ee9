"""Reads the configuration: one YAML file, checked whole before any of it is believed.

Unknown keys are errors with a near name, secrets are references to the environment, and every
problem is a sentence with file, line and path.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from .config import Dormant, GatewayConfig, LoadedConfig
from .config_yaml import Where, dotted, parse_yaml
from .contracts import ProviderSettings
from .errors import ConfigError

_M = TypeVar("_M", bound=BaseModel)

AUTO = "auto"


def default_config_path() -> Path:
    """``config/gateway.yaml`` of the checkout, or its copy inside an installed package."""
    packaged = Path(__file__).parent / "_config" / "gateway.yaml"
    return packaged if packaged.exists() else Path(__file__).parent.parent / "config/gateway.yaml"


def load_config(
    path: Path,
    settings_of: Mapping[str, type[ProviderSettings]],
    strategies: frozenset[str],
    environ: Mapping[str, str],
) -> LoadedConfig:
    """Read and check a file. Raises ConfigError with everything that is wrong, not the first.

    ``settings_of`` are the registered provider types, ``strategies`` the registered names.
    """
    text = read_text(path)
    tree, lines = parse_yaml(text, str(path))
    report = _Report(str(path), lines)
    config = report.validate(GatewayConfig, tree, ())
    if config is None:
        raise ConfigError(*report.problems)
    live: dict[str, ProviderSettings] = {}
    dormant: dict[str, Dormant] = {}
    for name, raw in config.providers.items():
        found = _provider(report, name, raw, settings_of, environ)
        if isinstance(found, Dormant):
            dormant[name] = found
        elif found is not None:
            live[name] = found
    _check_references(report, config, strategies)
    if report.problems:
        raise ConfigError(*report.problems)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return LoadedConfig(config, live, dormant, version, str(path))


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def disabled_plugins(path: Path) -> tuple[str, ...]:
    """``plugins.disabled`` alone: needed before plugins are imported, so before the full check."""
    tree, _ = parse_yaml(read_text(path), str(path))
    plugins = tree.get("plugins") if isinstance(tree, dict) else None
    disabled = plugins.get("disabled") if isinstance(plugins, dict) else None
    return tuple(map(str, disabled)) if isinstance(disabled, list) else ()


# Problems as sentences


class _Report:
    """Collects what is wrong, as sentences with file, line and path."""

    def __init__(self, source: str, lines: Mapping[Where, int]) -> None:
        self.source = source
        self.lines = lines
        self.problems: list[str] = []

    def add(self, path: Where, message: str) -> None:
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
    kind = next((k for k in _members(kind) if _is_model(k)), None)
    return list(kind.model_fields) if kind else []


def _inner(kind: Any, step: str | int) -> Any:
    for member in _members(kind):
        if _is_model(member) and step in member.model_fields:
            return member.model_fields[str(step)].annotation
        if get_origin(member) is dict:
            return get_args(member)[1]
        if get_origin(member) in (tuple, list):
            return get_args(member)[0]
    return None


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


# Providers: environment references, and the settings of their type

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def _provider(
    report: _Report,
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
    for field in _secret_fields(settings):
        value = raw.get(field)
        if isinstance(value, str) and not _SECRET_REFERENCE.fullmatch(value):
            report.add((*at, field), "a secret does not belong in a file; write ${NAME} instead")
            return None
    missing = {key: _missing(value, environ) for key, value in raw.items()}
    waiting = frozenset(key for key, names in missing.items() if names)
    found = report.validate(settings, _expand({**raw, "type": kind}, environ), at, waiting)
    if waiting:
        return Dormant(kind, " and ".join(sorted(set().union(*missing.values()))))
    return found


def _secret_fields(settings: type[ProviderSettings]) -> list[str]:
    return [
        name
        for name, field in settings.model_fields.items()
        if SecretStr in _members(field.annotation)
    ]


def _expand(value: Any, environ: Mapping[str, str]) -> Any:
    """``${NAME}`` and ``${NAME:-default}`` in every string; what is not set becomes empty."""
    if isinstance(value, dict):
        return {key: _expand(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda match: environ.get(match[1]) or match[2] or "", value)


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


# References between the parts


def _check_references(report: _Report, config: GatewayConfig, strategies: frozenset[str]) -> None:
    models, tasks = list(config.models), list(config.tasks)
    for kind, names in (("models", models), ("tasks", tasks)):
        if AUTO in names:
            report.add((kind, AUTO), "this name is taken: it asks for the task to be told")
    for name, model in config.models.items():
        at: Where = ("models", name)
        if name in config.tasks:
            report.add(("tasks", name), "is the name of a model too; one name means one thing")
        for index, target in enumerate(model.targets):
            provider, _, upstream_model = target.partition("/")
            if not upstream_model:
                report.add((*at, "targets", index), f"{target!r} is not provider/model")
            elif provider not in config.providers:
                near = did_you_mean(provider, list(config.providers))
                report.add((*at, "targets", index), f"no provider is called {provider!r}{near}")
        if isinstance(model.price, str) and not all(model.price.partition("/")):
            report.add((*at, "price"), f"{model.price!r} is neither a price nor family/model")
        for target in sorted(model.weights.keys() - set(model.targets)):
            report.add((*at, "weights", target), "is not among the targets")
        _check_strategy(report, at, model.strategy, strategies)
    for name, task in config.tasks.items():
        at = ("tasks", name)
        for index, model_name in enumerate(task.models):
            if model_name not in config.models:
                near = did_you_mean(model_name, models)
                report.add((*at, "models", index), f"no model is called {model_name!r}{near}")
        _check_strategy(report, at, task.strategy, strategies)
    for path, value, known in (
        (("auto", "default_task"), config.auto.default_task, tasks),
        (("rehearsal_model",), config.rehearsal_model, models),
    ):
        if value is not None and value not in known:
            report.add(path, f"{value!r} is not configured{did_you_mean(value, known)}")


def _check_strategy(report: _Report, at: Where, name: str, strategies: frozenset[str]) -> None:
    if name not in strategies:
        known = ", ".join(sorted(strategies))
        report.add((*at, "strategy"), f"no plugin provides {name!r}; there are {known}")
