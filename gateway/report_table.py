"""What ``daobo report`` and ``daobo ledger verify`` print on a terminal.

Amounts are rounded up to a ten-thousandth of a unit; CSV and JSON have every digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rich.console import Console, RenderableType
from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from .ledger import NANO
from .report import Amounts, Book, Group, Held, ReportResult, label
from .report_text import CONVERSION_NOTE, REHEARSAL_NOTE, SAVINGS_NOTE
from .stores.verify import Findings

SHOWN_NANO = NANO // 10_000
NARROW = 60
"""Cells of a terminal with no room for explanations."""
NAME_CELLS = 28
UNLIMITED = 10_000
EIGHTHS = " ▏▎▍▌▋▊▉"
PARTS = (
    ("settled", "as the provider reported"),
    ("estimated", "the provider never said what was used"),
    ("recovered", "charged for calls whose process died"),
    ("clamped", "more was reported than was held; only that was charged"),
    ("retries", "attempts that another one followed"),
    ("waste", "paid, but the call failed, or a part of it"),
    ("unattributed", "calls without a project"),
)
ALWAYS = frozenset({"settled", "estimated"})


def report_table(result: ReportResult, console: Console) -> RenderableType:
    """The groups, largest spender first or in order of time, then what the total is made of."""
    parts: list[RenderableType] = []
    if result.query.by:
        parts += [_groups(result, console), ""]
    parts.append(_summary(result, has_notes=console.width >= NARROW))
    parts += [Text(note, style="dim") for note in _notes(result)]
    return Lines(*parts)


def short(nano: int) -> str:
    """``1,234.5679``: rounded up, so that a little is never shown as nothing."""
    units, rest = divmod(abs(-(-nano // SHOWN_NANO)), 10_000)
    return f"{'-' if nano <= -SHOWN_NANO else ''}{units:,}.{rest:04d}"


def bar(part: int, whole: int, cells: int) -> str:
    """A bar of block characters, an eighth of a cell fine."""
    eighths = part * cells * 8 // whole if whole > 0 else 0
    full, rest = divmod(max(0, eighths), 8)
    return ("█" * full + EIGHTHS[rest].strip()).ljust(cells)


class _Layout(NamedTuple):
    """What of a group is shown."""

    bar_cells: int = 0
    has_share: bool = False
    has_rehearsed: bool = False
    has_currencies: bool = True


LAYOUTS = (
    _Layout(20, has_share=True, has_rehearsed=True),
    _Layout(10, has_share=True, has_rehearsed=True),
    _Layout(has_share=True, has_rehearsed=True),
    _Layout(has_rehearsed=True),
    _Layout(),
    _Layout(has_currencies=False),
)
"""From the widest to the narrowest."""


def _groups(result: ReportResult, console: Console) -> Table:
    """The widest table that fits."""
    unlimited = console.options.update(max_width=UNLIMITED)
    for layout in LAYOUTS:
        table = _table(result, layout)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    return table


def _table(result: ReportResult, layout: _Layout) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for word in result.query.by:
        table.add_column(word, overflow="fold", max_width=NAME_CELLS, min_width=len(word))
    if layout.bar_cells:
        table.add_column("", no_wrap=True)
    for head in [*(["share"] if layout.has_share else []), *_heads(result, layout), "calls"]:
        table.add_column(head, justify="right", no_wrap=True)
    basis = _basis(result)
    totals = [_cost(group, basis, result) for group in result.groups]
    whole, largest = _cost(result.total, basis, result), max(totals, default=0)
    for group, cost in zip(result.groups, totals, strict=True):
        names = [Text(label(w, v)) for w, v in zip(result.query.by, group.key, strict=True)]
        bars = [Text(bar(cost, largest, layout.bar_cells), style="cyan")] * bool(layout.bar_cells)
        share = [_percent(cost, whole)] * layout.has_share
        calls = f"{group.spent.calls + group.rehearsed.calls:,}"
        table.add_row(*names, *bars, *share, *_cells(group, result, layout), calls)
    return table


def _basis(result: ReportResult) -> str:
    """The book that shares and bars are of: rehearsals only where nothing was spent."""
    return "spent" if any(result.total.spent.by_currency().values()) else "rehearsed"


def _cost(group: Group, basis: str, result: ReportResult) -> int:
    book: Book = getattr(group, basis)
    return book.converted(result.terms.currency).total


def _currencies(result: ReportResult) -> list[str]:
    return list(result.total.spent.by_currency())


def _has_conversion(result: ReportResult) -> bool:
    return any(unit != result.terms.currency for unit in _currencies(result))


def _shown_currencies(result: ReportResult, layout: _Layout) -> list[str]:
    wanted = layout.has_currencies or not _has_conversion(result)
    return _currencies(result) if wanted else []


def _heads(result: ReportResult, layout: _Layout) -> list[str]:
    converted = [f"≈ {result.terms.currency}"] if _has_conversion(result) else []
    rehearsed = [f"rehearsed, {result.terms.currency}"] * _has_rehearsed(result, layout)
    return [*_shown_currencies(result, layout), *converted, *rehearsed]


def _cells(group: Group, result: ReportResult, layout: _Layout) -> Iterator[str]:
    currency, charged = result.terms.currency, group.spent.by_currency()
    for unit in _shown_currencies(result, layout):
        yield short(charged.get(unit, Amounts()).total)
    if _has_conversion(result):
        yield short(group.spent.converted(currency).total)
    if _has_rehearsed(result, layout):
        yield short(group.rehearsed.converted(currency).total)


def _has_rehearsed(result: ReportResult, layout: _Layout) -> bool:
    return layout.has_rehearsed and not result.total.rehearsed.empty


def _summary(result: ReportResult, has_notes: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    currency, total = result.terms.currency, result.total
    _add_book(table, "spent", total.spent, currency, f"{total.spent.calls:,} calls")
    for name, amounts, note in _held_lines(result.held):
        table.add_row(name, amounts, note)
    if not total.rehearsed.empty:
        note = f"{total.rehearsed.calls:,} calls; nothing of it is charged"
        _add_book(table, "rehearsed", total.rehearsed, currency, note)
    if has_notes:
        table.columns[2].overflow = "fold"
        table.columns[2].style = "dim"
    else:
        del table.columns[2]
    return table


def _add_book(table: Table, name: str, book: Book, currency: str, note: str) -> None:
    sums = book.by_currency()
    table.add_row(Text(name, style="bold"), _money(sums, "total", currency), note)
    if any(unit != currency for unit in sums):
        table.add_row("  converted", f"≈ {currency} {short(book.converted(currency).total)}", "")
    for part, meaning in PARTS:
        if (part in ALWAYS and sums) or any(getattr(amounts, part) for amounts in sums.values()):
            table.add_row(f"  {part}", _money(sums, part, currency), meaning)
    _add_shots(table, book, currency)
    _add_savings(table, book, currency)
    if book.replays:
        note = f"{book.replays:,} calls; what they would have cost, had they been sent"
        table.add_row("  kept answers", f"{currency} {short(book.saved_nano(currency))}", note)


def _add_shots(table: Table, book: Book, currency: str) -> None:
    sums, each = book.converted(currency), book.per_shot_nano(currency)
    if each is not None:
        note = f"{len(book.shots):,} shots; all that calls with a shot cost"
        table.add_row("  an accepted shot", f"{currency} {short(each)}", note)
    if book.retakes:
        note = f"{book.retakes:,} calls after the first success of shot and task"
        table.add_row("  retakes", f"{currency} {short(sums.retakes)}", note)


def _add_savings(table: Table, book: Book, currency: str) -> None:
    if not book.compared_calls:
        return
    baseline_nano, cost_nano = book.baseline_nano(currency), book.converted(currency).compared
    compared = f"{book.compared_calls:,} of {book.calls:,} calls"
    note = f"{compared}: {short(cost_nano)} instead of {short(baseline_nano)} on the baseline"
    table.add_row("  saved", f"{currency} {short(baseline_nano - cost_nano)}", note)


def _held_lines(held: list[Held] | None) -> Iterator[tuple[Text, str, str]]:
    name = Text("held now", style="bold")
    if held is None:
        yield name, "", "not known by what was filtered by"
    elif not held:
        yield name, short(0), "no call is under way"
    for one in held or ():
        what = "for admitted quotes" if one.for_quote else "for calls under way"
        note = f"{what}, rehearsed" if one.rehearsal else what
        yield name, f"{one.currency} {short(one.nano)}", f"{one.holds:,} {note}"


def _money(sums: Mapping[str, Amounts], part: str, currency: str) -> str:
    """A part in each currency that has some of it."""
    parts = [f"{unit} {short(nano)}" for unit, a in sums.items() if (nano := getattr(a, part))]
    return "\n".join(parts) or f"{currency} {short(0)}"


def _notes(result: ReportResult) -> Iterable[str]:
    books = (result.total.spent, result.total.rehearsed)
    if any(unit != result.terms.currency for book in books for unit in book.by_currency()):
        yield CONVERSION_NOTE
    if any(book.compared_calls for book in books):
        yield SAVINGS_NOTE
    if not result.total.rehearsed.empty:
        yield REHEARSAL_NOTE


def _percent(part: int, whole: int) -> str:
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"


def findings_table(found: Findings) -> RenderableType:
    """Counts, sums by currency, and the one line that everything hangs on."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    for name in ("requests", "attempts", "ledger rows", "budgets", "holds"):
        table.add_row(name, f"{found.rows[name]:,}")
    for name in ("spent", "estimated", "rehearsed", "held"):
        for currency, nano in sorted(getattr(found, name).items()):
            if nano:
                table.add_row(name, f"{currency} {exact(nano)}")
    named = [Text(sentence) for sentence in found.named]
    if (more := found.faults - len(found.named)) > 0:
        named.append(Text(f"and {more:,} more"))
    return Lines(table, *named, Text(f"difference {found.faults:,}", style="bold"))


def exact(nano: int) -> str:
    """Every digit there is, so that two ledgers can be compared."""
    return f"{nano // NANO:,}.{nano % NANO:09d}"
