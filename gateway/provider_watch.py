"""What is shown of the accounts at providers: calls that wait, targets parked, keys retired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from .connecting import Connected, Connector
from .limits.pacing import Tally
from .limits.turns import Pace
from .plugins import Registry
from .telemetry.metrics import Metrics

PROVIDER = ("gen_ai_provider_name",)

log = structlog.get_logger("daobo")


class ProviderWatch:
    """Of one process, whatever its configuration."""

    def __init__(self, metrics: Metrics, registry: Registry, environ: Mapping[str, str]) -> None:
        self._tallies: dict[str, Tally] = {}
        self._connected: Mapping[str, Connected] = {}
        self.connector = Connector(registry, environ, _tell, self._tallies)
        self._watch_waits(metrics)
        self._watch_accounts(metrics)

    def enter(self, connected: Mapping[str, Connected], pace: Pace) -> None:
        """Another configuration: who is connected now, and the limits that they go by."""
        self._connected = connected
        for provider in connected.values():
            provider.follow(pace)

    def restore(self) -> None:
        """Somebody has asked for a reload, perhaps after mending a key: all count as good."""
        for connected in self._connected.values():
            connected.pool.restore()

    def _watch_waits(self, metrics: Metrics) -> None:
        metrics.watch(
            "daobo_pacing_waiting",
            "Calls that wait for a turn at a provider.",
            lambda: {(name,): c.pool.waiting for name, c in self._connected.items()},
            labels=PROVIDER,
        )
        metrics.watch(
            "daobo_pacing_waits",
            "Calls that had to wait for a turn at a provider, got it or not.",
            lambda: {(name,): tally.waited for name, tally in self._tallies.items()},
            kind="counter",
            labels=PROVIDER,
        )
        metrics.watch(
            "daobo_pacing_wait_seconds",
            "How long they waited together.",
            lambda: {(name,): tally.waited_s for name, tally in self._tallies.items()},
            kind="counter",
            labels=PROVIDER,
        )
        metrics.watch(
            "daobo_pacing_refusals",
            "Calls that were told that their turn at a provider does not come in time.",
            lambda: {(name,): tally.refused for name, tally in self._tallies.items()},
            kind="counter",
            labels=PROVIDER,
        )

    def _watch_accounts(self, metrics: Metrics) -> None:
        metrics.watch(
            "daobo_provider_targets_parked",
            "Targets that are left alone because the provider had too many requests.",
            lambda: {(name,): c.pool.parked_targets for name, c in self._connected.items()},
            labels=PROVIDER,
        )
        metrics.watch(
            "daobo_provider_keys_retired",
            "Keys that the provider refuses, for all targets or for some.",
            lambda: {(name,): c.pool.retired_keys for name, c in self._connected.items()},
            merge="max",
            labels=PROVIDER,
        )


def _tell(sentence: str, fields: Mapping[str, Any]) -> None:
    log.error(sentence, **fields)
