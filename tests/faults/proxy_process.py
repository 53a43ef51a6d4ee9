"""The proxy as a process of its own, with one fault for all connections.

For what is about moments: in a test's loop a proxy is as late as that loop is busy.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import orjson

from tests.end_to_end.gateway_process import quiet_environment
from tests.ports import free_port

from .fault_proxy import Fault, FaultProxy
from .processes import ROOT

STOP_TIMEOUT_S = 10.0


@dataclass
class ProxyProcess:
    """One that runs; ``ended`` is known once it has stopped."""

    port: int
    ended: Mapping[str, int] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def proxy_process(upstream_port: int, fault: Fault, seed: int) -> AsyncIterator[ProxyProcess]:
    proxy = ProxyProcess(free_port())
    options = {
        "--upstream-port": upstream_port,
        "--port": proxy.port,
        "--seed": seed,
        "--fault": orjson.dumps(asdict(fault)).decode(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.proxy_process",
        *(str(word) for option in options.items() for word in option),
        cwd=ROOT,
        env=quiet_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield proxy
        told, _ = await asyncio.wait_for(process.communicate(b""), STOP_TIMEOUT_S)
        proxy.ended = orjson.loads(told)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _serve(given: argparse.Namespace) -> None:
    fault = Fault(**orjson.loads(given.fault))
    chance = random.Random(given.seed)
    async with FaultProxy(given.upstream_port, chance, lambda _: fault, port=given.port) as proxy:
        print("listening", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(orjson.dumps(proxy.done.ended).decode())


def main() -> None:
    """Runs until its standard input is closed, and prints how it ended connections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream-port", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--fault", required=True)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
