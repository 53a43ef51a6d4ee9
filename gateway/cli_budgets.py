"""The commands ``daobo budgets``: set, list, remove. They work while gateways run."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from .budget import amount, budget_id, parse_scope, parse_window
from .budget_words import NodeBalance, check_names, written_budget
from .cli_options import DEFAULT_STATE, Config, State, sentences, silent_gateway
from .stores.budget_store import BudgetStore
from .stores.opening import database_url, is_made

BAR_CELLS = 10
BAR_TERMINAL_CHARS = 120
"""A narrower terminal needs its room for names."""
NO_LEDGER = "there are no budgets: there is no ledger at {state}"

budgets_app = typer.Typer(help="Budgets: what may be spent, and on what.", no_args_is_help=True)
out = Console(highlight=False)

Scope = Annotated[
    list[str],
    typer.Argument(
        metavar="SCOPE...",
        help="LEVEL=VALUE, several of them, or 'everything'; '*' is each value for itself.",
    ),
]
Window = Annotated[
    str, typer.Option("--window", help="total, day, month, or the last 24h, 7d and so on.")
]


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@budgets_app.command("set")
def set_budget(
    scope: Scope,
    cap: Annotated[str, typer.Option("--cap", help="The amount, such as 1000 or 0.50.")],
    currency: Annotated[str, typer.Option("--currency", help="CNY or USD.")] = "CNY",
    window: Window = "total",
    soft: Annotated[bool, typer.Option("--soft", help="Warn at the marks, never refuse.")] = False,
    warn_at: Annotated[
        str, typer.Option("--warn-at", help="Per cent at which answers carry a warning.")
    ] = "80,100",
    config: Config = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Create a budget or change its cap. A running gateway follows with its next call."""
    gateway = silent_gateway(config, state)
    loaded = gateway.rooms.loaded.config
    with sentences():
        parsed = parse_scope(",".join(scope))
        check_names(parsed, loaded.tasks, gateway.ring.ids)
        budget = written_budget(
            parsed,
            cap,
            currency.upper(),
            window,
            "soft" if soft else "hard",
            _marks(warn_at),
            loaded.money.time_zone,
        )
        is_first = not is_made(gateway.database_url)
        BudgetStore(gateway.database_url, time.time).put(budget)
    effect = "warns and never refuses" if soft else "refuses what is beyond"
    out.print(f"budget {budget.name}: {budget.cap}; it {effect}", markup=False, soft_wrap=True)
    if is_first:
        _note(f"a new ledger was made in {state}: a gateway has to be started with the same folder")


@budgets_app.command("list")
def list_budgets(
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Default: a table on a terminal, CSV elsewhere."),
    ] = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Every budget, by node: cap, spent, held, left, and what was only rehearsed."""
    with sentences():
        url = database_url(os.environ, state)
        balances = BudgetStore(url, time.time).balances() if is_made(url) else []
    if not is_made(url):
        _note(NO_LEDGER.format(state=state))
    if form is None:
        form = Format.TABLE if out.is_terminal else Format.CSV
    if form is Format.TABLE:
        has_bars = out.width >= BAR_TERMINAL_CHARS
        out.print(budget_table(balances, has_bars) if balances else "there are no budgets")
    elif form is Format.JSON:
        rows = [balance.fields() for balance in balances]
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _write_csv(balances)


@budgets_app.command("remove")
def remove_budget(scope: Scope, window: Window = "total", state: State = DEFAULT_STATE) -> None:
    """Remove a budget. What was spent stays in the ledger."""
    with sentences():
        id_ = budget_id(parse_scope(",".join(scope)), parse_window(window, "UTC"))
        url = database_url(os.environ, state)
        if not is_made(url):
            raise ValueError(NO_LEDGER.format(state=state))
        removed = BudgetStore(url, time.time).remove(id_)
    out.print(f"budget {removed.name} ({removed.window}) is removed", markup=False, soft_wrap=True)


def budget_table(balances: Sequence[NodeBalance], has_bars: bool) -> Table:
    """A row for each node; red is full, yellow is past the first mark. What no budget has, such
    as a day on which it starts anew, has no column."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = [_cells(balance, has_bars) for balance in balances]
    shown = [name for name in columns[0] if any(cells[name] for cells in columns)]
    for name in shown:
        is_figure = name in ("spent", "held", "left", "rehearsed", "filled")
        table.add_column(
            name,
            justify="right" if is_figure else "left",
            no_wrap=is_figure or name == "kind",
            overflow="fold",
        )
    for cells in columns:
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(balance: NodeBalance, has_bar: bool) -> dict[str, str]:
    budget = balance.budget
    rehearsed = balance._replace(
        spent_nano=balance.rehearsed_nano, held_nano=balance.rehearsal_held_nano
    )
    made_elsewhere = "" if budget.origin == "admin" else f", {budget.origin}"
    rehearsed_nano = rehearsed.spent_nano + rehearsed.held_nano
    return {
        "node": (balance.node or "everything").replace("[", "\\["),
        "cap": budget.cap,
        "spent": _short(balance.spent_nano),
        "held": _short(balance.held_nano),
        "left": _short(balance.left_nano),
        "filled": (_bar(balance) if has_bar else "") + _percent(balance),
        "rehearsed": f"{_short(rehearsed_nano)} {_percent(rehearsed)}" if rehearsed_nano else "",
        "starts anew": (balance.resets_at or "")[:16].replace("T", " "),
        "kind": ("hard" if budget.hard else "soft") + made_elsewhere,
    }


def _short(nano: int) -> str:
    """At most four decimals, rounded up; CSV and JSON have them all."""
    return amount(-(-nano // 100_000) * 100_000)


def _bar(balance: NodeBalance) -> str:
    full = min(BAR_CELLS, balance.used_percent * BAR_CELLS // 100)
    bar = f"[{_colour(balance)}]{'█' * full}[/]" if full else ""
    return f"{bar}[dim]{'░' * (BAR_CELLS - full)}[/dim] "


def _percent(balance: NodeBalance) -> str:
    return f"[{_colour(balance)}]{balance.used_percent:>3} %[/]"


def _colour(balance: NodeBalance) -> str:
    first_mark = min(balance.budget.marks, default=100)
    percent = balance.used_percent
    return "red" if percent >= 100 else "yellow" if percent >= first_mark else "green"


def _write_csv(balances: Sequence[NodeBalance]) -> None:
    empty = NodeBalance(written_budget((), "0"), "", None)
    writer = csv.DictWriter(sys.stdout, list(empty.fields()), lineterminator="\n")
    writer.writeheader()
    for balance in balances:
        fields = balance.fields()
        marks = " ".join(map(str, fields["warn_at_percent"]))
        writer.writerow({**fields, "warn_at_percent": marks})


def _marks(text: str) -> list[int]:
    """``80,100``; nothing for a budget that never warns."""
    parts = [part.strip().removesuffix("%").strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts if part):
        raise ValueError(f"--warn-at {text!r} is no list of whole per cent, such as 80,100")
    return [int(part) for part in parts if part]


def _note(text: str) -> None:
    """Beside the output, which a program may read."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
