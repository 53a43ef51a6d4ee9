"""Several processes on one port: starts them, passes signals on, and replaces one that dies.

Each worker is this same command with ``DAOBO_WORKER`` set to its number. The kernel spreads
connections over them (SO_REUSEPORT). Each holds the reading end of a pipe whose other end is the
supervisor's alone: workers whose supervisor was killed see it close, and stop as if told to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

POLL_S = 0.1
RESTART_PAUSE_S = 1.0
START_S = 5.0
"""A worker that fails sooner than this has not been able to start."""
STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
LIFELINE = "DAOBO_LIFELINE"
"""The variable that tells a worker the number of its end of the pipe."""


def supervise(count: int, command: Sequence[str]) -> int:
    """Run ``count`` workers until SIGTERM or SIGINT; returns the exit code for the process.

    A worker of the first ones that cannot start (exit code 1) ends all: the fault is in the
    configuration, and starting it again would not mend it. Later ones are started until they
    stay, since the others still serve.
    """
    received: list[int] = []
    for name in (*STOPS, signal.SIGHUP):
        # The loop below passes signals on: a handler could miss a worker that is being started.
        signal.signal(name, lambda number, _: received.append(number))
    lifeline, _held = os.pipe()
    workers = [_Worker(command, index, lifeline) for index in range(count)]
    stopping = False
    while True:
        time.sleep(POLL_S)
        while received:
            number = received.pop(0)
            stopping = stopping or number in STOPS
            for worker in workers:
                worker.signal(number)
        ended = [worker for worker in workers if worker.process.poll() is not None]
        if stopping and len(ended) == count:
            return max(worker.exit_code for worker in workers)
        for worker in () if stopping else ended:
            if worker.could_not_start():
                received.append(signal.SIGTERM)
            else:
                worker.start_again(time.monotonic())


class _Worker:
    """One process after another under the same number."""

    def __init__(self, command: Sequence[str], index: int, lifeline: int) -> None:
        self._command = command
        self._lifeline = lifeline
        self._index = index
        self._restarts = 0
        self._ended_s: float | None = None
        self._start()

    @property
    def exit_code(self) -> int:
        """Of an end that was asked for, or as a shell counts one that was not (128 + signal)."""
        code: int = self.process.returncode
        if -code in STOPS or self._ended_s is not None:
            return 0  # it had not begun to serve, or was dead before
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def could_not_start(self) -> bool:
        soon = time.monotonic() - self._started_s < START_S
        return soon and self._restarts == 0 and self.process.returncode == 1

    def start_again(self, now_s: float) -> None:
        """Start another process, but not at once: a fault that stays must not keep a core busy."""
        if self._ended_s is None:
            self._ended_s = now_s
            reason = f"worker {self._index} ended ({self.process.returncode})"
            print(f"daobo: {reason}; starting another", file=sys.stderr)
        elif now_s - self._ended_s >= RESTART_PAUSE_S:
            self._ended_s = None
            self._restarts += 1
            self._start()

    def _start(self) -> None:
        environ = {
            **os.environ,
            "DAOBO_WORKER": str(self._index),
            "DAOBO_WORKERS": "1",
            LIFELINE: str(self._lifeline),
        }
        # Its own process group: a Ctrl-C reaches the workers once, through the supervisor.
        self.process = subprocess.Popen(  # noqa: S603
            self._command, env=environ, process_group=0, pass_fds=(self._lifeline,)
        )
        self._started_s = time.monotonic()


def lifeline(environ: Mapping[str, str]) -> int | None:
    """The descriptor of a worker that can be read from once its supervisor is gone."""
    number = environ.get(LIFELINE)
    return int(number) if number is not None else None
