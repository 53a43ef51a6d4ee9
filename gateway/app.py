"""The running gateway: what outlives a configuration, its listeners, and how both end.

A reload builds a second set of rooms from the new file and swaps one reference; calls under way
end in the rooms that they began in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog
from aiohttp import web

from .answer_archive import AnswerArchive
from .assembly import Permanent, Rooms, build_rooms
from .chunking.answering.places import Places
from .config import LoadedConfig
from .config_file import disabled_plugins, load_config
from .connecting import Connected
from .contracts import Observer, RegisterObserver, RegisterStrategy
from .errors import CallError, ConfigError, Outcome
from .hookspecs import hookimpl
from .limit_stores import LimitStores
from .limits.in_flight import InFlight
from .limits.overload import Overload
from .money.budgets import configured_budgets, task_shares
from .money.recovery import closing_of_orphan
from .money_watch import MoneyWatch
from .plugins import discover
from .provider_watch import ProviderWatch
from .report import ReportQuery, ReportResult, ReportTerms
from .routing import strategies
from .routing.classifier import Classifier
from .routing.latency import Latency
from .server.admin import Admin, Known, nothing_there
from .server.door import Door, Serving
from .server.doorstep import Doorstep
from .server.quotes import QuoteDesk
from .server.report import admin_report
from .server.targets import admin_targets
from .server.turnstile import Turnstile
from .stores.budget_store import BudgetStore
from .stores.checkpoints import Checkpoints
from .stores.connections import StoreUnavailable
from .stores.group_commit import GroupCommit
from .stores.keys import KeyFile, KeyRing
from .stores.opening import connector, database_url, ledger_store
from .stores.quote_rows import QuoteRows
from .target_watch import TargetWatch
from .telemetry import workers
from .telemetry.batches import RecordBatches
from .telemetry.exposition import CONTENT_TYPE
from .telemetry.loop_lag import LoopLag
from .telemetry.metrics import Metrics

WATCH_INTERVAL_S = 1.0
LEDGER_FAREWELL_S = 10.0
"""How long a database that is away may keep a gateway from ending; what is not written down by
then is recovered by the next process."""

log = structlog.get_logger("daobo")


@dataclass(frozen=True)
class Options:
    """Where the gateway finds its configuration and keeps its state."""

    config_path: Path
    state: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    siblings: Path | None = None
    """Where the workers of one port find each other's counts; None for a single process."""


