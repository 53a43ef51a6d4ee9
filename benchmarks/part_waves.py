"""A script in parts through the gateway: side by side, and one after another."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.chunking.scripts import write_script

from .servers import (
    KEY,
    Cores,
    HarnessError,
    Server,
    free_port,
    gateway,
    pinned,
    running,
    wait_for_answer,
)

POOL = 8
BUDGET = 400
TIMEOUT_S = 120.0


def _task(pool: int) -> dict[str, Any]:
    # Nothing is kept: each call asks for all of its parts.
    chunking = {"mode": "map", "budget_tokens": BUDGET, "pool": pool, "keep_s": 0}
    return {"models": ["bench-model"], "chunking": chunking}


CONFIG = {
    "providers": {
        "bench": {"type": "openai-compatible", "base_url": "http://127.0.0.1:{upstream_port}/v1"}
    },
    "models": {
        "bench-model": {
            "targets": ["bench/bench-model"],
            "context_tokens": 4096,
            "price": {"input_per_mtok": "1", "output_per_mtok": "2"},
        }
    },
    "tasks": {"draft": {"models": ["bench-model"]}, "side": _task(POOL), "single": _task(1)},
    "money": {"budgets": [{"cap": "1000000", "currency": "USD", "window": "day"}]},
    "rehearsal": "never",
}


class Answered(NamedTuple):
    """What came back of a call."""

    text: str
    parts: int
    """Planned."""
    metadata: dict[str, Any]
    cost: float
    """In dollars."""
    taken_s: float


def measure(folder: Path, cores: Cores, command: str, answer_s: float) -> dict[str, Any]:
    """Wall seconds of the same call with both pools; the upstream takes ``answer_s`` an answer."""
    script = write_script("spaced", episodes=8, scenes=4)
    with serving(folder, cores, command, "--answer-s", str(answer_s)) as server:
        _whole(server, "side", script)  # loads the vocabulary, opens connections
        parallel = _whole(server, "side", script)
        serial = _whole(server, "single", script)
    return {
        "answer_s": answer_s,
        "pool": POOL,
        "parts": parallel.parts,
        "parallel_s": parallel.taken_s,
        "serial_s": serial.taken_s,
    }


@contextmanager
def serving(folder: Path, cores: Cores, command: str, *upstream: str) -> Iterator[Server]:
    """A gateway in front of an echo, which is given these options."""
    folder.mkdir()
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.echo_upstream", "--port", str(port)]
    with (
        running("echo", port, pinned(cores.load, [*module, *upstream]), folder) as echo,
        gateway(folder, cores, port, command, CONFIG) as server,
    ):
        wait_for_answer(echo)
        wait_for_answer(server)
        yield server


def ask(server: Server, task: str, script: str) -> Answered:
    """Raises HarnessError for anything but an answer."""
    body = {"model": task, "messages": [{"role": "user", "content": script}]}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    began_s = time.monotonic()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        answer = json.loads(reply.read())
    finally:
        connection.close()
    taken_s = time.monotonic() - began_s
    if reply.status != 200:
        raise HarnessError(f"no answer for a script: {reply.status} {str(answer)[:500]}")
    text = answer["choices"][0]["message"]["content"]
    parts, cost = int(reply.headers["x-daobo-parts"]), float(reply.headers["x-daobo-cost"])
    return Answered(text, parts, answer["daobo"], cost, taken_s)


def _whole(server: Server, task: str, script: str) -> Answered:
    """Raises HarnessError unless the script came back as it was."""
    answered = ask(server, task, script)
    if answered.text != script:
        raise HarnessError("the script did not come back whole")
    return answered
