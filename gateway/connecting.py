"""Connects the live providers: an upstream for each, and an account for each of its keys.

A provider whose settings are the same after a reload stays connected, with its connections, its
queues and what it has told of its limits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .contracts import EmbeddedProvider, ProviderSettings, Upstream
from .errors import ConfigError
from .limits.pacing import Pacer, Tally
from .limits.turns import Pace
from .plugins import Registry
from .upstream.accounts import Account, AccountPool
from .upstream.dialing import proxy_for
from .upstream.pool import ConnectionPool
from .upstream.retirement import Tell

Providers = Mapping[str, Mapping[str, Any]]
"""For each live entry of ``providers:`` its accounts: who translates for each, by its name."""


@dataclass(frozen=True)
class Connected:
    """A live provider with what a reload leaves alone while its settings are the same."""

    settings: ProviderSettings
    translators: Mapping[str, Any]
    """By account."""
    pool: AccountPool
    pacers: tuple[Pacer, ...]

    @property
    def provider(self) -> Any:
        return next(iter(self.translators.values()))

    @property
    def upstream(self) -> Upstream:
        return self.pool.upstream

    def follow(self, pace: Pace) -> None:
        """The limits of another configuration are in effect from now on."""
        for pacer in self.pacers:
            pacer.follow(pace)

    async def close(self) -> None:
        await self.pool.close()


@dataclass(frozen=True)
class Connector:
    """What connecting needs and no configuration changes."""

    registry: Registry
    environ: Mapping[str, str]
    alarm: Tell
    tallies: dict[str, Tally]
    """The waits of each provider."""

    def translators(
        self, live: Mapping[str, ProviderSettings], before: Mapping[str, Connected]
    ) -> dict[str, Mapping[str, Any]]:
        """Who translates for each account; those with the same settings are the same objects.
        Raises ConfigError."""
        found: dict[str, Mapping[str, Any]] = {}
        for name, settings in live.items():
            known = before.get(name)
            if known is not None and known.settings == settings:
                found[name] = known.translators
            else:
                found[name] = {
                    account: self._translator(own) for account, own in accounts_of(name, settings)
                }
        return found

    def connect(
        self,
        live: Mapping[str, ProviderSettings],
        translators: Providers,
        before: Mapping[str, Connected],
        pace: Pace,
    ) -> dict[str, Connected]:
        connected = {}
        for name, settings in live.items():
            known = before.get(name)
            if known is None or known.translators is not translators[name]:
                known = self._connect(name, settings, translators[name], pace)
            connected[name] = known
        return connected

    def _translator(self, settings: ProviderSettings) -> Any:
        provider = self.registry.providers[settings.type][1](settings)
        if not isinstance(getattr(provider, "root", None), str):
            raise ConfigError(
                f"the provider type {settings.type!r} lacks the attribute 'root', the base "
                "URL in effect (see plugins/README.md)"
            )
        return provider

    def _connect(
        self, name: str, settings: ProviderSettings, translators: Mapping[str, Any], pace: Pace
    ) -> Connected:
        tally = self.tallies.setdefault(name, Tally())
        pacers = {
            account: Pacer(account, settings, pace, tally, time.monotonic, random.random)
            for account in translators
        }
        accounts = [
            Account(account, translator, pacers[account], time.monotonic, self.alarm)
            for account, translator in translators.items()
        ]
        upstream = self._upstream(next(iter(translators.values())), settings)
        pool = AccountPool(accounts, upstream, settings.timeouts)
        return Connected(settings, translators, pool, tuple(pacers.values()))

    def _upstream(self, provider: Any, settings: ProviderSettings) -> Upstream:
        if isinstance(provider, EmbeddedProvider):
            return provider.open_upstream()
        return ConnectionPool(
            max_connections=settings.max_connections,
            proxy_url=proxy_for(provider.root, self.environ),
        )


def accounts_of(name: str, settings: ProviderSettings) -> Iterator[tuple[str, ProviderSettings]]:
    """The accounts of an entry, each with the settings of an entry that has only its key: one of
    several keys is named by its place, one that is not set or that came before is left out."""
    if not settings.api_keys:
        yield name, settings
        return
    seen = set()
    for number, key in enumerate(settings.api_keys, 1):
        text = key.get_secret_value()
        if text and text not in seen:
            seen.add(text)
            own = settings.model_copy(update={"api_key": key, "api_keys": ()})
            yield f"{name}#{number}", own
