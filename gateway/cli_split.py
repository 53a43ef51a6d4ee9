"""The command ``daobo split``: how a script would be cut into parts, and what that would cost."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State, printer, silent_gateway
from .errors import CallError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from .script_file import ScriptFile
    from .split_plan import SplitPlan

MIN_BUDGET_TOKENS = 50
"""The same as the configuration's."""
PIPED_CELLS = 140
"""How wide the table is where nobody says how much room there is."""


def split(
    file: Annotated[str, typer.Argument(help="A script as text; - reads the standard input.")],
    model: Annotated[
        str | None, typer.Option("--model", help="A model, or a target: whose window and price.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Whose models and rule of chunking; default: one that cuts."),
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", help="Of script in a part at most.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Of the file; default: UTF-8.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder to write the parts to; they join to the file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    config: Config = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Say how a script would be cut: parts, tokens, seams, cost. Asks nobody, sends nothing."""
    from .script_file import read_script
    from .split_plan import plan_split

    gateway = silent_gateway(config, state)
    try:
        _check_budget(budget_tokens)
        source = read_script(file, encoding)
        plan = plan_split(gateway, source.text, model, task, budget_tokens)
        if output is not None:
            plan = plan._replace(notes=(*plan.notes, _write(plan, source, output)))
    except (CallError, ConfigError) as error:
        sys.stderr.write(f"daobo: {error}\n")
        raise typer.Exit(2) from None
    _print(plan, source, as_json)


def _print(plan: SplitPlan, source: ScriptFile, as_json: bool) -> None:
    from .split_table import show, split_object

    if as_json:
        import orjson

        text = orjson.dumps(split_object(plan, source), option=orjson.OPT_INDENT_2)
        sys.stdout.buffer.write(text + b"\n")
    else:
        show(_wide_printer(), plan, source)


def _wide_printer() -> Console:
    """A file or another program has room for whole headings."""
    out = printer()
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = PIPED_CELLS
    return out


def _check_budget(budget_tokens: int | None) -> None:
    if budget_tokens is not None and budget_tokens < MIN_BUDGET_TOKENS:
        raise ConfigError(
            f"--budget-tokens {budget_tokens} is too small: a part has {MIN_BUDGET_TOKENS} tokens "
            "at least"
        )


def _write(plan: SplitPlan, source: ScriptFile, folder: Path) -> str:
    """Returns what is to be said of it."""
    from .script_file import write_parts

    bounds = [(piece.start, piece.end) for piece in plan.cut.pieces]
    paths = write_parts(folder, source.parts(bounds), Path(source.name).suffix or ".txt")
    return f"written to {paths[0]}" + (f" … {paths[-1].name}" if paths[1:] else "")
