"""What tests of faults share, and the table that they make together."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from .processes import UpstreamProcess
from .table import ROW, markdown, replace_table, rows_of

Note = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", type=Path, help="the page to write the table of faults to")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if isinstance(report, pytest.TestReport)
    ]
    if rows := rows_of(reports):
        terminalreporter.section("nothing lost")
        terminalreporter.write_line(markdown(rows))
        if page := config.getoption("--write-table", default=None):
            replace_table(page, markdown(rows))


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Puts a line into the table: what was done, what was found."""
    return lambda goal, figure: record_property(ROW, (goal, figure))


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[UpstreamProcess]:
    process = UpstreamProcess(tmp_path / "books")
    await process.start()
    yield process
    process.kill()
