"""One process that serves, from its first line of log to its last."""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop
from rich.console import Console

from .app import Gateway, Options
from .greeting import greet
from .lifetime import Listen, calm_garbage_collector, run
from .stores.opening import prepare_ledger
from .telemetry.logs import configure_logging


def serve_until_told(options: Options, listen: Listen, greets: bool) -> None:
    """Serve until a signal ends it. ``greets``: say on the standard output what there is, and make
    the first key. Raises ConfigError."""
    logging = configure_logging(fd=sys.stderr.fileno())
    gateway = Gateway(options, logging.calls)
    prepare_ledger(gateway.database_url)
    in_flight, writer = gateway.permanent.in_flight, logging.writer
    gateway.metrics.watch_gateway(lambda: in_flight.total, lambda: writer.dropped_lines)

    def started() -> None:
        if greets:
            # Made only now: a key from a start that failed would never be shown.
            greet(Console(highlight=False), gateway, listen, _first_key(gateway))

    async def serve_and_log() -> None:
        logging.writer.start()
        try:
            async with gateway.counted_by_siblings():
                await run(gateway, listen, started)
        finally:
            await logging.writer.close()

    calm_garbage_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_and_log())


def _first_key(gateway: Gateway) -> str | None:
    """The text of a new key where there is none yet."""
    if gateway.options.environ.get("DAOBO_KEY") or gateway.key_file.read():
        return None
    _, text = gateway.key_file.create("first", None, time.time())
    gateway.ring.refresh()
    return text
