"""Finds plugins by entry point, calls their hooks once, and returns a frozen registry.

One mechanism for everybody: bundled plugins are entry points of this distribution, third-party
ones of theirs. A broken plugin stops the start-up with one sentence; ``plugins.disabled`` is the
way out and is honoured before the import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from itertools import pairwise
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
        self._plugin = ""
        self._owners: dict[tuple[str, str], str] = {}

    def register_provider(
        self, name: str, settings: type[ProviderSettings], provider: ProviderClass
    ) -> None:
        if not (isinstance(settings, type) and issubclass(settings, ProviderSettings)):
            raise ConfigError(f"the settings of {name!r} are no subclass of ProviderSettings")
        self._claim("provider type", name)
        self.providers[name] = (settings, provider)
        self.log.append(f"provider {name}")

    def register_strategy(self, name: str, strategy: Strategy) -> None:
        self._claim("strategy", name)
        self.strategies[name] = strategy
        self.log.append(f"strategy {name}")

    def register_observer(self, observer: Observer) -> None:
        self.observers.append(observer)
        self.log.append(f"observer {getattr(observer, '__name__', type(observer).__name__)}")

    def begin(self, plugin: str) -> None:
        """From here on, whatever is registered comes from ``plugin``."""
        self._plugin = plugin
        self.log = []

    def _claim(self, kind: str, name: str) -> None:
        if owner := self._owners.get((kind, name)):
            raise ConfigError(f"the {kind} {name!r} is registered already, by {owner!r}")
        self._owners[kind, name] = self._plugin


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
    enabled = [point for point in points if point.name not in disabled]
    _refuse_duplicates(enabled)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    collector = _Collector()
    infos = [
        _take(manager, collector, name, plugin, "daobo (core)", version("daobo"))
        for name, plugin in core
    ]
    infos += [_take_installed(manager, collector, point) for point in enabled]
    return Registry(
        MappingProxyType(collector.providers),
        MappingProxyType(collector.strategies),
        tuple(collector.observers),
        tuple(infos),
        manager.hook.configure_app,
    )


def _take_installed(
    manager: pluggy.PluginManager, collector: _Collector, point: EntryPoint
) -> PluginInfo:
    """Import and register; whatever a plugin raises becomes one sentence with its name."""
    try:
        plugin = point.load()
    except Exception as error:
        raise _broken(point, f"cannot be imported: {error!r}") from error
    distribution_version = point.dist.version if point.dist else "?"
    try:
        return _take(
            manager, collector, point.name, plugin, _distribution(point), distribution_version
        )
    except Exception as error:
        why = " ".join(str(error).split()) or repr(error)
        raise _broken(point, f"failed to register: {why}") from error


def _take(
    manager: pluggy.PluginManager,
    collector: _Collector,
    name: str,
    plugin: object,
    distribution: str,
    distribution_version: str,
) -> PluginInfo:
    if manager.has_plugin(name):
        raise ConfigError(f"another plugin is called {name!r} too")
    manager.register(plugin, name)
    manager.check_pending()
    collector.begin(name)
    for hook, register in (
        ("register_providers", collector.register_provider),
        ("register_strategies", collector.register_strategy),
        ("register_observers", collector.register_observer),
    ):
        others = [other for other in manager.get_plugins() if other is not plugin]
        manager.subset_hook_caller(hook, others)(register=register)
    if any(caller.name == "configure_app" for caller in manager.get_hookcallers(plugin) or ()):
        collector.log.append("app hook")
    return PluginInfo(name, distribution, distribution_version, tuple(collector.log))


def _refuse_duplicates(points: list[EntryPoint]) -> None:
    """``points`` are sorted by name."""
    for one, other in pairwise(points):
        if one.name == other.name:
            raise ConfigError(
                f"two plugins are called {one.name!r}: {one.value} from {_distribution(one)} and "
                f"{other.value} from {_distribution(other)}. Uninstall one of them."
            )


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown distribution"


def _broken(point: EntryPoint, why: str) -> ConfigError:
    return ConfigError(
        f"the plugin {point.name!r} ({point.value}, from {_distribution(point)}) {why}. "
        f"Mend or uninstall it, or add {point.name!r} to plugins.disabled."
    )
