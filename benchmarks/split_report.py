"""The figures of cutting scripts as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
Row = Sequence[str]

LONG_GOAL_S = 1.0
WALL_GOAL = 1.2
"""Times the slowest wave of answers."""


def parts(figures: Figures) -> list[tuple[str, list[Row]]]:
    """Titles and rows."""
    size_kb = figures["race_bytes"] // 1000
    found = [
        ("**Scripts cut into parts**: what survives, the worse of budgets 800 and 4,000",
         _style_rows(figures["styles"])),
        (f"**Ways of cutting**, {size_kb} KB, mixed headings, budget {figures['race_budget']}, "
         f"warm; Daobo's first cut in a process takes {figures['cold_s']:.2f} s",
         _race_rows(figures["race"])),
        ("**A script of 10 MB**, budget 4,000", _long_rows(figures["long"])),
    ]  # fmt: skip
    if "wall" in figures:
        wall = figures["wall"]
        title = f"**{wall['parts']} parts through the gateway**, {wall['answer_s']:g} s an answer"
        found.append((title, _wall_rows(wall)))
    if "answers" in figures:
        title = (
            "**What comes back**, 500 KB in small parts, by what the model does; it asks $1 and $2 "
            "for a million tokens of four bytes"
        )
        found.append((title, _answer_rows(figures["answers"])))
    return found


def _style_rows(styles: Sequence[Figures]) -> list[Row]:
    rows: list[Row] = [("headings", "KB", "scenes", "recall", "precision", "order", "lossless")]
    for each in styles:
        shares = [f"{each[name]:.3f}" for name in ("recall", "precision", "order")]
        size = f"{each['bytes'] / 1000:.0f}"
        rows.append(
            (each["style"], size, f"{each['scenes']:,}", *shares, "yes" if each["join"] else "NO")
        )
    return rows


def _race_rows(race: Sequence[Figures]) -> list[Row]:
    rows: list[Row] = [
        ("", "MB/s", "pieces", "over budget", "scenes cut", "of", "bytes lost", "bytes doubled")
    ]
    for way in race:
        counts = ("pieces", "over_budget", "cut_scenes", "scenes", "lost_bytes", "doubled_bytes")
        rows.append((way["way"], f"{way['mb_per_s']:.1f}", *(f"{way[name]:,}" for name in counts)))
    return rows


def _long_rows(long: Figures) -> list[Row]:
    total_s = long["parse_s"] + long["split_s"]
    met = "yes" if total_s <= LONG_GOAL_S else "NO"
    return [
        ("", "s", "MB/s", "goal", "met"),
        *(
            (name, f"{long[key]:.2f}", f"{long['bytes'] / 1e6 / long[key]:.0f}", "", "")
            for name, key in (
                ("parsed", "parse_s"),
                ("split, by tokens", "split_s"),
                ("split, by characters", "pack_s"),
            )
        ),
        ("parsed and split by tokens", f"{total_s:.2f}", f"{long['bytes'] / 1e6 / total_s:.0f}",
         f"≤ {LONG_GOAL_S:g} s", met),
    ]  # fmt: skip


def _wall_rows(wall: Figures) -> list[Row]:
    rows: list[Row] = [("", "s", "× waves of answers", "goal", "met")]
    for pool, key in ((wall["pool"], "parallel_s"), (1, "serial_s")):
        waves_s = -(-wall["parts"] // pool) * wall["answer_s"]
        ratio = wall[key] / waves_s
        name = f"{pool} in parallel" if pool > 1 else "one after another"
        verdict = (
            (f"≤ {WALL_GOAL:g}", "yes" if ratio <= WALL_GOAL else "NO") if pool > 1 else ("", "")
        )
        rows.append((name, f"{wall[key]:.2f}", f"{ratio:.2f}", *verdict))
    return rows


def _answer_rows(answers: Sequence[Figures]) -> list[Row]:
    rows: list[Row] = [
        ("model", "parts", "recall", "precision", "order", "untouched scenes equal",
         "requests beyond one a part", "flagged", "cost of 1,000 characters"),
    ]  # fmt: skip
    for each in answers:
        shares = (f"{each[name]:.3f}" for name in ("recall", "precision", "order", "untouched"))
        again = f"{100 * each['retries']:.1f} %"
        cost = f"${each['cost_per_1000_chars']:.5f}"
        rows.append((each["model"], str(each["parts"]), *shares, again, str(each["flagged"]), cost))
    return rows
