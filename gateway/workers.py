"""Several processes on one port: starts them, passes signals on, and replaces one that dies.

Each worker is this same command with ``DAOBO_WORKER`` set to its number. The kernel spreads
connections over them (SO_REUSEPORT).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

RESTART_PAUSE_S = 1.0
POLL_S = 0.1


def supervise(count: int, command: Sequence[str]) -> int:
    """Run ``count`` workers until SIGTERM or SIGINT; returns the exit code for the process.

    A worker that cannot start (exit code 1 in its first second) ends all: the fault is in the
    configuration, and starting it again would not mend it.
    """
    workers = {index: _Worker(command, index) for index in range(count)}
    stopping = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = stopping or number in (signal.SIGTERM, signal.SIGINT)
        for worker in workers.values():
            worker.signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    while True:
        time.sleep(POLL_S)
        ended = {index: w for index, w in workers.items() if w.process.poll() is not None}
        if stopping and len(ended) == count:
            return max(w.process.returncode for w in ended.values())
        for index, worker in ended.items():
            if stopping:
                continue
            if worker.never_started():
                for other in workers.values():
                    other.signal(signal.SIGTERM)
                return worker.process.returncode
            print(
                f"daobo: worker {index} ended ({worker.process.returncode}); starting another",
                file=sys.stderr,
            )
            time.sleep(RESTART_PAUSE_S)
            workers[index] = _Worker(command, index)


class _Worker:
    def __init__(self, command: Sequence[str], index: int) -> None:
        environ = {**os.environ, "DAOBO_WORKER": str(index), "DAOBO_WORKERS": "1"}
        # Its own process group: a Ctrl-C reaches the workers once, through the supervisor.
        self.process = subprocess.Popen(command, env=environ, process_group=0)  # noqa: S603
        self._started_s = time.monotonic()

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def never_started(self) -> bool:
        return self.process.returncode == 1 and time.monotonic() - self._started_s < 5.0
