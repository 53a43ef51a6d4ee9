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

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from .config import Dormant, GatewayConfig, LoadedConfig
from .contracts import ProviderSettings
from .errors import ConfigError

_M = TypeVar("_M", bound=BaseModel)

Where = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the top."""

MERGE_TAG = "tag:yaml.org,2002:merge"


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


# YAML with line numbers


def parse_yaml(text: str, source: str) -> tuple[Any, dict[Where, int]]:
    """The document and the line (from 1) of every key and item. Raises ConfigError."""
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    lines: dict[Where, int] = {}
    duplicates: list[str] = []
    tree = {} if node is None else _construct(node, (), lines, duplicates, source)
    if duplicates:
        raise ConfigError(*duplicates)
    return tree, lines


def _construct(
    node: yaml.Node, path: Where, lines: dict[Where, int], duplicates: list[str], source: str
) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE_TAG:
                merged |= _merged(value_node, path, lines, duplicates, source)
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                duplicates.append(f"{source}:{line}: {_dotted((*path, key))}: stands here twice")
            lines[(*path, key)] = line
            result[key] = _construct(value_node, (*path, key), lines, duplicates, source)
        return {**merged, **result}
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(item, (*path, index), lines, duplicates, source)
            for index, item in enumerate(node.value)
        ]
    return yaml.CSafeLoader("").construct_object(node)


def _merged(
    node: yaml.Node, path: Where, lines: dict[Where, int], duplicates: list[str], source: str
) -> dict[str, Any]:
    """What ``<<: *name`` or ``<<: [*a, *b]`` brings in; the first of several wins."""
    value = _construct(node, path, lines, duplicates, source)
    maps = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in maps):
        line = node.start_mark.line + 1
        raise ConfigError(f"{source}:{line}: {_dotted(path)}: '<<' merges mappings only")
    return {key: item for mapping in reversed(maps) for key, item in mapping.items()}


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
        self.problems.append(f"{self.source}:{line}: {_dotted(path) or 'the file'}: {message}")

    def validate(self, model: type[_M], tree: Any, at: Where) -> _M | None:
        try:
            return model.model_validate(tree)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                loc = _shown(tree, detail["loc"])
                if detail["type"] == "extra_forbidden":
                    names = _field_names(model, loc[:-1])
                    self.add((*at, *loc), f"unknown key{did_you_mean(str(loc[-1]), names)}")
                else:
                    self.add((*at, *loc), _sentence(detail["msg"]))
            return None


def _shown(tree: Any, loc: Where) -> Where:
    """The part of a pydantic location that stands in the file (it adds union member names)."""
    shown: list[str | int] = []
    for step in loc:
        inside = tree[step] if _has(tree, step) else None
        if _has(tree, step) or step == loc[-1]:
            shown.append(step)
        tree = inside if inside is not None else tree
    return tuple(shown)


def _has(tree: Any, step: str | int) -> bool:
    if isinstance(tree, dict):
        return step in tree
    return isinstance(tree, list) and isinstance(step, int) and step < len(tree)


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _dotted(path: Where) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


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
    missing: set[str] = set()
    for field in _secret_fields(settings):
        value = raw.get(field)
        if isinstance(value, str) and not _REFERENCE.fullmatch(value):
            report.add((*at, field), "a secret does not belong in a file; write ${NAME} instead")
            return None
    values = _expand({**raw, "type": kind}, environ, missing)
    if missing:
        return Dormant(kind, " and ".join(sorted(missing)))
    return report.validate(settings, values, at)


def _secret_fields(settings: type[ProviderSettings]) -> list[str]:
    return [
        name
        for name, field in settings.model_fields.items()
        if SecretStr in _members(field.annotation)
    ]


def _expand(value: Any, environ: Mapping[str, str], missing: set[str]) -> Any:
    """``${NAME}`` and ``${NAME:-default}`` in every string; unset names go into ``missing``."""
    if isinstance(value, dict):
        return {key: _expand(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, missing) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = environ.get(match[1]) or match[2]
        if found is None:
            missing.add(match[1])
        return found or ""

    return _REFERENCE.sub(replace, value)


# References between the parts


def _check_references(report: _Report, config: GatewayConfig, strategies: frozenset[str]) -> None:
    models, tasks = list(config.models), list(config.tasks)
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
        for target in model.weights.keys() - set(model.targets):
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
