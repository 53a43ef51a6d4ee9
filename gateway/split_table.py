"""What ``daobo split`` shows of a script in parts: a table for people, JSON for programs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.cells import set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .chunking.script import Kind, Piece, Script, Section
from .price_words import SYMBOLS
from .report_table import exact, short
from .script_file import ScriptFile
from .split_plan import PartCost, SplitPlan

NAME_CELLS, NARROW_NAME_CELLS = 24, 10
WIDE = 110
"""Cells of a terminal with room for whole headings, and for bytes."""
FRONT, NO_HEADING = "(front matter)", "(no heading)"


class Row(NamedTuple):
    """One part, as it is shown."""

    number: int
    first: str
    """The heading that it begins with, or whose scene it goes on with."""
    last: str
    sections: int
    goes_on: bool
    """It begins in the middle of a section."""
    piece: Piece
    size_bytes: int
    first_line: int
    last_line: int
    cost: PartCost


def rows_of(plan: SplitPlan, source: ScriptFile) -> Iterator[Row]:
    """A row for each part, in order."""
    script, line = plan.cut.script, 1
    starts = [section.start for section in script.sections]
    for number, (piece, cost) in enumerate(zip(plan.cut.pieces, plan.costs, strict=True), 1):
        text = script.text[piece.start : piece.end]
        inside = script.sections[
            max(0, bisect_right(starts, piece.start) - 1) : bisect_right(starts, piece.end - 1)
        ]
        breaks = text.count("\n")
        last_line = line + breaks - text.endswith("\n")
        yield Row(
            number,
            _named(script, inside[0]),
            _named(script, inside[-1]),
            len(inside),
            inside[0].start < piece.start,
            piece,
            len(text.encode(source.encoding)),
            line,
            last_line,
            cost,
        )
        line += breaks


def _named(script: Script, section: Section) -> str:
    if section.kind is Kind.FRONT:
        return FRONT if script.is_script else NO_HEADING
    return script.text[section.start : section.heading_end].strip().partition("\n")[0].strip()


def show(out: Console, plan: SplitPlan, source: ScriptFile) -> None:
    """Print the table, the totals, and what one should know besides."""
    rows = list(rows_of(plan, source))
    out.print(_table(plan, rows, is_wide=out.width >= WIDE))
    out.print()
    for sentence in _summary(plan, rows):
        out.print(sentence, soft_wrap=not out.is_terminal)
    for note in plan.notes:
        out.print(f"note: {escape(note)}", soft_wrap=not out.is_terminal)


def _table(plan: SplitPlan, rows: Iterable[Row], *, is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("part", justify="right", no_wrap=True)
    table.add_column("sections")
    table.add_column("tokens", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("lines", justify="right", no_wrap=True)
    table.add_column("ends at", no_wrap=True)
    table.add_column("likely", justify="right", no_wrap=True)
    table.add_column("at most", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.number),
            Text(_sections(row, NAME_CELLS if is_wide else NARROW_NAME_CELLS)),
            f"{row.piece.tokens:,}",
            *([f"{row.size_bytes:,}"] if is_wide else []),
            f"{row.first_line:,}-{row.last_line:,}",
            row.piece.seam.value,
            _price(plan, row.cost.likely_nano),
            _price(plan, row.cost.most_nano),
        )
    return table


def _sections(row: Row, cells: int) -> str:
    """``1-1 日 内 客厅 … 1-4 夜 外 天台 (4)``, shortened to what a terminal has room for."""
    first = ("… " if row.goes_on else "") + row.first
    if row.sections == 1:
        return _fitted(first, cells * 2)
    return f"{_fitted(first, cells)} … {_fitted(row.last, cells)} ({row.sections:,})"


def _fitted(text: str, cells: int) -> str:
    fitted = set_cell_size(text, cells).rstrip()
    return fitted if fitted == text else set_cell_size(text, cells - 1).rstrip() + "…"


def _price(plan: SplitPlan, nano: int | None) -> str:
    if plan.is_free:
        return "free"
    if nano is None or plan.price is None:
        return "-"
    return SYMBOLS.get(plan.price.currency, f"{plan.price.currency} ") + short(nano)


def _summary(plan: SplitPlan, rows: list[Row]) -> Iterator[str]:
    cut = plan.cut
    tokens = sum(row.piece.tokens for row in rows)
    size_bytes = sum(row.size_bytes for row in rows)
    parts = "1 part" if len(rows) == 1 else f"{len(rows):,} parts"
    yield (
        f"{parts}, {tokens:,} tokens, {size_bytes:,} bytes; at most {cut.budget_tokens:,} tokens "
        f"in a part; counted as {plan.counted_as}"
    )
    if plan.joins:
        yield f"then {len(plan.joins):,} more requests that make one answer of theirs, at most"
    for_task = f" for the task {plan.task}" if plan.task else ""
    costs = [*plan.costs, *plan.joins]
    tokens_in = sum(cost.input_tokens for cost in costs)
    tokens_out = sum(cost.output_tokens for cost in costs)
    yield (
        f"at {escape(plan.target.name)}{for_task} ({cut.mode}): {tokens_in:,} tokens in, context "
        f"included, about {tokens_out:,} out; {_total(plan, costs)}"
    )


def _total(plan: SplitPlan, costs: list[PartCost]) -> str:
    if plan.is_free:
        return "free"
    likely, most = (_sum(costs, name) for name in ("likely_nano", "most_nano"))
    if likely is None:
        return "no price is known"
    return f"likely {_price(plan, likely)}, at most {_price(plan, most)}"


def _sum(costs: list[PartCost], name: str) -> int | None:
    amounts = [getattr(cost, name) for cost in costs]
    return None if None in amounts else sum(amounts)


def split_object(plan: SplitPlan, source: ScriptFile) -> dict[str, Any]:
    """The same as JSON; amounts are decimal strings with every digit."""
    cut, rows = plan.cut, list(rows_of(plan, source))
    costs = [*plan.costs, *plan.joins]
    return {
        "file": source.name,
        "encoding": source.encoding,
        "bytes": len(source.raw),
        "target": plan.target.name,
        "task": plan.task,
        "mode": cut.mode,
        "counter": cut.counter.name,
        "counted_as": plan.counted_as,
        "budget_tokens": cut.budget_tokens,
        "is_script": cut.script.is_script,
        "parts": [_part_object(plan, row) for row in rows],
        "joins": len(plan.joins),
        "tokens": sum(row.piece.tokens for row in rows),
        "input_tokens": sum(cost.input_tokens for cost in costs),
        "output_tokens": sum(cost.output_tokens for cost in costs),
        "cost": _cost_object(plan, _sum(costs, "likely_nano"), _sum(costs, "most_nano")),
        "notes": list(plan.notes),
    }


def _part_object(plan: SplitPlan, row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "first": row.first,
        "last": row.last,
        "sections": row.sections,
        "goes_on": row.goes_on,
        "tokens": row.piece.tokens,
        "bytes": row.size_bytes,
        "lines": [row.first_line, row.last_line],
        "seam": row.piece.seam.value,
        "input_tokens": row.cost.input_tokens,
        "output_tokens": row.cost.output_tokens,
        "cost": _cost_object(plan, row.cost.likely_nano, row.cost.most_nano),
    }


def _cost_object(
    plan: SplitPlan, likely_nano: int | None, most_nano: int | None
) -> dict[str, str] | None:
    if plan.is_free:
        currency, likely_nano, most_nano = "USD", 0, 0
    elif plan.price is None or likely_nano is None or most_nano is None:
        return None
    else:
        currency = plan.price.currency
    likely, most = (exact(nano).replace(",", "") for nano in (likely_nano, most_nano))
    return {"currency": currency, "likely": likely, "max": most}
