"""What ``daobo quote`` prints: each request's candidates, how the most comes about, and totals."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from .budget import amount
from .ledger import CURRENCIES, Line
from .price_words import money, where
from .quote import Candidate, Quote, QuotedCall


def show(out: Console, quoted: Quote) -> None:
    """Print the table."""
    out.print(_calls_table(quoted))
    out.print()
    out.print(_totals_table(quoted))
    rate = quoted.rate
    out.print(
        f"at {amount(rate.cny_per_usd_nano)} CNY for 1 USD"
        + (f" ({rate.checked}; {rate.source})" if rate.checked else f" ({rate.source})"),
        style="dim",
    )
    if quoted.hold_nano:
        held = money(quoted.hold_nano, quoted.currency)
        out.print(f"admitted as a whole, it holds {held}" + " (rehearsed)" * quoted.rehearsal)
    for warning in quoted.warnings:
        out.print(f"note: {warning}")


def _calls_table(quoted: Quote) -> Table:
    """What each candidate of each request costs one call, and how the maximum comes about;
    requests that are alike are one."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("cost of one call", overflow="fold")
    for name in ("min", "likely", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for call, copies in _merged(quoted):
        name = call.asked.call.model + (f" ({call.asked.call.endpoint})" * (call.task is None))
        table.add_row(f"[bold]{escape(name)}[/bold] x {copies:,}")
        for candidate in call.candidates:
            table.add_row(
                Padding(escape(_where_to(candidate)), (0, 0, 0, 2)),
                *(money(nano, candidate.currency, 4) for nano in candidate.cost),
            )
            table.add_row(Padding(f"[dim]{escape(_how(candidate))}[/dim]", (0, 0, 0, 4)))
    return table


def _merged(quoted: Quote) -> list[tuple[QuotedCall, int]]:
    """Calls that cost the same at the same places, with how many they are."""
    found: dict[object, tuple[QuotedCall, int]] = {}
    for call in quoted.calls:
        alike = (call.asked.call.model, call.asked.call.endpoint, call.candidates)
        first, copies = found.get(alike, (call, 0))
        found[alike] = first, copies + call.asked.copies
    return list(found.values())


def _where_to(candidate: Candidate) -> str:
    if candidate.stands_for:
        return f"{candidate.target} (stands for {candidate.stands_for})"
    return candidate.target + ("" if candidate.served else " (not served here)")


def _how(candidate: Candidate) -> str:
    if not candidate.lines:
        return f"free: {where(candidate.price)}" if candidate.price else "it bills nothing"
    lines = [line for line in candidate.lines if line.meter != "rounding"]
    parts = [_words(line, candidate.currency) for line in lines]
    return f"at most {' + '.join(parts)}; {where(candidate.price)}"


def _words(line: Line, currency: str) -> str:
    """``9,216 output tokens x ¥3.00 per 1,000,000``."""
    meter = line.meter.replace("_", " ")
    per = f" per {line.per:,}" if line.per > 1 else ""
    return f"{line.quantity:,} {meter} x {money(line.rate_nano, currency)}{per}"


def _totals_table(quoted: Quote) -> Table:
    copies = sum(call.asked.copies for call in quoted.calls)
    table = Table(f"total of {copies:,} calls", "min", "likely", "max", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for currency in CURRENCIES:
        amounts = [money(nano, currency, 4) for nano in quoted.total[currency]]
        table.add_row(currency, *amounts)
    return table
