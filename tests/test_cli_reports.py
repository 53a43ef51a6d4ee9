"""``daobo report``, ``daobo export`` and ``daobo ledger verify`` on a ledger with a few calls."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
from io import BufferedReader
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.ledger import NANO, Place
from gateway.report import ReportTerms, parse_query
from gateway.report_table import bar, report_table, short
from gateway.stores.connections import connect
from gateway.stores.reports import report
from tests.command import COMMAND, daobo, daobo_process, environment
from tests.stores.written_calls import NOW_S, Books, Tried, at, line

VIDEO = Place(project="night-market", episode="1", shot="1", task="video")
DRAFT = Place(project="harbour-with-a-rather-long-name-that-has-to-be-folded", task="draft")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """6 yuan for a shot that took two takes, 10 cents for a draft, 2 yuan rehearsed."""
    with Books(f"sqlite:///{tmp_path / 'ledger.db'}") as books:
        books.call("c1", at("2026-11-21 10:00"), Tried((line("2"),)), place=VIDEO,
                   baseline=(5 * NANO, "CNY"))  # fmt: skip
        books.call("c2", at("2026-11-22 10:00"), Tried((line("4"),)), place=VIDEO)
        books.call("c3", at("2026-11-22 11:00"), Tried((line("0.1"),), currency="USD"), place=DRAFT)
        books.call("c4", at("2026-11-22 12:00"), Tried((line("2"),), rehearsal=True), place=VIDEO)
    return tmp_path


def test_a_report_that_goes_to_a_program_is_csv(state: Path) -> None:
    done = daobo(state, "report", "--by", "project", "--state", str(state))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["project"]: (row["CNY"], row["USD"], row["total"]) for row in rows} == {
        "night-market": ("6.00", "0.00", "6.00"),
        DRAFT.project: ("0.00", "0.10", "0.71"),
    }


def test_filters_and_formats_are_options(state: Path) -> None:
    done = daobo(state, "report", "--by", "day", "--project", "night-market", "--since",
                 "2026-11-22", "--format", "json", "--state", str(state))  # fmt: skip
    told = json.loads(done.stdout)
    assert told["since"] == "2026-11-21T16:00:00Z"  # midnight in Shanghai
    assert [group["group"]["day"] for group in told["groups"]] == ["2026-11-22"]
    assert told["total"]["spent"]["converted"]["total"] == "4.00"


def test_on_a_terminal_a_report_is_a_table(state: Path) -> None:
    ours, theirs = pty.openpty()
    command = [COMMAND, "report", "--by", "project", "--state", str(state)]
    with os.fdopen(ours, "rb") as screen:
        env = environment(TERM="xterm", COLUMNS="100")
        done = subprocess.run(command, stdout=theirs, env=env, cwd=state, check=True)
        os.close(theirs)
        shown = all_of(screen)
    assert done.returncode == 0
    assert "█" in shown
    assert "night-market" in shown


def all_of(screen: BufferedReader) -> str:
    """What was written to a terminal that nobody writes to any more."""
    shown = b""
    with contextlib.suppress(OSError):  # so a terminal says that it is at its end
        while piece := screen.read1():
            shown += piece
    return shown.decode()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_is_never_wider_than_the_terminal_and_names_every_group(
    state: Path, width: int
) -> None:
    shown = printed(state, width, by="project,task")
    assert max(cell_len(row) for row in shown.splitlines()) <= width
    assert "night" in shown
    assert "harbour" in shown
    assert "6.7100" in shown


def test_a_table_says_what_the_total_is_made_of(state: Path) -> None:
    shown = " ".join(printed(state, 160, by="project").split())
    for expected in (
        "spent CNY 6.0000 3 calls USD 0.1000 converted ≈ CNY 6.7100",
        "an accepted shot CNY 6.0000 1 shots",
        "retakes CNY 4.0000 1 calls",
        "saved CNY 3.0000 1 of 3 calls: 2.0000 instead of 5.0000 on the baseline",
        "held now 0.0000",
        "rehearsed CNY 2.0000 1 calls; nothing of it is charged",
        "Savings compare what was charged",
    ):
        assert expected in shown


def printed(state: Path, width: int, by: str) -> str:
    url = f"sqlite:///{state / 'ledger.db'}"
    result = report(url, parse_query([("by", by)]), ReportTerms("Asia/Shanghai", "CNY", NOW_S))
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(report_table(result, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.0000"), (1, "0.0001"), (1_234_567_890_123, "1,234.5679"), (-150_000, "-0.0001")],
)
def test_shown_amounts_are_rounded_up(nano: int, text: str) -> None:
    assert short(nano) == text


def test_bars_are_an_eighth_of_a_cell_fine() -> None:
    assert [bar(part, 16, 2) for part in (0, 1, 8, 12, 16)] == ["  ", "▏ ", "█ ", "█▌", "██"]


def test_an_export_goes_to_a_file_and_says_how_much_it_is(state: Path) -> None:
    words = ("-o", "out.csv", "--since", "2026-11-22", "--state", str(state))
    done = daobo_process(state, "export", *words)
    assert (done.stdout, done.stderr) == ("", "3 rows are in out.csv\n")
    with (state / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["BilledCost"] for row in rows] == ["4", "0.1", "0"]


@pytest.mark.parametrize(("form", "first"), [("jsonl", '{"started_at":'), ("csv", "started_at,")])
def test_other_formats_are_written_to_the_output(state: Path, form: str, first: str) -> None:
    done = daobo(state, "export", "--format", form, "--state", str(state))
    assert done.stdout.startswith(first)
    assert len(done.stdout.splitlines()) == 4 + (form == "csv")


def test_a_sound_ledger_is_verified(state: Path) -> None:
    done = daobo(state, "ledger", "verify", "--state", str(state))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "difference 0")
    assert "CNY 6.000000000" in done.stdout


def test_a_ledger_that_was_changed_is_named_and_fails(state: Path) -> None:
    connection = connect(f"sqlite:///{state / 'ledger.db'}")
    connection.execute("UPDATE ledger SET cost_nano = 1 WHERE request_id = 'c1'")
    connection.close()
    done = daobo_process(state, "ledger", "verify", "--state", str(state))
    assert done.returncode == 1
    assert "attempt 1 of request c1: output_tokens costs 1, " in done.stdout
    assert done.stdout.splitlines()[-1] == "difference 2"


def test_a_report_of_no_call_is_a_heading_alone(state: Path) -> None:
    done = daobo(state, "report", "--project", "nobody", "--state", str(state))
    assert list(csv.DictReader(io.StringIO(done.stdout))) == []
    assert done.stdout.startswith("project,task,currency,")


@pytest.mark.parametrize(
    ("command", "code"), [(("report",), 0), (("export",), 0), (("ledger", "verify"), 1)]
)
def test_before_the_first_call_nothing_was_spent(
    tmp_path: Path, command: tuple[str, ...], code: int
) -> None:
    done = daobo(tmp_path, *command, "--state", str(tmp_path / "state"))
    assert (done.returncode, done.stdout) == (code, "")
    assert "nothing was spent yet" in done.stderr
    assert not (tmp_path / "state" / "ledger.db").exists()


def test_a_report_onto_a_full_disk_is_a_sentence(state: Path) -> None:
    command = [COMMAND, "report", "--state", str(state)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
        )
    assert done.returncode == 1
    assert done.stderr.startswith("daobo: the file cannot be written")
    assert "Traceback" not in done.stderr


def test_a_database_of_another_kind_is_a_sentence(state: Path) -> None:
    done = daobo(state, "report", DAOBO_DATABASE_URL="mysql://writers@127.0.0.1/ledger")
    assert done.returncode == 1
    assert done.stderr.startswith("daobo: DAOBO_DATABASE_URL cannot be read; it is postgresql://")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("report", "--by", "colour"), "cannot group by 'colour'; there are tenant, project"),
        (("report", "--since", "yesterday"), "'yesterday' is no time; write 2026-11-01"),
        (("export", "--until", "soon"), "'soon' is no time"),
        (("report", "--since", "2026-11", "--until", "2026-10"), "no time lies between since 2026"),
        (("export", "--since", "2026-11", "--until", "2026-10"), "no time lies between since 2026"),
        (("export", "-o", "nowhere/out.csv"), "the file cannot be written"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    state: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = daobo(state, *arguments, "--state", str(state))
    assert done.returncode == 1
    assert done.stderr.startswith(f"daobo: {sentence}")
