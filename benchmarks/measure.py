"""The measurements: each drives a load client against the servers and returns plain figures."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import process_tree
from .calls import chat_body
from .servers import (
    CHUNKS_PER_S,
    KEY,
    Cores,
    HarnessError,
    Server,
    gateway,
    pinned,
    post_chat,
    served_calls,
    wait_for_answer,
)

CONNECTIONS = 64
CALLS_PER_S = 100
_SLACK_S = 40.0
"""How long after its scheduled end a load client may take to report."""

Figures = dict[str, Any]


def check_same_answer(servers: Sequence[Server]) -> None:
    """Raises HarnessError unless all give the upstream's answer: choices and usage, with a 200."""
    seen = []
    for server in servers:
        status, body = post_chat(server.port)
        if status != 200:
            raise HarnessError(f"{server.name} answered {status}: {body[:500]!r}")
        answer = json.loads(body)
        seen.append((answer["choices"], answer["usage"]["total_tokens"]))
    if any(answer != seen[0] for answer in seen):
        raise HarnessError(f"the servers' answers differ: {seen}")


def _run_load(command: Sequence[str], cores: Cores, duration_s: float) -> str:
    """The standard output of a load client on the load core."""
    try:
        result = subprocess.run(
            pinned(cores.load, command),
            capture_output=True,
            text=True,
            timeout=duration_s + _SLACK_S,
        )
    except FileNotFoundError as error:
        raise HarnessError(f"{command[0]} is missing: apt-get install {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"{command[0]} did not end within {error.timeout:.0f} s") from error
    if result.returncode:
        raise HarnessError(f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}")
    return result.stdout


# JSON calls


def json_calls(
    upstream: Server,
    servers: Sequence[Server],
    cores: Cores,
    folder: Path,
    *,
    body_bytes: int,
    rounds: int,
    round_s: int,
) -> Figures:
    """Alternating rounds of wrk; for each server CPU µs per request (the median), and the ratio of
    each round's last server to its first (nginx), round by round."""
    body = folder / f"body-{body_bytes}.json"
    body.write_bytes(chat_body(body_bytes))
    for server in servers:
        _wrk(server, upstream, cores, body, 1)
    taken = [
        [_wrk(server, upstream, cores, body, round_s) for server in servers] for _ in range(rounds)
    ]
    figures: Figures = {"body_bytes": body.stat().st_size, "rounds": rounds}
    for server, results in zip(servers, zip(*taken, strict=True), strict=True):
        figures[server.name] = {
            name: statistics.median(result[name] for result in results) for name in results[0]
        }
    ratios = [row[-1]["us_per_request"] / row[0]["us_per_request"] for row in taken]
    return {**figures, "ratio": statistics.median(ratios), "ratios": ratios}


def _wrk(server: Server, upstream: Server, cores: Cores, body: Path, duration_s: int) -> Figures:
    script = Path(__file__).with_name("chat.lua")
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration_s}s", "-s", str(script), url]
    served, cpu_s = served_calls(upstream), process_tree.cpu_s(server.pid)
    output = _run_load([*command, "--", str(body), KEY], cores, duration_s)
    cpu_s = process_tree.cpu_s(server.pid) - cpu_s
    served = served_calls(upstream) - served
    result = json.loads(output.rpartition("RESULT ")[2])
    if result["refused"] or result["broken"]:
        raise HarnessError(f"{server.name} failed calls: {result}")
    # wrk forgets the calls under way when its time is up; the upstream may see some of them only
    # in the next round. Nothing else may differ.
    if abs(served - result["requests"]) > 2 * CONNECTIONS:
        raise HarnessError(f"{server.name} answered {result}, the upstream served {served}")
    return {
        "us_per_request": cpu_s * 1e6 / served,
        "requests_per_s": result["requests"] / result["duration_s"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
    }


# Streams


def streams(servers: Sequence[Server], cores: Cores, *, count: int, duration_s: float) -> Figures:
    """``count`` streams through each server in turn; the first is the upstream itself."""
    figures: Figures = {"streams": count}
    chunks = round(duration_s * CHUNKS_PER_S)
    for server in servers:
        client = [sys.executable, "-m", "benchmarks.load_streams", "--key", KEY]
        client += ["--port", str(server.port), "--streams", str(count), "--chunks", str(chunks)]
        client += ["--chunks-per-s", str(CHUNKS_PER_S), "--pid", str(server.pid)]
        seen = json.loads(_run_load(client, cores, duration_s))
        if seen["fault_count"] or seen["complete"] != count or seen["chunks"] != count * chunks:
            raise HarnessError(f"{count} streams through {server.name} were not whole: {seen}")
        figures[server.name] = seen
    return figures


# Latency


def latency(servers: Sequence[Server], cores: Cores, *, duration_s: float) -> Figures:
    """Calls to each server in turn at a fixed rate, timed from the schedule."""
    client = [sys.executable, "-m", "benchmarks.load_latency", "--key", KEY]
    client += ["--calls-per-s", str(CALLS_PER_S), "--duration-s", str(duration_s)]
    client += [f"{server.name}={server.port}" for server in servers]
    figures: Figures = json.loads(_run_load(client, cores, duration_s))
    for name, seen in figures.items():
        if seen["fault_count"]:
            raise HarnessError(f"{name} failed calls at a fixed rate: {seen}")
    return {"calls_per_s": CALLS_PER_S, **figures}


# Start-up and memory


def start(folder: Path, cores: Cores, upstream_port: int, command: str, times: int) -> Figures:
    """Seconds from the spawn of a gateway with an empty state folder to its first 200."""
    seconds = []
    for number in range(times):
        own_folder = folder / f"start-{number}"
        own_folder.mkdir()
        spawned_s = time.monotonic()
        with gateway(own_folder, cores, upstream_port, command) as server:
            wait_for_answer(server)
            seconds.append(time.monotonic() - spawned_s)
    return {"median_s": statistics.median(seconds), "all_s": seconds}


def memory(server: Server) -> Figures:
    return {
        "now_mb": process_tree.resident_mb(server.pid),
        "peak_mb": process_tree.peak_mb(server.pid),
    }
