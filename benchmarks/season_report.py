"""The figures of a season as tables: on the terminal, and as Markdown for docs/season.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from gateway.ledger import NANO

from .report import Row, table
from .season_calls import Volumes

PAGE = Path(__file__).parent.parent / "docs" / "season.md"
VOLUMES_MARKS = ("<!-- volumes -->", "<!-- end of volumes -->")
FIGURES_MARKS = ("<!-- figures -->", "<!-- end of figures -->")
WIDTH = 160

Figures = Mapping[str, Any]


def show(figures: Figures) -> None:
    """Everything on the terminal."""
    console = Console(width=WIDTH, highlight=False)
    console.print(_circumstances(figures), style="dim")
    for title, rows in sections(figures):
        console.print(f"\n[bold]{title}[/]", end="")
        console.print(_rich(rows))
    for note in notes(figures):
        console.print(f"\n{note}")


def fill_page(figures: Figures, volumes: Volumes, page: Path = PAGE) -> None:
    """Put the volumes and the figures between the page's marks."""
    parts = [_circumstances(figures)]
    for title, rows in sections(figures):
        parts += [f"**{title}**", table(rows)]
    parts += notes(figures)
    parts += ["Prices: " + "; ".join(f"`{k}` {v}" for k, v in _used_sources(figures)) + "."]
    text = page.read_text(encoding="utf-8")
    text = _between(text, VOLUMES_MARKS, table(volume_rows(volumes)))
    page.write_text(_between(text, FIGURES_MARKS, "\n\n".join(parts)), encoding="utf-8")


def _between(text: str, marks: tuple[str, str], content: str) -> str:
    before, _, rest = text.partition(marks[0])
    return f"{before}{marks[0]}\n\n{content}\n\n{marks[1]}{rest.partition(marks[1])[2]}"


def sections(figures: Figures) -> list[tuple[str, list[Row]]]:
    name, scenario = next(iter(figures["scenarios"].items()))
    return [
        (f"By task, {name}", stage_rows(scenario)),
        ("The whole season, in yuan", sum_rows(figures)),
        (f"Each task on the targets of its ladder, {name}", ladder_rows(scenario)),
    ]


def stage_rows(scenario: Figures) -> list[Row]:
    """One row for each stage; tokens in thousands, written and cached ones too."""
    head = (
        "stage",
        "task",
        "target",
        "calls",
        "fresh k",
        "written k",
        "cached k",
        "output k",
    )
    rows: list[Row] = [(*head, "CNY", "share")]
    for name, stage in scenario["stages"].items():
        share = Decimal(100 * stage["cost_nano"]) / scenario["cost_nano"]
        targets = ", ".join(stage["targets"])
        tokens = [f"{stage[key] / 1000:,.0f}" for key in _TOKENS]
        cost = _yuan(stage["cost_nano"])
        rows.append((name, stage["task"], targets, _count(stage), *tokens, cost, f"{share:.1f} %"))
    stages = scenario["stages"].values()
    tokens = [f"{sum(stage[key] for stage in stages) / 1000:,.0f}" for key in _TOKENS]
    calls = f"{sum(stage['calls'] for stage in stages):,}"
    rows.append(("sum", "", "", calls, *tokens, _yuan(scenario["cost_nano"]), "100 %"))
    return rows


_TOKENS = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens")


def _count(stage: Figures) -> str:
    return f"{stage['calls']:,}"


def sum_rows(figures: Figures) -> list[Row]:
    """Routed and single models, a pair of columns for each scenario."""
    scenarios: Mapping[str, Figures] = figures["scenarios"]
    rows: list[Row] = [("", *(cell for name in scenarios for cell in (name, "×", "× net")))]
    routed = [(_yuan(s["cost_nano"]), "1", "") for s in scenarios.values()]
    rows.append(("by task", *(cell for cells in routed for cell in cells)))
    retries = [(_yuan(s["cost_nano"] + s["retry_cost_nano"]), "", "1") for s in scenarios.values()]
    rows.append(("by task, with retries", *(cell for cells in retries for cell in cells)))
    for label, model in _shown(figures):
        cells = [cell for s in scenarios.values() for cell in _single(s, model)]
        rows.append((label, *cells))
    return rows


