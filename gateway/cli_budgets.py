"""The commands ``daobo budgets``: set, list, remove. They work while gateways run."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import DEFAULT_STATE, Config, State, checked_config, printer, sentences

if TYPE_CHECKING:
    from .budget_words import NodeBalance

BAR_TERMINAL_CHARS = 120
"""A narrower terminal needs its room for names."""
NO_LEDGER = "there are no budgets: there is no ledger at {state}"

budgets_app = typer.Typer(help="Budgets: what may be spent, and on what.", no_args_is_help=True)

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
    from .budget import parse_scope
    from .budget_words import check_names, written_budget
    from .stores.budget_store import BudgetStore
    from .stores.opening import database_url, is_made

    loaded = checked_config(config).config
    with sentences():
        parsed = parse_scope(",".join(scope))
        check_names(parsed, loaded.tasks, _key_ids(state))
        budget = written_budget(
            parsed,
            cap,
            currency.upper(),
            window,
            "soft" if soft else "hard",
            _marks(warn_at),
            loaded.money.time_zone,
        )
        url = database_url(os.environ, state)
        is_first = not is_made(url)
        BudgetStore(url, time.time).put(budget)
    effect = "warns and never refuses" if soft else "refuses what is beyond"
    said = f"budget {budget.name}: {budget.cap}; it {effect}"
    printer().print(said, markup=False, soft_wrap=True)
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
    from .stores.budget_store import BudgetStore
    from .stores.opening import database_url, is_made

    with sentences():
        url = database_url(os.environ, state)
        balances = BudgetStore(url, time.time).balances() if is_made(url) else []
    if not is_made(url):
        _note(NO_LEDGER.format(state=state))
    _print(balances, form)


@budgets_app.command("remove")
def remove_budget(scope: Scope, window: Window = "total", state: State = DEFAULT_STATE) -> None:
    """Remove a budget. What was spent stays in the ledger."""
    from .budget import budget_id, parse_scope, parse_window
    from .stores.budget_store import BudgetStore
    from .stores.opening import database_url, is_made

    with sentences():
        id_ = budget_id(parse_scope(",".join(scope)), parse_window(window, "UTC"))
        url = database_url(os.environ, state)
        if not is_made(url):
            raise ValueError(NO_LEDGER.format(state=state))
        removed = BudgetStore(url, time.time).remove(id_)
    said = f"budget {removed.name} ({removed.window}) is removed"
    printer().print(said, markup=False, soft_wrap=True)


def _key_ids(state: Path) -> set[str]:
    """Of the keys that a gateway with this folder and this environment takes."""
    from .stores.keys import KeyFile, KeyRing

    return KeyRing(KeyFile(state), None, os.environ.get("DAOBO_KEY")).ids


def _print(balances: Sequence[NodeBalance], form: Format | None) -> None:
    out = printer()
    if form is Format.TABLE or (form is None and out.is_terminal):
        from .budget_table import budget_table

        has_bars = out.width >= BAR_TERMINAL_CHARS
        out.print(budget_table(balances, has_bars) if balances else "there are no budgets")
    elif form is Format.JSON:
        import orjson

        rows = [balance.fields() for balance in balances]
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _write_csv(balances)


def _write_csv(balances: Sequence[NodeBalance]) -> None:
    from .budget_words import NodeBalance, written_budget

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
    printer(stderr=True).print(text, markup=False, soft_wrap=True)
