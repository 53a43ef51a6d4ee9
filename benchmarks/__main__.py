"""``python -m benchmarks``: every measurement of the gateway, beside nginx, on loopback."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from . import history, measure, part_answers, part_waves, process_tree, report, splitting
from .servers import Cores, HarnessError, Server, gateway, nginx, upstream, wait_for_answer

JSON_BODIES_BYTES = (1024, 32 * 1024)
STREAMS = (200, 1000)


@dataclass(frozen=True)
class Lengths:
    """How long each part takes."""

    json_rounds: int
    round_s: int
    stream_s: float
    latency_s: float
    starts: int
    answer_s: float
    """Of each part of a script."""
    limit_s: int
    """The whole run is given up after this."""


FULL = Lengths(5, 3, 10.0, 20.0, 5, 0.5, limit_s=360)
QUICK = Lengths(1, 2, 3.0, 4.0, 3, 0.1, limit_s=120)


@dataclass(frozen=True)
class Bench:
    """The running servers and what to do with them."""

    lengths: Lengths
    folder: Path
    cores: Cores
    gateway_command: str
    upstream: Server
    nginx: Server
    gateway: Server

    @property
    def all_servers(self) -> tuple[Server, ...]:
        return (self.upstream, self.nginx, self.gateway)

    def start(self) -> measure.Figures:
        return measure.start(
            self.folder, self.cores, self.upstream.port, self.gateway_command, self.lengths.starts
        )

    def latency(self) -> measure.Figures:
        return measure.latency(self.all_servers, self.cores, duration_s=self.lengths.latency_s)

    def json(self) -> list[measure.Figures]:
        return [
            measure.json_calls(
                self.upstream,
                (self.nginx, self.gateway),
                self.cores,
                self.folder,
                body_bytes=body_bytes,
                rounds=self.lengths.json_rounds,
                round_s=self.lengths.round_s,
            )
            for body_bytes in JSON_BODIES_BYTES
        ]

    def streams(self) -> list[measure.Figures]:
        return [
            measure.streams(
                self.all_servers, self.cores, count=count, duration_s=self.lengths.stream_s
            )
            for count in STREAMS
        ]


PARTS: dict[str, Callable[[Bench], Any]] = {
    "start": Bench.start,
    "latency": Bench.latency,
    "json": Bench.json,
    "streams": Bench.streams,
}


def split(options: argparse.Namespace, folder: Path, cores: Cores) -> measure.Figures:
    """Needs neither nginx nor the servers of the other parts."""
    answer_s = (QUICK if options.quick else FULL).answer_s
    waves = part_waves.measure(folder / "parts", cores, options.gateway, answer_s)
    answers = part_answers.measure(folder, cores, options.gateway)
    return splitting.measure() | {"wall": waves, "answers": answers}


ALL = (*PARTS, "split")


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, _give_up)
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm((QUICK if options.quick else FULL).limit_s)
    try:
        record = run(options)
    except HarnessError as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    print(report.tables(record))
    if not options.no_history:
        history.append(record)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(ALL), help="some of these: %(default)s")
    parser.add_argument("--quick", action="store_true", help="less exact, within two minutes")
    parser.add_argument("--no-history", action="store_true", help="print only")
    daobo = Path(sys.executable).with_name("daobo")
    parser.add_argument("--gateway", default=f"{daobo} serve", help="what comes before --config")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(ALL):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _give_up(number: int, frame: object) -> NoReturn:
    raise HarnessError(f"given up on {signal.Signals(number).name}")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start what is needed, measure what was asked for, stop everything."""
    cores = Cores.of_this_machine()
    record: dict[str, Any] = {
        **history.circumstances(),
        "full": not options.quick and set(options.only) == set(ALL),
        "pinning": cores.described,
    }
    others_cpu_s, began_s = _others_cpu_s(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="daobo-bench-") as folder:
        if set(options.only) & set(PARTS):
            record |= _run_with_servers(options, Path(folder), cores)
        if "split" in options.only:
            _say("split")
            record["split"] = split(options, Path(folder), cores)
    elapsed_s = time.monotonic() - began_s
    return {**record, "other_work_cores": (_others_cpu_s() - others_cpu_s) / elapsed_s}


def _run_with_servers(options: argparse.Namespace, folder: Path, cores: Cores) -> dict[str, Any]:
    with ExitStack() as stack:
        direct = stack.enter_context(upstream(folder, cores))
        proxy = stack.enter_context(nginx(folder, cores, direct.port))
        measured = stack.enter_context(gateway(folder, cores, direct.port, options.gateway))
        wait_for_answer(measured)
        lengths = QUICK if options.quick else FULL
        bench = Bench(
            lengths, folder, cores, options.gateway, replace(direct, name="direct"), proxy, measured
        )
        try:
            return _measure(bench, options.only)
        except HarnessError as error:
            raise HarnessError(f"{error}\n{measured.last_words}") from None


def _measure(bench: Bench, only: list[str]) -> dict[str, Any]:
    measure.check_same_answer(bench.all_servers)
    record: dict[str, Any] = {}
    idle = measure.memory(bench.gateway)
    for part, take in PARTS.items():
        if part in only:
            _say(part)
            record[part] = take(bench)
    measure.check_same_answer(bench.all_servers)
    return {**record, "memory": {"idle": idle, "after": measure.memory(bench.gateway)}}


def _say(part: str) -> None:
    print(f"measuring {part} …", file=sys.stderr, flush=True)


def _others_cpu_s() -> float:
    """CPU time of everything on the machine that is no part of this run."""
    return process_tree.machine_cpu_s() - process_tree.cpu_s(os.getpid())


if __name__ == "__main__":
    main()
