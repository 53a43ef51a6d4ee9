"""How late a gateway's loop is while it answers scripts: run by ``test_loop`` with ``python -m``.

A process of its own, with the loop and the settings of ``daobo serve``: in one that has run a
thousand tests every allocation and every collection of garbage takes longer. Arguments: a folder,
and files with the bodies to be sent. Prints a JSON list for each of them: the longest delays, in
seconds, of several tries. What was answered stands beside the body, as ``….answered``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson
import uvloop

from tests.end_to_end.gateway_process import quiet_environment
from tests.lateness import garbage_as_when_serving, ticking

from .stage import KEY, Stage, opened_stage

ENOUGH_S = 0.005
TRIES = 12
"""What counts is the best of so many: the kernel's own work is in the figures, too."""
CLIENT = """
import http.client, sys
host, key, asked, answered = sys.argv[1:]
connection = http.client.HTTPConnection(host)
headers = {"authorization": f"Bearer {key}", "x-daobo-task": "polish", "x-daobo-cache": "off"}
headers["content-type"] = "application/json"
connection.request("POST", "/v1/chat/completions", open(asked, "rb").read(), headers)
open(answered, "wb").write(connection.getresponse().read())
"""


async def worst_lateness_s(stage: Stage, asked: Path, answered: Path) -> float:
    """While a client of another process has its answer."""
    host = stage.url.removeprefix("http://")
    with ticking() as ticks:
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, host, KEY, str(asked), str(answered),
            env=quiet_environment(),
        )  # fmt: skip
        ticks.worst_s = 0.0  # starting a process is not the gateway's work
        if await client.wait():
            raise SystemExit("the client failed")
    return ticks.worst_s


async def watch(folder: Path, bodies: list[Path]) -> None:
    async with opened_stage(folder) as stage:
        for asked in bodies:
            answered = asked.with_suffix(".answered")
            found: list[float] = []
            with garbage_as_when_serving():
                while len(found) < TRIES and min(found, default=1.0) > ENOUGH_S:
                    found.append(await worst_lateness_s(stage, asked, answered))
            print(orjson.dumps(found).decode(), flush=True)


if __name__ == "__main__":
    folder, *bodies = map(Path, sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watch(folder, bodies))