class CorePlugin:
    """The core's own strategies and observers, through the same hooks as everybody's."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    @hookimpl
    def register_strategies(self, register: RegisterStrategy) -> None:
        strategies.register_strategies(register)

    @hookimpl
    def register_observers(self, register: RegisterObserver) -> None:
        for observer in self._observers:
            register(observer)


class Gateway:
    """One process of the gateway."""

    def __init__(self, options: Options, call_log: Observer) -> None:
        """Raises ConfigError for anything that keeps it from starting."""
        self.options = options
        self.metrics = Metrics(version("daobo"))
        latency = Latency()
        self.registry = discover(
            disabled_plugins(options.config_path),
            core=[("core", CorePlugin((self.metrics, call_log, latency)))],
        )
        self._loaded_stamp = _stamp(options.config_path)
        loaded = self.load()
        server = loaded.config.server
        self.database_url = database_url(options.environ, options.state)
        self._books = ledger_store(self.database_url, time.time)
        self.ledger = GroupCommit(self._books, StoreUnavailable, closing_of_orphan, _report_failure)
        self.records = RecordBatches(self.registry.observers, _report_failure)
        self.money_watch = MoneyWatch(
            self.metrics,
            self.ledger,
            self._books,
            connector(self.database_url),
            Checkpoints(self.database_url),
            options.state,
        )
        self.answers = AnswerArchive(
            self.metrics, options.environ, self.database_url, self._books.owner, _report_failure
        )
        self.limit_stores = LimitStores(self.metrics, options.environ, _report_failure)
        self.targets = TargetWatch(self.metrics, loaded.config)
        self.providers = ProviderWatch(self.metrics, self.registry, options.environ)
        self.permanent = Permanent(
            registry=self.registry,
            health=self.targets.health,
            retry_budget=self.targets.retry_budget,
            records=self.records,
            archive=self.answers.archive,
            part_store=self.answers.parts,
            places=Places(),
            latency=latency,
            ledger=self.ledger,
            limit_stores=self.limit_stores,
            in_flight=InFlight(server.max_in_flight, server.max_in_flight_per_key),
            classifier=Classifier.load(),
            connector=self.providers.connector,
            price_cache=options.state / "prices.json",
            report_failure=_report_failure,
        )
        self.key_file = KeyFile(options.state)
        self.ring = KeyRing(
            self.key_file,
            loaded.config.keys.project,
            options.environ.get("DAOBO_KEY"),
            options.environ.get("DAOBO_ADMIN_KEY"),
        )
        doorstep = self.doorstep = Doorstep(time.monotonic)
        overload = Overload(
            self.permanent.in_flight,
            server.overload.max_loop_lag_s,
            lambda: doorstep.waiting,
        )
        self.overload = overload
        self.loop_lag = LoopLag(
            time.perf_counter, lambda lag_s: overload.loop_was_late(lag_s, doorstep.longest_wait_s)
        )
        self.metrics.watch_overload(
            self.loop_lag.quantiles, lambda: overload.shed, lambda: overload.bound
        )
        self.draining = False
        self._retired: list[tuple[float, Connected]] = []
        self._reload_wanted = asyncio.Event()
        self._enter(build_rooms(loaded, self.permanent, {}))

    def load(self) -> LoadedConfig:
        """Read and check the configuration. Raises ConfigError."""
        return load_config(
            self.options.config_path,
            {name: settings for name, (settings, _) in self.registry.providers.items()},
            frozenset(self.registry.strategies),
            self.options.environ,
        )

    def _enter(self, rooms: Rooms) -> None:
        """From now on, calls go through ``rooms``."""
        self.rooms = rooms
        if rooms.price_problem:
            log.warning("the price cache could not be used", problem=rooms.price_problem)
        config = rooms.loaded.config
        self.permanent.in_flight.max_in_flight = config.server.max_in_flight
        self.permanent.in_flight.max_per_key = config.server.max_in_flight_per_key
        self.answers.enter(config.cache)
        self.overload.max_lag_s = config.server.overload.max_loop_lag_s
        self.targets.enter(rooms)
        self.providers.enter(rooms.connected, rooms.pace)
        self._books.want_budgets(configured_budgets(config), task_shares(config))
        self.metrics.set_known(config.tasks, config.models, config.providers)
        self.metrics.config_loaded(rooms.loaded.version, time.time())

    async def reload(self) -> None:
        """Swap in the file as it is now. A bad one is reported and the old one stays."""
        before = self.rooms
        try:
            loaded = await asyncio.to_thread(self.load)
            self.providers.restore()
            if loaded.version == before.loaded.version:
                return
            # In a thread: prices of models that were not there before take a tenth of a second.
            rooms = await asyncio.to_thread(build_rooms, loaded, self.permanent, before.connected)
        except ConfigError as error:
            self.metrics.config_rejected()
            log.error("the new configuration is not used", problems=list(error.problems))
            return
        except Exception as error:  # a plugin's fault must not end the watch over keys and files
            self.metrics.config_rejected()
            log.error("the new configuration cannot be used", exc_info=error)
            return
        self._enter(rooms)
        log.info("configuration loaded", version=loaded.version)
        kept = set(map(id, rooms.connected.values()))
        now_s = time.monotonic()
        self._retired += [
            (now_s + connected.settings.total_timeout_s, connected)
            for connected in before.connected.values()
            if id(connected) not in kept
        ]

    def serving(self) -> Serving:
        return self.rooms.serving

    def not_ready(self) -> str | None:
        return "the gateway is shutting down" if self.draining else None

    def public_app(self) -> web.Application:
        """The listener for clients. Plugins may add to it before the catch-all route."""
        app = web.Application(client_max_size=self.rooms.loaded.config.server.max_body_bytes)
        self.registry.configure_app(app=app, config=self.rooms.loaded.config)
        quotes = QuoteDesk(QuoteRows(self.database_url), self.ledger)
        door = Door(
            self.serving,
            self.ring,
            quotes,
            self.overload,
            self.doorstep,
            self.not_ready,
            time.time,
            time.monotonic,
        )
        door.add_to(app)
        return app

    def turnstile(self) -> Turnstile:
        """For the connections of clients."""
        return Turnstile(self.ring, self.overload, lambda: self.draining, time.time)

    def admin_app(self) -> web.Application:
        """The listener for operators."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", _healthy)
        book = BudgetStore(self.database_url, time.time)
        admin = Admin(self.ring, book, self._known, time.time, _report_failure)
        admin.add_to(app)
        reports = admin.guarded(partial(admin_report, run=self._report))
        app.router.add_get("/admin/report", reports)
        targets = partial(
            admin_targets,
            rows=lambda: self.targets.rows(self.rooms),
            retry_budget=self.targets.budget,
        )
        app.router.add_get("/admin/targets", admin.guarded(targets))
        app.router.add_route("*", "/{path:(?s:.*)}", nothing_there(app))
        return app

    def _report(self, query: ReportQuery) -> ReportResult:
        # Imported here: SQLAlchemy is for those who ask.
        from .stores.reports import report

        money = self.rooms.loaded.config.money
        terms = ReportTerms(money.time_zone, money.currency, int(time.time()))
        try:
            return report(self.database_url, query, terms)
        except ValueError as error:
            raise CallError(Outcome.INVALID_REQUEST, str(error)) from None

    def _known(self) -> Known:
        config = self.rooms.loaded.config
        return Known(config.tasks, self.ring.ids, config.money.time_zone)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._catch_up()
        siblings, shared = self.options.siblings, await self.money_watch.shared()
        body = await (
            self.metrics.scrape(shared)
            if siblings is None
            else workers.scrape(siblings, shared=shared)
        )
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE})

    @contextlib.asynccontextmanager
    async def counted_by_siblings(self) -> AsyncIterator[None]:
        """Tell the other workers this one's counts for as long as the context lasts."""
        if self.options.siblings is None:
            yield
        else:
            async with workers.serve_snapshots(self.options.siblings, self._counts):
                yield

    def _counts(self) -> bytes:
        self._catch_up()
        return self.metrics.snapshot()

    def _catch_up(self) -> None:
        """Count what has happened and is not counted yet."""
        self.records.flush()
        self.money_watch.count_recovered()

    async def close_upstreams(self) -> None:
        """Cut what is under way. A second time changes nothing."""
        retired = [connected for _, connected in self._retired]
        await _close([*self.rooms.connected.values(), *retired])

    async def close(self) -> None:
        """The end: all that happened is written down."""
        await self.close_upstreams()
        await self.answers.end_calls()
        await asyncio.gather(
            self.answers.stop(LEDGER_FAREWELL_S),
            self.ledger.stop(LEDGER_FAREWELL_S),
            self.money_watch.stop(),
            self.limit_stores.close(),
        )
        self.records.flush()

    async def watch(self) -> None:
        """Follow the configuration and the key file until cancelled.

        A look at two files a second is cheaper than it sounds and also sees what notifications
        miss: mounted volumes, symlinks that are swapped.
        """
        seen = self._loaded_stamp
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    await self._reload_wanted.wait()
            self._refresh_keys()
            await self.money_watch.look()
            self.answers.look()
            await self._close_retired(time.monotonic())
            if (stamp := _stamp(self.options.config_path)) != seen or self._reload_wanted.is_set():
                seen = stamp
                self._reload_wanted.clear()
                await self.reload()

    def want_reload(self) -> None:
        self._reload_wanted.set()

    def _refresh_keys(self) -> None:
        try:
            self.ring.refresh()
        except ConfigError as error:
            log.error("the keys stay as they were", problem=str(error))

    async def _close_retired(self, now_s: float) -> None:
        """Close upstreams that nothing new goes to, once what was under way must have ended."""
        due = [connected for close_at_s, connected in self._retired if close_at_s <= now_s]
        self._retired = [entry for entry in self._retired if entry[0] > now_s]
        await _close(due)


async def _close(upstreams: Iterable[Connected]) -> None:
    for connected in upstreams:
        try:
            await connected.close()
        except Exception as error:  # a plugin's fault must not keep the others open
            log.error("an upstream could not be closed", exc_info=error)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None while it is missing."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _report_failure(what: str, error: BaseException) -> None:
    log.error(what, exc_info=error)


async def _healthy(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
