"""A real Redis for the tests: one server for each worker, emptied before each test."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from .ports import free_port

START_TIMEOUT_S = 30
MORTAL = ("setpriv", "--pdeathsig=KILL") if shutil.which("setpriv") else ()
"""Ends the server with the tests, even if these are killed."""


class RedisServer:
    """Debian's redis-server on a loopback port, which keeps nothing. It can be killed, started
    again on the same port, and held still."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server was not found; 'make redis' installs it", pytrace=False)
        self._process = subprocess.Popen(
            [
                *MORTAL, program, "--port", str(self.port), "--bind", "127.0.0.1",
                "--save", "", "--appendonly", "no", "--dir", self._folder,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"redis-server did not start (port {self.port})", pytrace=False)
            time.sleep(0.005)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Killed, with all that it counted, and started again."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Its connections stay, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """For looking into it by hand."""
        return redis.Redis(port=self.port)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="daobo-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """Running and empty."""
    with redis_process.client() as client:
        client.flushall()
        client.script_flush()
    return redis_process
