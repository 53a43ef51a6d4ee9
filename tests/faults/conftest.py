"""What tests of faults share, and the tables that they make together."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from . import processes
from .processes import UpstreamProcess
from .table import KEEPS_WORKING, NOTHING_LOST, TABLES, replace_table

Note = Callable[[str, str], None]
Found = Callable[[str], None]
Goal = Callable[[str, str], Found]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", type=Path, help="the page to write the tables of faults to")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if isinstance(report, pytest.TestReport)
    ]
    page = config.getoption("--write-table", default=None)
    for table in TABLES:
        if rows := table.rows_of(reports):
            terminalreporter.section(table.name)
            terminalreporter.write_line(table.markdown(rows))
            if page:
                replace_table(page, table, table.markdown(rows))


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Puts a line into the table "nothing lost": what was done, what was found."""
    return lambda done, found: record_property(NOTHING_LOST.name, (done, found))


@pytest.fixture
def goal(record_property: Callable[[str, object], None]) -> Goal:
    """Puts a line into the table "keeps working": what is done and the figure to reach. What it
    returns takes the figures that were found; the line is there without them, too."""

    def begin(done: str, figure: str) -> Found:
        line = [done, figure, "it broke off before there was a figure"]
        record_property(KEEPS_WORKING.name, line)

        def found(figures: str) -> None:
            line[2] = figures

        return found

    return begin


@pytest.fixture(autouse=True)
def busy_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short forms run beside other tests: that a loop comes back late must not shed their calls."""
    if request.node.get_closest_marker("soak") is None:
        monkeypatch.setattr(processes, "SERVER", processes.PATIENT)


@pytest.fixture(scope="session")
def spare_upstreams() -> Iterator[list[UpstreamProcess]]:
    """Those that outlived their test: the next one has no need to start another."""
    spare: list[UpstreamProcess] = []
    yield spare
    processes.kill_all(spare)


@pytest.fixture
async def upstream(
    tmp_path: Path, spare_upstreams: list[UpstreamProcess]
) -> AsyncIterator[UpstreamProcess]:
    books = tmp_path / "books"
    if spare_upstreams:
        process = spare_upstreams.pop()
        await process.begin_books(books)
    else:
        process = UpstreamProcess(books)
        await process.start()
    yield process
    if process.alive:
        spare_upstreams.append(process)
