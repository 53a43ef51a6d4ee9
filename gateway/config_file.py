"""Reads the configuration: one YAML file, checked whole before any of it is believed.

Unknown keys are errors with a near name, secrets are references to the environment, and every
problem is a sentence with file, line and path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from .budget import budget_id, parse_window, scope_text
from .budget_words import check_names
from .config import GatewayConfig, LoadedConfig, ModelConfig
from .config_providers import read_providers
from .config_report import Report, did_you_mean
from .config_yaml import Where, parse_yaml
from .contracts import ProviderSettings
from .errors import ConfigError

AUTO = "auto"


def bundled_config_dir() -> Path:
    """``config/`` of the checkout, or its copy inside an installed package."""
    package = Path(__file__).resolve().parent
    packaged = package / "_config"
    return packaged if packaged.is_dir() else package.parent / "config"


def default_config_path() -> Path:
    """The configuration that comes with the gateway."""
    return bundled_config_dir() / "gateway.yaml"


def load_config(
    path: Path,
    settings_of: Mapping[str, type[ProviderSettings]],
    strategies: frozenset[str],
    environ: Mapping[str, str],
) -> LoadedConfig:
    """Read and check a file. Raises ConfigError with everything that is wrong, not the first.

    ``settings_of`` are the registered provider types, ``strategies`` the registered names.
    """
    text = _read_text(path)
    tree, lines = parse_yaml(text, str(path))
    report = Report(str(path), lines)
    config = report.validate(GatewayConfig, tree, ())
    live, dormant, notes = read_providers(report, tree, settings_of, environ)
    if config is not None:
        _check_references(report, config, strategies)
    if config is None or report.problems:
        raise ConfigError(*report.problems)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return LoadedConfig(config, live, dormant, version, str(path), tuple(notes))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def disabled_plugins(path: Path) -> tuple[str, ...]:
    """``plugins.disabled`` alone: needed before plugins are imported, so before the full check."""
    tree, _ = parse_yaml(_read_text(path), str(path))
    plugins = tree.get("plugins") if isinstance(tree, dict) else None
    disabled = plugins.get("disabled") if isinstance(plugins, dict) else None
    return tuple(map(str, disabled)) if isinstance(disabled, list) else ()


# References between the parts


def _check_references(report: Report, config: GatewayConfig, strategies: frozenset[str]) -> None:
    models, tasks, tasks_by_name = list(config.models), list(config.tasks), config.tasks.items()
    for kind, names in (("models", models), ("tasks", tasks)):
        if AUTO in names:
            report.add((kind, AUTO), "this name is taken: it asks for the task to be told")
    for name, model in config.models.items():
        if name in config.tasks:
            report.add(("tasks", name), "is the name of a model too; one name means one thing")
        _check_model(report, ("models", name), model, config.providers.keys())
        _check_strategy(report, ("models", name), model.strategy, strategies)
    for name, task in config.tasks.items():
        at: Where = ("tasks", name)
        for index, model_name in enumerate(task.models):
            if model_name not in config.models:
                near = did_you_mean(model_name, models)
                report.add((*at, "models", index), f"no model is called {model_name!r}{near}")
        _check_strategy(report, at, task.strategy, strategies)
    for path, value, known in (
        (("auto", "default_task"), config.auto.default_task, tasks),
        (("rehearsal_model",), config.rehearsal_model, models),
        (("money", "baseline_model"), config.money.baseline_model, models),
        *((("tasks", n, "baseline_model"), t.baseline_model, models) for n, t in tasks_by_name),
    ):
        if value is not None and value not in known:
            report.add(path, f"{value!r} is not configured{did_you_mean(value, known)}")
    _check_budgets(report, config)
    _check_limits(report, config)


def _check_budgets(report: Report, config: GatewayConfig) -> None:
    """Whether calls can be of what a budget names (keys are not the configuration's), and
    whether two budgets say different things of one node and window."""
    seen: dict[str, int] = {}
    for index, budget in enumerate(config.money.budgets):
        at: Where = ("money", "budgets", index)
        for level, value in budget.scope:
            if value != value.strip() or not value:
                report.add((*at, level), f"{value!r} is the {level} of no call: spaces are cut off")
        try:
            window = parse_window(budget.window, config.money.time_zone)
            check_names(budget.scope, config.tasks, None)
        except ValueError as error:
            report.add(at, str(error))
            continue
        first = seen.setdefault(budget_id(budget.scope, window), index)
        if first != index:
            report.add(
                at,
                f"{scope_text(budget.scope)} has a budget with the window {window} already: "
                f"money.budgets[{first}]; one of them has to go",
            )


def _check_limits(report: Report, config: GatewayConfig) -> None:
    """Whether calls can be of what a rule names (keys are not the configuration's), and whether
    two rules limit the same."""
    known = {
        "task": config.tasks.keys(),
        "model": config.models.keys(),
        "target": {target for model in config.models.values() for target in model.targets},
    }
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for index, rule in enumerate(config.limits.rules):
        at: Where = ("limits", "rules", index)
        for subject, value in rule.subjects:
            names = known.get(subject)
            if value != value.strip() or not value:
                report.add((*at, subject), f"{value!r} is the {subject} of no call")
            elif names is not None and value != "*" and value not in names:
                near = did_you_mean(value, names)
                report.add((*at, subject), f"no {subject} is called {value!r}{near}")
            elif subject == "key" and value != "*" and not value.startswith("key_"):
                report.add((*at, "key"), f"{value!r} is no key's id; 'daobo keys list' shows them")
        if (first := seen.setdefault(rule.subjects, index)) != index:
            report.add(
                at,
                f"limits.rules[{first}] has the same subjects already; one rule can say it all",
            )


def _check_model(report: Report, at: Where, model: ModelConfig, providers: Collection[str]) -> None:
    for index, target in enumerate(model.targets):
        provider, _, upstream_model = target.partition("/")
        if not upstream_model:
            report.add((*at, "targets", index), f"{target!r} is not provider/model")
        elif provider not in providers:
            near = did_you_mean(provider, providers)
            report.add((*at, "targets", index), f"no provider is called {provider!r}{near}")
    for field, named in (("weights", model.weights), ("target_prices", model.target_prices)):
        for target in sorted(named.keys() - set(model.targets)):
            report.add((*at, field, target), "is not among the targets")
    _check_price(report, (*at, "price"), model.price)
    for target, price in model.target_prices.items():
        _check_price(report, (*at, "target_prices", target), price)


def _check_price(report: Report, at: Where, price: object) -> None:
    if isinstance(price, str) and not all(price.partition("/")):
        report.add(at, f"{price!r} is neither a price nor family/model")


def _check_strategy(report: Report, at: Where, name: str, strategies: frozenset[str]) -> None:
    if name not in strategies:
        known = ", ".join(sorted(strategies))
        report.add((*at, "strategy"), f"no plugin provides {name!r}; there are {known}")
