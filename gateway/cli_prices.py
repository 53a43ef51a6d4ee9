"""The command ``daobo prices``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .app import Gateway, Options
from .config_file import default_config_path
from .price_report import explain, overview
from .telemetry.logs import CallLog


def prices(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model, a task, a target, or family/model of a price table; default: all.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="DAOBO_CONFIG",
            help="The configuration file; default: the one that comes with the gateway.",
        ),
    ] = None,
    state: Annotated[
        Path,
        typer.Option("--state", envvar="DAOBO_STATE", help="Folder for keys and other state."),
    ] = Path(".state"),
) -> None:
    """Explain what a call costs: prices now, tiers, hours, source, a worked example."""
    gateway = Gateway(Options(config or default_config_path(), state), CallLog(_nowhere))
    now_s = int(time.time())
    out = Console(highlight=False)
    if model is None:
        out.print(overview(gateway.rooms, now_s))
    else:
        out.print(explain(gateway.rooms, model, now_s))


def _nowhere(line: bytes) -> None:
    """The command answers no calls."""
