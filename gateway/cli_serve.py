"""The command ``daobo serve``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State
from .errors import ConfigError

Host = Annotated[str, typer.Option("--host", envvar="DAOBO_HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", envvar="DAOBO_PORT", min=1, max=65535)]
AdminHost = Annotated[
    str, typer.Option("--admin-host", envvar="DAOBO_ADMIN_HOST", help="Address for /metrics.")
]
AdminPort = Annotated[
    int, typer.Option("--admin-port", envvar="DAOBO_ADMIN_PORT", min=1, max=65535)
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", envvar="DAOBO_WORKERS", min=1, max=64, help="Processes that share the port."
    ),
]


def serve(
    config: Config = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    admin_host: AdminHost = "127.0.0.1",
    admin_port: AdminPort = 8081,
    state: State = DEFAULT_STATE,
    workers: Workers = 1,
) -> None:
    """Start the gateway."""
    worker = os.environ.get("DAOBO_WORKER")
    counts = state / "workers"
    if workers > 1 and worker is None:
        sys.exit(_supervise(workers, counts))

    from .app import Options
    from .config_file import default_config_path
    from .lifetime import Listen
    from .one_process import serve_until_told

    listen = Listen(host, port, admin_host, admin_port, reuse_port=worker is not None)
    siblings = counts if worker is not None else None
    options = Options(config or default_config_path(), state, siblings=siblings)
    serve_until_told(options, listen, greets=worker in (None, "0"))


def _supervise(workers: int, counts: Path) -> int:
    """Have others serve; returns the exit code."""
    from .telemetry.workers import clear
    from .workers import supervise

    try:
        clear(counts)
    except OSError as error:
        raise ConfigError(f"{counts}: cannot be written: {error}") from None
    return supervise(workers, [sys.executable, "-m", "gateway.cli", *sys.argv[1:]])
