"""A run's figures beside the goals, as aligned tables that are Markdown as well.

``python -m benchmarks.report`` prints the last full run and puts it into docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import split_report
from .history import last_full_run

JSON_GOAL = 6.0
CHUNK_GOAL = 1.7
FIRST_CHUNK_GOAL_MS = 2.0
DELAY_GOAL_MS = 2.0
ADDED_P50_GOAL_MS, ADDED_P99_GOAL_MS = 0.9, 2.0
IDLE_GOAL_MB = 80.0
START_GOAL_S = 0.7

_PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- figures of the last full run -->", "<!-- end of figures -->"

Row = Sequence[str]


def tables(run: dict[str, Any]) -> str:
    """Every part the run has, a table each."""
    parts = [
        f"Run of {run['date']}, revision {run['revision']}, {run['cpu']}, Python "
        f"{run['python']}, {run['pinning']}. "
        f"Meanwhile other work kept {run['other_work_cores']:.2f} cores busy."
    ]
    if "json" in run:
        parts += [
            "**JSON calls**, 64 connections, saturated: CPU µs a call, calls a second on one core",
            table(_json_rows(run["json"])),
        ]
    for figures in run.get("streams", []):
        title = f"**{figures['streams']:,} streams**, 10 chunks a second each"
        parts += [title, table(_stream_rows(figures))]
    if "latency" in run:
        title = f"**{run['latency']['calls_per_s']} calls a second**, from the intended moment"
        parts += [title, table(_latency_rows(run["latency"]))]
    if "memory" in run:
        parts += ["**Memory and start**", table(_process_rows(run))]
    if "split" in run:
        for title, rows in split_report.parts(run["split"]):
            parts += [title, table(rows)]
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    first_width, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Row) -> str:
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))
        return "| " + " | ".join([row[0].ljust(first_width), *others]) + " |"

    rule = "|".join(["-" * (first_width + 2), *("-" * (width + 1) + ":" for width in widths)])
    return "\n".join([line(rows[0]), f"|{rule}|", *map(line, rows[1:])])


def _goal(value: float, goal: float, unit: str = "") -> tuple[str, str]:
    return f"≤ {goal:g}{unit}", "yes" if value <= goal else "NO"


def _json_rows(sizes: Sequence[dict[str, Any]]) -> list[Row]:
    rows: list[Row] = [
        ("body", "nginx µs", "gateway µs", "× nginx", "goal", "met", "nginx /s", "gateway /s")
    ]
    for size in sizes:
        nginx, gateway = size["nginx"], size["gateway"]
        rows.append(
            (
                f"{size['body_bytes']:,} B",
                f"{nginx['us_per_request']:.1f}",
                f"{gateway['us_per_request']:.1f}",
                f"{size['ratio']:.2f}",
                *_goal(size["ratio"], JSON_GOAL),
                f"{nginx['requests_per_s']:,.0f}",
                f"{gateway['requests_per_s']:,.0f}",
            )
        )
    return rows


def _stream_rows(figures: dict[str, Any]) -> list[Row]:
    direct, nginx, gateway = figures["direct"], figures["nginx"], figures["gateway"]

    def row(name: str, key: str) -> Row:
        return (name, *(f"{server[key]:.2f}" for server in (direct, nginx, gateway)), "", "")

    def cost(name: str, key: str) -> Row:
        return (name, "", f"{nginx[key]:.1f}", f"{gateway[key]:.1f}", "", "")

    def ratio(name: str, key: str) -> Row:
        value = gateway[key] / nginx[key]
        verdict = _goal(value, CHUNK_GOAL) if key == "steady_us_per_chunk" else ("", "")
        return (name, "", "1", f"{value:.2f}", *verdict)

    def added(name: str, key: str, goal: float) -> Row:
        extra = [server[key] - direct[key] for server in (nginx, gateway)]
        return (name, "", *(f"{value:.2f}" for value in extra), *_goal(extra[1], goal))

    stalls = [str(server["stalls"]) for server in (direct, nginx, gateway)]
    return [
        ("", "direct", "nginx", "gateway", "goal", "met"),
        cost("CPU µs a chunk, steady", "steady_us_per_chunk"),
        ratio("× nginx", "steady_us_per_chunk"),
        cost("CPU µs a chunk, openings included", "whole_us_per_chunk"),
        ratio("× nginx", "whole_us_per_chunk"),
        row("first chunk p50 ms", "first_chunk_p50_ms"),
        added("added", "first_chunk_p50_ms", FIRST_CHUNK_GOAL_MS),
        row("first chunk p99 ms", "first_chunk_p99_ms"),
        row("chunk delay p50 ms", "delay_p50_ms"),
        row("chunk delay p99 ms", "delay_p99_ms"),
        added("added", "delay_p99_ms", DELAY_GOAL_MS),
        ("stalls over 1 s", *stalls, *_goal(gateway["stalls"], 0)),
    ]


def _latency_rows(figures: dict[str, Any]) -> list[Row]:
    direct, nginx, gateway = figures["direct"], figures["nginx"], figures["gateway"]
    rows: list[Row] = [
        ("ms", "direct", "nginx", "gateway", "added by nginx", "added by gateway", "goal", "met")
    ]
    for key, goal in (("p50_ms", ADDED_P50_GOAL_MS), ("p99_ms", ADDED_P99_GOAL_MS)):
        taken = [server[key] for server in (direct, nginx, gateway)]
        extra = [value - direct[key] for value in taken[1:]]
        cells = [f"{value:.2f}" for value in (*taken, *extra)]
        rows.append((key.removesuffix("_ms"), *cells, *_goal(extra[1], goal)))
    return rows


def _process_rows(run: dict[str, Any]) -> list[Row]:
    memory, idle_mb = run["memory"], run["memory"]["idle"]["now_mb"]
    rows: list[Row] = [
        ("", "gateway", "goal", "met"),
        ("idle MB", f"{idle_mb:.1f}", *_goal(idle_mb, IDLE_GOAL_MB)),
        ("after the load MB", f"{memory['after']['now_mb']:.1f}", "", ""),
        ("peak MB", f"{memory['after']['peak_mb']:.1f}", "", ""),
    ]
    if "start" in run:
        start_s = run["start"]["median_s"]
        rows.append(("start to first answer s", f"{start_s:.2f}", *_goal(start_s, START_GOAL_S)))
    return rows


def fill_page(run: dict[str, Any], page: Path = _PAGE) -> None:
    """Put the figures between the page's two marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n\n{tables(run)}\n{_END}{after}")


def main() -> None:
    run = last_full_run()
    if run is None:
        raise SystemExit("no full run yet: python -m benchmarks")
    print(tables(run))
    fill_page(run)


if __name__ == "__main__":
    main()
