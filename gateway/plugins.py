"""Finds plugins by entry point, calls their hooks once, and returns a frozen registry.

One mechanism for everybody: bundled plugins are entry points of this distribution, third-party
ones of theirs. A broken plugin stops the start-up with one sentence; ``plugins.disabled`` is the
way out and is honoured before the import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import pluggy

from . import hookspecs
from .contracts import Observer, ProviderClass, ProviderSettings, Strategy
from .errors import ConfigError

GROUP = "gateway"


@dataclass(frozen=True)
class PluginInfo:
    """One plugin and what it handed over, for ``daobo plugins``."""

    name: str
    distribution: str
    version: str
    registered: tuple[str, ...]


@dataclass(frozen=True)
class Registry:
    """Everything that plugins handed over. Nothing is added after start-up."""

    providers: Mapping[str, tuple[type[ProviderSettings], ProviderClass]]
    strategies: Mapping[str, Strategy]
    observers: tuple[Observer, ...]
    plugins: tuple[PluginInfo, ...]
    configure_app: Callable[..., Any]


class _Collector:
    """Collects one plugin's registrations and refuses a name that is taken."""

    def __init__(self) -> None:
        self.providers: dict[str, tuple[type[ProviderSettings], ProviderClass]] = {}
        self.strategies: dict[str, Strategy] = {}
        self.observers: list[Observer] = []
        self.log: list[str] = []

    def register_provider(
        self, name: str, settings: type[ProviderSettings], provider: ProviderClass
    ) -> None:
        if name in self.providers:
            raise ConfigError(f"the provider type {name!r} is registered already")
        self.providers[name] = (settings, provider)
        self.log.append(f"provider {name}")

    def register_strategy(self, name: str, strategy: Strategy) -> None:
        if name in self.strategies:
            raise ConfigError(f"the strategy {name!r} is registered already")
        self.strategies[name] = strategy
        self.log.append(f"strategy {name}")

    def register_observer(self, observer: Observer) -> None:
        self.observers.append(observer)
        self.log.append(f"observer {getattr(observer, '__name__', type(observer).__name__)}")


def discover(
    disabled: Collection[str] = (),
    core: Iterable[tuple[str, object]] = (),
    found: Iterable[EntryPoint] | None = None,
) -> Registry:
    """Load every plugin that is not ``disabled`` and collect what it registers.

    ``core`` are the gateway's own plugins, which come in through the same hooks. ``found``
    replaces the installed entry points. Raises ConfigError.
    """
    points = sorted(entry_points(group=GROUP) if found is None else found, key=lambda p: p.name)
    if not points:
        raise ConfigError(
            "no plugin is installed, so there is no provider to send anything to. "
            "From a checkout, run: pip install -e ."
        )
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    collector = _Collector()
    infos = []
    for name, plugin in core:
        infos.append(_take(manager, collector, name, plugin, "daobo (core)", _own_version()))
    for point in points:
        if point.name in disabled:
            continue
        distribution = point.dist.name if point.dist else "unknown distribution"
        version = point.dist.version if point.dist else "?"
        try:
            plugin = point.load()
        except Exception as error:
            raise ConfigError(_broken(point, distribution, f"cannot be imported: {error!r}")) from (
                error
            )
        try:
            infos.append(_take(manager, collector, point.name, plugin, distribution, version))
        except Exception as error:
            raise ConfigError(_broken(point, distribution, f"failed to register: {error}")) from (
                error
            )
    return Registry(
        MappingProxyType(collector.providers),
        MappingProxyType(collector.strategies),
        tuple(collector.observers),
        tuple(infos),
        manager.hook.configure_app,
    )


def _take(
    manager: pluggy.PluginManager,
    collector: _Collector,
    name: str,
    plugin: object,
    distribution: str,
    version: str,
) -> PluginInfo:
    if manager.has_plugin(name):
        raise ConfigError(f"another plugin is called {name!r} too")
    manager.register(plugin, name)
    manager.check_pending()
    collector.log = []
    for hook, register in (
        ("register_providers", collector.register_provider),
        ("register_strategies", collector.register_strategy),
        ("register_observers", collector.register_observer),
    ):
        others = [other for other in manager.get_plugins() if other is not plugin]
        manager.subset_hook_caller(hook, others)(register=register)
    if any(caller.name == "configure_app" for caller in manager.get_hookcallers(plugin) or ()):
        collector.log.append("app hook")
    return PluginInfo(name, distribution, version, tuple(collector.log))


def _broken(point: EntryPoint, distribution: str, why: str) -> str:
    return (
        f"the plugin {point.name!r} ({point.value}, from {distribution}) {why}. "
        f"Mend or uninstall it, or add {point.name!r} to plugins.disabled."
    )


def _own_version() -> str:
    from importlib.metadata import version

    return version("daobo")
