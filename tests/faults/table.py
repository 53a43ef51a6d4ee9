"""The table of "Nothing lost": what each test measured, printed and, if asked, written to a page.

A test hands its line over with ``record_property(ROW, [goal, figure])``; whether it passed is the
verdict.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROW = "nothing lost"
BEGIN, END = "<!-- what was tried: begin -->", "<!-- what was tried: end -->"
HEAD = ("what was done", "what was found", "verdict")


def rows_of(reports: Iterable[pytest.TestReport]) -> list[tuple[str, str, str]]:
    """The lines of the tests' final reports."""
    return [
        (done, found, "as promised" if report.passed else "**not as promised**")
        for report in reports
        if report.when == "call"
        for done, found in _lines(report)
    ]


def _lines(report: pytest.TestReport) -> Iterator[tuple[str, str]]:
    for name, value in report.user_properties:
        if name == ROW and isinstance(value, list | tuple):  # xdist makes lists of tuples
            done, found = value
            yield str(done), str(found)


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_table(page: Path, table: str) -> None:
    """Put the table between the page's two comments. ValueError if it has none."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: there is no place for the table ({BEGIN} … {END})")
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")
