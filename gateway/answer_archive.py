"""Where a process keeps answers: its memory or Redis, and the ledger's database for those that an
``Idempotency-Key`` stands for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from .answers.answers import Archive
from .answers.cache import Keeper
from .answers.memory import MemoryKeeper
from .answers.redis import RedisKeeper
from .config_limits import CacheConfig
from .kept import Kept
from .schema import Target
from .stores.idempotency_rows import IdempotencyRows
from .stores.redis_link import RedisLink, redis_link
from .telemetry.metrics import Metrics

log = structlog.get_logger("daobo")
_NOWHERE = Target("", "", "")


class AnswerArchive:
    """What outlives a configuration of the room of answers, opened and closed."""

    def __init__(
        self,
        metrics: Metrics,
        environ: Mapping[str, str],
        database_url: str,
        owner: str,
        report_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Nothing is opened yet. Raises ConfigError for an address of Redis that cannot be one.

        The link to Redis is not that of limits: behind a large answer, they would have to wait.
        """
        self._link: RedisLink | None = redis_link(environ, _redis_changed)
        self._memory = MemoryKeeper(time.monotonic, CacheConfig().max_bytes)
        self._rows = IdempotencyRows(database_url, owner, time.time, report_failure)
        keeper: Keeper = RedisKeeper(self._link) if self._link else self._memory
        self.archive = Archive(keeper, self._rows)
        self.parts = PartArchive(keeper, time.time)
        metrics.watch(
            "daobo_cache_bytes",
            "Answers kept in memory, all processes together.",
            lambda: self._memory.size_bytes,
        )

    def enter(self, config: CacheConfig) -> None:
        """From now on, these are the bounds."""
        self._memory.resize(config.max_bytes)

    def look(self) -> None:
        """What has to be done every second or so."""
        self._rows.look()

    async def end_calls(self) -> None:
        """Cut the calls that go on without their clients."""
        await self.archive.outliving.stop()

    async def stop(self, timeout_s: float) -> None:
        """Write down what is left."""
        await asyncio.gather(
            self._rows.stop(timeout_s), *([self._link.close()] if self._link else [])
        )


class PartArchive:
    """Answers to the parts of calls, beside those to whole calls: same keeper, same bound."""

    def __init__(self, keeper: Keeper, wall_clock: Callable[[], float]) -> None:
        self._keeper = keeper
        self._wall_clock = wall_clock

    async def get(self, key: str) -> bytes | None:
        kept = await self._keeper.get(f"part:{key}")
        return None if kept is None else kept.body

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """What they came from is in the value."""
        kept = Kept(self._wall_clock(), False, value, _NOWHERE, None)
        await self._keeper.put(f"part:{key}", kept, ttl_s)


def _redis_changed(is_up: bool, problem: str) -> None:
    if is_up:
        log.info("Redis is back: answers are kept there again")
    else:
        log.warning("Redis is gone: until it is back, no answer is kept or found", problem=problem)
