"""What the pages for people say, held against the code that decides it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Outcome

from .source_tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "plugins" / "README.md"])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def error_rows() -> Iterator[tuple[str, ...]]:
    """The first seven cells of each row of the errors table in ``docs/wire.md``."""
    page = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Errors\n")
    for line in section.partition("\n## ")[0].splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) > 7:
            yield tuple(cells[:7])


def row_of(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.label,
        str(outcome.status),
        outcome.type,
        outcome.code or "—",
        outcome.retry.value,
        outcome.fate.value,
        _HEALTH[outcome.health],
    )


_HEALTH = {True: "good", False: "bad", None: "—"}


def test_the_errors_table_is_the_outcome_table() -> None:
    assert list(error_rows()) == [row_of(outcome) for outcome in Outcome]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, heading = link.partition("#")
        if "://" in link:
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (heading and heading not in headings(linked)):
            broken.append(link)
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_heading_becomes_the_anchor_that_links_name() -> None:
    assert {"errors", "not-yet", "retries-of-clients"} <= headings(ROOT / "docs" / "wire.md")


def test_the_tree_in_the_architecture_page_names_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [path for path in (ROOT / "gateway").rglob("*.py") if path.stem != "__init__"]
    assert modules
    assert [module.stem for module in modules if module.stem not in page] == []
