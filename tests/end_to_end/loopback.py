"""aiohttp applications on loopback ports, in a thread of their own.

Synchronous clients block the loop that they are called from, so upstreams never run in it.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")


@contextmanager
def serving(*apps: web.Application) -> Iterator[list[str]]:
    """Run ``apps``; gives the address of each, ``http://127.0.0.1:<port>``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstreams", daemon=True)
    thread.start()
    runners = [web.AppRunner(app, shutdown_timeout=0.1) for app in apps]
    try:
        yield [_in(loop, _start(runner)) for runner in runners]
    finally:
        for runner in runners:
            _in(loop, runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=60)


async def _start(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
