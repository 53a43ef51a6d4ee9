"""One process from start to end: its listeners, its signals, and how calls under way finish."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from .app import Gateway
from .config import ServerConfig
from .errors import ConfigError
from .server.acceptor import Acceptor
from .server.listener import Listener
from .server.shedding import SheddingConnection
from .workers import lifeline

LISTEN_BACKLOG = 4096
"""A thousand streams may open at once; the default of 128 would make them wait a second."""
OPERATORS = ServerConfig(max_connections=1000)
"""Connections of the operators' listener, whatever the configuration says of the clients'."""
DRAIN_CHECK_S = 0.05
FAREWELL_S = 2.0
"""How long calls that were cut at the deadline may take to tell their clients."""
GARBAGE_THRESHOLDS = (20_000, 50, 100)
"""Allocations, and collections of the younger generations, between two collections."""

log = structlog.get_logger("daobo")


@dataclass(frozen=True)
class Listen:
    """Addresses of the two listeners; ``reuse_port`` lets several processes share them."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    reuse_port: bool = False


def calm_garbage_collector() -> None:
    """What was built at start stays, so it is not searched again; calls leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


async def run(gateway: Gateway, listen: Listen, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let calls under way finish, within the configured
    ``shutdown_timeout_s``; those that do not are cut and say so. A second signal stops at once.
    Raises ConfigError if an address cannot be listened on."""
    _want_descriptors()
    public = Listener(
        gateway.public_app(),
        lambda: gateway.rooms.loaded.config.server,
        partial(SheddingConnection, gateway.turnstile()),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=FAREWELL_S,
    )
    admin = Listener(
        gateway.admin_app(), lambda: OPERATORS, access_log=None, shutdown_timeout=FAREWELL_S
    )
    entrances: list[Acceptor] = []
    admin_entrances: list[Acceptor] = []
    stop = asyncio.Event()
    _on_signals(gateway, stop)
    watching = asyncio.ensure_future(gateway.watch())
    try:
        gateway.loop_lag.start()
        gateway.ledger.start()
        gateway.money_watch.auditor.start()
        entrances += await _listen(public, listen.host, listen.port, listen.reuse_port)
        admin_entrances += await _listen(
            admin, listen.admin_host, listen.admin_port, listen.reuse_port
        )
        started()
        await stop.wait()
        log.info("stopping", calls_in_flight=gateway.permanent.in_flight.total)
        # Balancers send calls until they have seen /readyz; those are answered.
        await asyncio.sleep(gateway.rooms.loaded.config.server.ready_delay_s)
    finally:
        gateway.draining = True
        gateway.loop_lag.stop()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for entrance in entrances:
            await entrance.stop()
        # Answers say that their connection closes from now on: kept alive, it would go on bringing
        # calls.
        await _drain(gateway)
        if public.server is not None:
            public.server.pre_shutdown()  # a call on an idle one would find the upstreams closed
        await gateway.close_upstreams()
        await public.cleanup()
        for entrance in admin_entrances:
            await entrance.stop()
        await admin.cleanup()
        # Last, because calls that were cut have to be settled too.
        await gateway.close()
        if stop.is_set():
            log.info("stopped", calls_settled=gateway.ledger.tally.closed)


def _want_descriptors() -> None:
    """As many as the process may have: shells often allow a thousand where ten times as many are
    to be had, and each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _drain(gateway: Gateway) -> None:
    """Wait until no call is under way, or for the deadline."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + gateway.rooms.loaded.config.server.shutdown_timeout_s
    # A poll, once in a life: an event would have to be kept up to date by every call.
    while gateway.permanent.in_flight.total and loop.time() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_CHECK_S)
    if cut := gateway.permanent.in_flight.total:
        log.warning("the deadline for stopping has passed; calls are cut", calls=cut)


async def _listen(listener: Listener, host: str, port: int, reuse_port: bool) -> list[Acceptor]:
    await listener.setup()
    assert listener.server is not None
    try:
        sockets = await _bound(host, port, reuse_port)
        return [Acceptor(each, LISTEN_BACKLOG, listener.server) for each in sockets]
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. "
            "Is another gateway running? Choose another with --port and --admin-port."
        ) from None


async def _bound(host: str, port: int, reuse_port: bool) -> list[socket.socket]:
    """A socket for each address of the host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(listening := socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setblocking(False)
            listening.bind(address)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def _on_signals(gateway: Gateway, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_stop() -> None:
        if stop.is_set():
            os._exit(1)
        gateway.draining = True
        stop.set()

    def on_orphaned(supervisor: int) -> None:
        loop.remove_reader(supervisor)
        if not stop.is_set():
            log.warning("the process that started this worker is gone; stopping")
            on_stop()

    if (supervisor := lifeline(gateway.options.environ)) is not None:
        loop.add_reader(supervisor, on_orphaned, supervisor)
    loop.add_signal_handler(signal.SIGTERM, on_stop)
    loop.add_signal_handler(signal.SIGINT, on_stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.want_reload)
