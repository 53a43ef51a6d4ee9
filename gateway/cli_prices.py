"""The command ``daobo prices``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State, printer, silent_gateway


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
    from .price_report import explain, overview

    rooms = silent_gateway(config, state).rooms
    now_s = int(time.time())
    printer().print(overview(rooms, now_s) if model is None else explain(rooms, model, now_s))
