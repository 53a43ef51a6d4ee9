"""The command ``daobo prices``."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from .cli_options import DEFAULT_STATE, Config, State, silent_gateway
from .price_report import explain, overview


def prices(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model, a task, a target, or family/model of a price table; default: all.",
        ),
    ] = None,
    config: Config = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Explain what a call costs: prices now, tiers, hours, source, a worked example."""
    gateway = silent_gateway(config, state)
    now_s = int(time.time())
    out = Console(highlight=False)
    if model is None:
        out.print(overview(gateway.rooms, now_s))
    else:
        out.print(explain(gateway.rooms, model, now_s))
