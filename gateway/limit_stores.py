"""Where limits are counted: what outlives a configuration, and what is shown of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from .config_limits import LimitsConfig
from .limits.buckets import BucketStore
from .limits.count_here import CountHere
from .limits.memory_buckets import MemoryBuckets
from .limits.redis_buckets import RedisBuckets
from .stores.redis_link import Script, redis_link
from .telemetry.metrics import Metrics

log = structlog.get_logger("daobo")


class LimitStores:
    """Buckets in this process and, if the environment names a Redis, there."""

    def __init__(
        self,
        metrics: Metrics,
        environ: Mapping[str, str],
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Raises ConfigError for a DAOBO_REDIS_URL that is none."""
        self._refusals: dict[tuple[str, ...], int] = {}
        self._counted_here = 0
        self._here = MemoryBuckets(time.monotonic)
        self.link = redis_link(environ, _tell)
        self._shared = RedisBuckets(self.link, Script, report_failure) if self.link else None
        self._watch(metrics)

    @property
    def are_shared(self) -> bool:
        """Other processes count in them, too."""
        return self._shared is not None

    def buckets(self, config: LimitsConfig) -> BucketStore:
        """The store that a configuration asks for."""
        if self._shared is None:
            return self._here
        if config.when_redis_is_gone == "refuse":
            return self._shared
        return CountHere(self._shared, self._here, self._count_here)

    def refused(self, rule: str, kind: str) -> None:
        """Count a call that a limit refused."""
        self._refusals[rule, kind] = self._refusals.get((rule, kind), 0) + 1

    async def close(self) -> None:
        """Settle what is not settled, and leave Redis."""
        if self._shared is not None:
            await self._shared.close()
        if self.link is not None:
            await self.link.close()

    def _count_here(self) -> None:
        self._counted_here += 1

    def _watch(self, metrics: Metrics) -> None:
        metrics.watch(
            "daobo_limit_refusals",
            "Calls that a limit refused, by its place in the configuration.",
            lambda: self._refusals,
            kind="counter",
            labels=("rule", "kind"),
        )
        if (link := self.link) is None:
            return
        metrics.watch(
            "daobo_redis_up",
            "0 while Redis, where limits are counted, cannot be used.",
            lambda: int(link.up),
            merge="min",
        )
        metrics.watch(
            "daobo_limits_counted_here",
            "Calls whose limits a process counted for itself because Redis was gone.",
            lambda: self._counted_here,
            kind="counter",
        )


def _tell(is_up: bool, problem: str) -> None:
    if is_up:
        log.info("Redis is back; limits are counted there again")
    else:
        log.warning(
            "Redis cannot be used; limits.when_redis_is_gone says what becomes of calls",
            problem=problem,
        )
