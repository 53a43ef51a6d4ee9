"""The processes of a run: the fake upstream, nginx and the gateway, each on a free port.

Every one is started as the leader of its own session, so that it and its children end together.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .calls import chat_body

KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"
CHUNKS_PER_S = 10.0
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
_POLL_S = 0.002

_NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log error.log warn;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_body_buffer_size 128k;
  keepalive_requests 100000000;
  tcp_nodelay on;
  upstream provider {{
    server 127.0.0.1:{upstream_port};
    keepalive 2048;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

_GATEWAY = {
    "providers": {
        "bench": {"type": "openai-compatible", "base_url": "http://127.0.0.1:{upstream_port}/v1"}
    },
    "models": {
        "bench-model": {
            "targets": ["bench/bench-model"],
            "context_tokens": 128000,
            "price": {"input_per_mtok": "1", "output_per_mtok": "2"},
        }
    },
    "tasks": {"draft": {"models": ["bench-model"]}},
    "money": {"budgets": [{"cap": "1000000", "currency": "USD", "window": "day"}]},
    "rehearsal": "never",
}


class HarnessError(Exception):
    """The run cannot be trusted, or could not be made."""


@dataclass(frozen=True)
class Cores:
    """Which core the server under measurement has, and which one everything else; None: any."""

    measured: int | None
    load: int | None

    @classmethod
    def of_this_machine(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2 or shutil.which("taskset") is None:
            return cls(None, None)
        return cls(usable[0], usable[-1])

    @property
    def described(self) -> str:
        if self.measured is None:
            return "not pinned to cores (a single core, or no taskset): expect noise"
        return f"measured server on core {self.measured}, load on core {self.load}"


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    """The command, held to one core."""
    return [*command] if core is None else ["taskset", "-c", str(core), *command]


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int
    log: Path

    @property
    def last_words(self) -> str:
        return f"{self.name} said last:\n{self.log.read_text(errors='replace')[-2000:]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    name: str,
    port: int,
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server process for as long as the context lasts; it is not yet ready to answer."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_inherited(), **(environment or {})},
            start_new_session=True,
        )
    try:
        yield Server(name, port, process.pid, log)
    finally:
        _stop(process)


def _inherited() -> dict[str, str]:
    """This process's environment without what would configure the gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DAOBO_")}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def post_chat(port: int) -> tuple[int, bytes]:
    """One call; the status and the body of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", chat_body(), headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def served_calls(upstream: Server) -> int:
    """How many calls have reached the upstream."""
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=START_TIMEOUT_S)
    try:
        connection.request("GET", "/served")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def wait_for_answer(server: Server) -> None:
    """Returns with the first 200. Raises HarnessError with the server's last words."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    refused = "nothing listened"
    while time.monotonic() < deadline_s and os.path.exists(f"/proc/{server.pid}/exe"):
        try:
            status, body = post_chat(server.port)
        except (OSError, http.client.HTTPException) as error:
            refused = str(error)
        else:
            if status == 200:
                return
            refused = f"{status}: {body[:500].decode(errors='replace')}"
        time.sleep(_POLL_S)
    raise HarnessError(f"{server.name} did not start ({refused}). {server.last_words}")


@contextlib.contextmanager
def upstream(folder: Path, cores: Cores) -> Iterator[Server]:
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.fake_upstream"]
    options = ["--port", str(port), "--chunks-per-s", str(CHUNKS_PER_S)]
    with running("upstream", port, pinned(cores.load, [*module, *options]), folder) as server:
        wait_for_answer(server)
        yield server


@contextlib.contextmanager
def nginx(folder: Path, cores: Cores, upstream_port: int) -> Iterator[Server]:
    if (binary := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        raise HarnessError("nginx is missing: apt-get install --no-install-recommends nginx-light")
    port = free_port()
    root = folder / "nginx"
    root.mkdir()
    # A worker that drops root's rights could not open files in the folder it was given.
    user = "user root;" if os.geteuid() == 0 else ""
    config = _NGINX.format(port=port, upstream_port=upstream_port, user=user)
    (root / "nginx.conf").write_text(config)
    command = [binary, "-p", str(root), "-c", "nginx.conf", "-e", "error.log"]
    with running("nginx", port, pinned(cores.measured, command), folder) as server:
        wait_for_answer(server)
        yield server


@contextlib.contextmanager
def gateway(
    folder: Path,
    cores: Cores,
    upstream_port: int,
    command: str,
    settings: Mapping[str, object] = _GATEWAY,
) -> Iterator[Server]:
    """``command`` is what comes before ``--config``; the server is not yet ready to answer."""
    port = free_port()
    config = folder / "gateway.yaml"
    # JSON is YAML.
    config.write_text(json.dumps(settings).replace("{upstream_port}", str(upstream_port)))
    options = ["--config", str(config), "--port", str(port), "--admin-port", str(free_port())]
    full = [*shlex.split(command), *options, "--state", str(folder / "state")]
    environment = {"DAOBO_KEY": KEY, "no_proxy": "127.0.0.1"}
    with running("gateway", port, pinned(cores.measured, full), folder, environment) as server:
        yield server
