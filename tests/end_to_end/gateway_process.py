"""A real ``daobo serve`` in a process of its own, and what it writes."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

KEY = "sk-test"
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.02
LOG_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway that is ready. ``root`` is its address without any path."""

    root: str
    admin_root: str
    log_path: Path
    key: str = KEY

    def logged(self, call_id: str) -> dict[str, Any]:
        """The log's line on one call. Lines are written after the reply has left, so wait."""
        deadline_s = time.monotonic() + LOG_TIMEOUT_S
        while time.monotonic() < deadline_s:
            for line in self.log_path.read_text(encoding="utf-8").splitlines():
                if call_id in line and (fields := json.loads(line)).get("call_id") == call_id:
                    return dict(fields)
            time.sleep(POLL_INTERVAL_S)
        raise AssertionError(f"the log says nothing of the call {call_id}")


def quiet_environment(**more: str) -> dict[str, str]:
    """An environment without the keys, base URLs and proxies of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1", **more}


@contextmanager
def gateway_process(
    config: Path, state: Path, environ: Mapping[str, str]
) -> Iterator[GatewayProcess]:
    """Start a gateway on free ports, wait until it is ready, and end it afterwards."""
    port, admin_port = free_port(), free_port()
    log_path = state / "gateway.log"
    command = [
        str(Path(sys.executable).with_name("daobo")), "serve",
        "--config", str(config), "--state", str(state),
        "--port", str(port), "--admin-port", str(admin_port),
    ]  # fmt: skip
    state.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=quiet_environment(DAOBO_KEY=KEY, **environ),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    gateway = GatewayProcess(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", log_path)
    try:
        _await_ready(gateway, process)
        yield gateway
    finally:
        _stop(process)


def _await_ready(gateway: GatewayProcess, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        connection = http.client.HTTPConnection(gateway.root.removeprefix("http://"), timeout=1)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(POLL_INTERVAL_S)
        finally:
            connection.close()
    pytest.fail(f"the gateway did not get ready:\n{gateway.log_path.read_text('utf-8')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
