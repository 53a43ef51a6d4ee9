"""What ``daobo budgets list`` prints on a terminal: how full each budget is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from .budget import amount
from .budget_words import NodeBalance

BAR_CELLS = 10


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
