"""One process from start to end: its listeners, its signals, and how calls under way finish."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from .app import Gateway
from .errors import ConfigError
from .server.listener import Listener

KEEPALIVE_TIMEOUT_S = 75.0
LISTEN_BACKLOG = 4096
"""A thousand streams may open at once; the default of 128 would make them wait a second."""
DRAIN_CHECK_S = 0.05
FAREWELL_S = 2.0
"""How long calls that were cut at the deadline may take to tell their clients."""

log = structlog.get_logger("daobo")


@dataclass(frozen=True)
class Listen:
    """Addresses of the two listeners; ``reuse_port`` lets several processes share them."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    reuse_port: bool = False


async def run(gateway: Gateway, listen: Listen, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let calls under way finish, within the configured
    ``shutdown_timeout_s``; those that do not are cut and say so. A second signal stops at once.
    Raises ConfigError if an address cannot be listened on."""
    public = Listener(
        gateway.public_app(),
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEPALIVE_TIMEOUT_S,
        shutdown_timeout=FAREWELL_S,
    )
    admin = web.AppRunner(gateway.admin_app(), access_log=None)
    stop = asyncio.Event()
    _on_signals(gateway, stop)
    watching = asyncio.ensure_future(gateway.watch())
    try:
        gateway.ledger.start()
        gateway.money_watch.auditor.start()
        await _listen(public, listen.host, listen.port, listen.reuse_port)
        await _listen(admin, listen.admin_host, listen.admin_port, listen.reuse_port)
        started()
        await stop.wait()
        log.info("stopping", calls_in_flight=gateway.permanent.in_flight.total)
    finally:
        gateway.draining = True
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for site in public.sites:
            await site.stop()
        # Answers say that their connection closes from now on: kept alive, it would go on bringing
        # calls.
        await _drain(gateway)
        if public.server is not None:
            public.server.pre_shutdown()  # a call on an idle one would find the upstreams closed
        await gateway.close_upstreams()
        await public.cleanup()
        await admin.cleanup()
        # Last, because calls that were cut have to be settled too.
        await gateway.close()
        if stop.is_set():
            log.info("stopped", calls_settled=gateway.ledger.tally.closed)


async def _drain(gateway: Gateway) -> None:
    """Wait until no call is under way, or for the deadline."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + gateway.rooms.loaded.config.server.shutdown_timeout_s
    # A poll, once in a life: an event would have to be kept up to date by every call.
    while gateway.permanent.in_flight.total and loop.time() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_CHECK_S)
    if cut := gateway.permanent.in_flight.total:
        log.warning("the deadline for stopping has passed; calls are cut", calls=cut)


async def _listen(runner: web.AppRunner, host: str, port: int, reuse_port: bool) -> None:
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, host, port, backlog=LISTEN_BACKLOG, reuse_port=reuse_port or None
        )
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. "
            "Is another gateway running? Choose another with --port and --admin-port."
        ) from None


def _on_signals(gateway: Gateway, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_stop() -> None:
        if stop.is_set():
            os._exit(1)
        gateway.draining = True
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, on_stop)
    loop.add_signal_handler(signal.SIGINT, on_stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.want_reload)