def ladder_rows(scenario: Figures) -> list[Row]:
    """What each task would cost with another of its live targets first."""
    tasks: dict[str, dict[str, int]] = {}
    for stage in scenario["stages"].values():
        sums = tasks.setdefault(stage["task"], {})
        for target, nano in stage["ladder_nano"].items():
            sums[target] = sums.get(target, 0) + nano
    rows: list[Row] = [("task", "target", "CNY", "× first")]
    for task, sums in tasks.items():
        first_nano = next(iter(sums.values()))
        for target, nano in sums.items():
            rows.append((task, target, _yuan(nano), _ratio(nano, first_nano)))
    return rows


def _shown(figures: Figures) -> list[tuple[str, str]]:
    """The models of the table with their labels: dearest, the stated ones, cheapest."""
    singles = list(next(iter(figures["scenarios"].values()))["singles"])
    dearest, cheapest = singles[0], singles[-1]
    stated = [m for m in figures["single_models"] if m not in (dearest, cheapest)]
    labels = [(f"all on {dearest}, the dearest", dearest)]
    labels += [(f"all on {model}", model) for model in stated]
    return [*labels, (f"all on {cheapest}, the cheapest", cheapest)]


def _single(scenario: Figures, model: str) -> tuple[str, str, str]:
    if model not in scenario["singles"]:
        return "cannot", "", ""
    cost_nano = scenario["singles"][model]["cost_nano"]
    paid_nano = scenario["cost_nano"] + scenario["retry_cost_nano"]
    return _yuan(cost_nano), _ratio(cost_nano, scenario["cost_nano"]), _ratio(cost_nano, paid_nano)


def notes(figures: Figures) -> list[str]:
    """What the tables do not say."""
    first = next(iter(figures["scenarios"].values()))
    retries = sum(stage["retries"] for stage in first["stages"].values())
    percent = figures["retry_percent"]
    lines = [
        f"× is the sum over that of routing by task. × net sets the single model, charged once, "
        f"against routing that pays for its retries: {retries} calls ({percent} % by lot) were "
        f"charged twice."
    ]
    cheaper = [m for m, s in first["singles"].items() if s["cost_nano"] < first["cost_nano"]]
    lines.append(
        f"Of {len(first['singles'])} models that can do the whole season alone, {len(cheaper)} "
        f"cost less than routing by task: {', '.join(cheaper) or 'none'}."
    )
    if first["unable"]:
        lines.append(f"Cannot do every stage alone: {', '.join(first['unable'])}.")
    return lines


def volume_rows(volumes: Volumes) -> list[Row]:
    """What ``season.yaml`` says of each stage, characters a call."""
    head = ("stage", "task", "calls", "prefix", "fresh", "output", "output, Latin")
    rows: list[Row] = [head]
    for name, stage in volumes.stages.items():
        per = "" if stage.per == "season" else f" a {stage.per}"
        lengths = (stage.prefix_chars, stage.fresh_chars, stage.output_chars)
        latin = f"{stage.output_latin_chars:,}" if stage.output_latin_chars else ""
        cells = [f"{chars:,}" if chars else "" for chars in lengths]
        rows.append((name, stage.task, f"{stage.calls}{per}", *cells, latin))
    return rows


def _circumstances(figures: Figures) -> str:
    moments = {name: s["at"] for name, s in figures["scenarios"].items()}
    rate = Decimal(figures["cny_per_usd_nano"]) / NANO
    return (
        f"{figures['episodes']} episodes, seed {figures['seed']}, configuration "
        f"{figures['config']}, genai-prices {figures['genai_prices']}, {rate:.2f} CNY per USD. "
        + ", ".join(f"{name}: {at}" for name, at in moments.items())
        + "."
    )


def _used_sources(figures: Figures) -> list[tuple[str, str]]:
    """Price sources of the targets that the tables show."""
    first = next(iter(figures["scenarios"].values()))
    groups = [*first["stages"].values()]
    groups += [first["singles"][model] for _, model in _shown(figures) if model in first["singles"]]
    names = dict.fromkeys(name for group in groups for name in group["targets"])
    return [(name, figures["price_sources"][name]) for name in names]


def _yuan(nano: int) -> str:
    return f"{Decimal(nano) / NANO:,.2f}"


def _ratio(cost_nano: int, other_nano: int) -> str:
    return f"{Decimal(cost_nano) / other_nano:.2f}"


def _rich(rows: Sequence[Row]) -> Table:
    made = Table(box=MARKDOWN)
    for index, title in enumerate(rows[0]):
        made.add_column(title, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows[1:]:
        made.add_row(*row)
    return made
