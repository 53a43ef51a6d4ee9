"""The tables of what was tried: what each test measured, printed and, if asked, written to a page.

A test hands its line over with ``record_property``, under the name of a table; whether the test
passed is the verdict.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Table:
    """One table: its heading is the name of the property, too."""

    name: str
    head: tuple[str, ...]
    passed: str
    failed: str

    @property
    def marks(self) -> tuple[str, str]:
        """Comments in the page between which it stands."""
        return f"<!-- {self.name}: begin -->", f"<!-- {self.name}: end -->"

    def rows_of(self, reports: Iterable[pytest.TestReport]) -> list[tuple[str, ...]]:
        """The lines of the tests' final reports."""
        return [
            (*line, self.passed if report.passed else self.failed)
            for report in reports
            if report.when == "call"
            for line in self._lines(report)
        ]

    def _lines(self, report: pytest.TestReport) -> Iterator[tuple[str, ...]]:
        for name, value in report.user_properties:
            if name == self.name and isinstance(value, list | tuple):  # xdist makes lists of tuples
                yield tuple(map(str, value))

    def markdown(self, rows: Iterable[tuple[str, ...]]) -> str:
        head = (*self.head, "verdict")
        lines = [head, ("---",) * len(head), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


NOTHING_LOST = Table(
    "nothing lost", ("what was done", "what was found"), "as promised", "**not as promised**"
)
KEEPS_WORKING = Table(
    "keeps working", ("what was done", "goal", "what was found"), "reached", "**not reached**"
)
TABLES = (NOTHING_LOST, KEEPS_WORKING)


def replace_table(page: Path, table: Table, markdown: str) -> None:
    """Put the table between its two comments in the page. ValueError if there are none."""
    begin_mark, end_mark = table.marks
    before, begin, rest = page.read_text("utf-8").partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"{page}: there is no place for the table ({begin_mark} … {end_mark})")
    page.write_text(f"{before}{begin}\n{markdown}\n{end}{after}", "utf-8")
