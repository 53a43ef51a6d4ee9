"""``daobo split`` shows how a script would be cut and what that costs, without key or gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from gateway.cli import app

from .chunking.scripts import write_script

CONFIG = """
rehearsal: fallback
rehearsal_model: understudy
providers:
  studio: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1"}
  asleep: {type: openai, api_key: "${KEY_THAT_NOBODY_SETS}"}
  rehearsal: {}
models:
  writer:
    targets: [studio/writer-1]
    context_tokens: 32000
    price: {currency: CNY, input_per_mtok: "2", output_per_mtok: "8"}
  small: {targets: [studio/small-1], context_tokens: 3000, price: {free: true}}
  tiny: {targets: [studio/tiny-1], context_tokens: 200, price: {free: true}}
  sleeper: {targets: [asleep/gpt-4.1], price: {input_per_mtok: "2", output_per_mtok: "8"}}
  understudy: {targets: [rehearsal/rehearsal-writer], context_tokens: 8192}
tasks:
  draft: {models: [writer], max_output_tokens: 4000}
  polish: {models: [writer], max_output_tokens: 4000, chunking: {mode: map, budget_tokens: 900}}
  outline: {models: [writer], max_output_tokens: 4000, chunking: {mode: reduce, budget_tokens: 900}}
"""
SCRIPT = write_script("mixed", episodes=4, scenes=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    return tmp_path


def split(
    folder: Path, *arguments: str | Path, script: str | bytes = SCRIPT, columns: str = "140"
) -> Result:
    """The command on a file of this folder, unless the first argument names another."""
    file = folder / "script.txt"
    file.write_bytes(script if isinstance(script, bytes) else script.encode())
    named = [str(argument) for argument in arguments]
    if not named or named[0].startswith("--"):
        named.insert(0, str(file))
    options = ["--config", str(folder / "gateway.yaml"), "--state", str(folder / "state")]
    return CliRunner(env={"COLUMNS": columns}).invoke(app, ["split", *named, *options])


def shown(folder: Path, *arguments: str | Path, script: str | bytes = SCRIPT) -> Any:
    done = split(folder, *arguments, "--json", script=script)
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


def refused(folder: Path, *arguments: str | Path, script: str | bytes = SCRIPT) -> str:
    """The one sentence of a command that ends with 2."""
    done = split(folder, *arguments, script=script)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("daobo: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_table_has_a_row_for_each_part_and_the_totals(folder: Path) -> None:
    done = split(folder)
    assert done.exit_code == 0, done.output
    rows = done.stdout.splitlines()
    parts = len(shown(folder)["parts"])
    assert [row.split()[0] for row in rows[1 : parts + 1]] == [str(n + 1) for n in range(parts)]
    assert " ".join(rows[0].split()) == "part sections tokens bytes lines ends at likely at most"
    assert f"{parts} parts" in done.stdout
    assert "studio/writer-1 for the task polish (map)" in done.stdout


def test_a_narrow_terminal_gets_one_line_for_each_part(folder: Path) -> None:
    table, _, _ = split(folder, columns="80").stdout.partition("\n\n")
    rows = table.splitlines()[1:]
    parts = len(shown(folder)["parts"])
    assert [row.split()[0] for row in rows] == [str(n + 1) for n in range(parts)]
    assert max(map(cell_len, rows)) <= 80


def test_a_script_has_the_same_figures_each_time(folder: Path) -> None:
    assert shown(folder) == shown(folder)


def test_it_says_what_tokens_are_counted_by(folder: Path) -> None:
    unknown = "counted as unknown, by o200k_base x 1.15 on Chinese and x 1.20 on ASCII\n"
    assert unknown in split(folder).stdout
    assert "counted as gpt, by o200k_base\n" in split(folder, "--model", "sleeper").stdout


def test_it_runs_as_a_command_without_any_key(folder: Path) -> None:
    (folder / "script.txt").write_text(SCRIPT)
    command = [sys.executable, "-m", "gateway.cli", "split", "-", "--config", "gateway.yaml"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DAOBO_")}
    with (folder / "script.txt").open("rb") as file:
        done = subprocess.run(
            command, stdin=file, capture_output=True, text=True, cwd=folder, env=environ
        )
    assert done.returncode == 0, done.stderr
    assert "parts," in done.stdout


def test_parts_cover_all_lines_and_bytes_in_order(folder: Path) -> None:
    found = shown(folder)
    lines = [part["lines"] for part in found["parts"]]
    assert lines[0][0] == 1
    assert lines[-1][1] == SCRIPT.count("\n")
    assert all(after[0] == before[1] + 1 for before, after in pairwise(lines))
    assert sum(part["bytes"] for part in found["parts"]) == found["bytes"] == len(SCRIPT.encode())


def test_no_part_is_over_the_budget_of_its_task(folder: Path) -> None:
    found = shown(folder, "--task", "polish")
    assert found["budget_tokens"] == 900
    assert max(part["tokens"] for part in found["parts"]) <= 900
    assert {part["seam"] for part in found["parts"]} <= {"episode", "scene", "end"}


def test_a_smaller_window_makes_smaller_parts_than_asked_for(folder: Path) -> None:
    found = shown(folder, "--model", "small", "--budget-tokens", "2000")
    assert found["budget_tokens"] < 1200


def test_the_budget_can_be_named(folder: Path) -> None:
    assert shown(folder, "--task", "polish", "--budget-tokens", "500")["budget_tokens"] == 500


def test_costs_add_up_and_context_is_in_them(folder: Path) -> None:
    found = shown(folder, "--task", "polish")
    costs = [part["cost"] for part in found["parts"]]
    assert {cost["currency"] for cost in costs} == {"CNY"}
    assert sum(Decimal(cost["max"]) for cost in costs) == Decimal(found["cost"]["max"])
    assert all(Decimal(cost["likely"]) <= Decimal(cost["max"]) for cost in costs)
    assert all(part["input_tokens"] > part["tokens"] for part in found["parts"])


def test_a_call_would_hold_what_its_parts_cost_at_most(folder: Path) -> None:
    asked = {"model": "polish", "messages": [{"role": "user", "content": SCRIPT}]}
    (folder / "call.json").write_bytes(orjson.dumps(asked))
    options = ["--config", str(folder / "gateway.yaml"), "--state", str(folder / "state")]
    command = ["quote", str(folder / "call.json"), "--format", "json", *options]
    quoted = orjson.loads(CliRunner().invoke(app, command).stdout)
    held = Decimal(quoted["total"]["CNY"]["max"])
    assert held == Decimal(shown(folder, "--task", "polish")["cost"]["max"])


def test_the_requests_that_join_answers_are_paid_for_too(folder: Path) -> None:
    found = shown(folder, "--task", "outline")
    assert found["joins"] >= 1
    parts = sum(Decimal(part["cost"]["max"]) for part in found["parts"])
    assert Decimal(found["cost"]["max"]) > parts
    input_tokens = sum(part["input_tokens"] for part in found["parts"])
    assert found["input_tokens"] > input_tokens + 1000 * found["joins"]
    assert "make one answer of theirs" in split(folder, "--task", "outline").stdout


@pytest.mark.parametrize("model", ["understudy", "small"])
def test_what_bills_nothing_is_free(folder: Path, model: str) -> None:
    done = split(folder, "--model", model)
    assert "; free" in done.stdout
    assert shown(folder, "--model", model)["cost"] == {
        "currency": "USD",
        "likely": "0.000000000",
        "max": "0.000000000",
    }


def test_a_model_whose_key_is_missing_is_shown_as_it_will_be(folder: Path) -> None:
    found = shown(folder, "--model", "sleeper")
    assert found["target"] == "asleep/gpt-4.1"
    assert "KEY_THAT_NOBODY_SETS" in found["notes"][0]


def test_a_call_that_would_not_be_cut_is_said_so(folder: Path) -> None:
    assert "fits studio/writer-1 as it is" in shown(folder, "--model", "writer")["notes"][0]


def test_a_file_that_no_request_has_room_for_is_said_so(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(CONFIG + "server: {max_body_bytes: 1000}\n")
    assert any("max_body_bytes is 1,000" in note for note in shown(folder)["notes"])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_parts_written_to_files_join_to_the_script(folder: Path, newline: str, mark: str) -> None:
    raw = (mark + write_script("spaced", newline=newline)).encode()
    parts = shown(folder, "--output", folder / "parts", "--budget-tokens", "200", script=raw)[
        "parts"
    ]
    files = sorted((folder / "parts").iterdir())
    assert [file.name for file in files[:2]] == ["part-001.txt", "part-002.txt"]
    assert [file.stat().st_size for file in files] == [part["bytes"] for part in parts]
    assert b"".join(file.read_bytes() for file in files) == raw


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "big5"])
def test_other_encodings_are_read_and_written_as_they_are(folder: Path, encoding: str) -> None:
    scenes = [f"1-{n} 日 內 客廳\n△雨。\n林溪：你好。\n" for n in range(1, 21)]
    raw = "".join(["第1集\n", *scenes]).encode(encoding)
    options = ["--encoding", encoding, "--budget-tokens", "100", "--output", folder / "parts"]
    found = shown(folder, *options, script=raw)
    assert found["is_script"]
    assert len(found["parts"]) > 2
    assert b"".join(f.read_bytes() for f in sorted((folder / "parts").iterdir())) == raw


def test_an_encoding_that_would_change_bytes_writes_nothing(folder: Path) -> None:
    raw = b"\x1b(B" + b"INT. LIFT - NIGHT\n\nMara waits.\n\n" * 9  # an escape to where it is
    said = refused(folder, "--encoding", "iso2022_jp", "--output", folder / "parts", script=raw)
    assert "cannot be written byte for byte" in said
    assert "iconv" in said
    assert not (folder / "parts").exists()


def test_a_part_that_begins_within_a_scene_says_so(folder: Path) -> None:
    long_scene = "第1集\n1-1 日 内 医院\n" + "△雨点敲着玻璃。\n" * 60
    found = shown(folder, "--budget-tokens", "200", script=long_scene)
    assert [part["goes_on"] for part in found["parts"]] == [False] + [True] * (
        len(found["parts"]) - 1
    )
    table = split(folder, "--budget-tokens", "200", script=long_scene).stdout
    assert "\n   2 … 1-1 日 内 医院" in table


def test_a_file_in_gb18030_is_recognised_with_the_byte_and_the_way_out(folder: Path) -> None:
    said = refused(folder, script="第1集\n林溪：你好。\n".encode("gb18030"))
    assert "byte 0xB5 at offset 0 (line 1)" in said
    assert "--encoding gb18030" in said
    assert "iconv -f GB18030 -t UTF-8" in said


def test_a_text_that_is_no_script_is_cut_all_the_same(folder: Path) -> None:
    found = shown(folder, "--budget-tokens", "100", script="雨夜，林溪走进病房。\n" * 100)
    assert not found["is_script"]
    assert any("is no script" in note for note in found["notes"])
    assert len(found["parts"]) > 5


@pytest.mark.parametrize(("first", "then"), [("100", "900"), ("900", "100")])
def test_parts_of_another_run_are_not_mixed_in(folder: Path, first: str, then: str) -> None:
    split(folder, "--output", folder / "parts", "--budget-tokens", first)
    said = refused(folder, "--output", folder / "parts", "--budget-tokens", then)
    assert "other parts already" in said


def test_a_part_that_was_changed_by_hand_is_not_written_over(folder: Path) -> None:
    assert "part-001.txt" in split(folder, "--output", folder / "parts").stdout
    assert split(folder, "--output", folder / "parts").exit_code == 0
    (folder / "parts" / "part-002.txt").write_text("polished by hand")
    assert "part-002.txt" in refused(folder, "--output", folder / "parts")
    assert (folder / "parts" / "part-002.txt").read_text() == "polished by hand"


@pytest.mark.parametrize(
    ("arguments", "script", "said"),
    [
        (["missing.txt"], SCRIPT, "cannot be read"),
        ([], "", "is empty"),
        ([], "\ufeff", "is empty"),
        (["--model", "wrtier"], SCRIPT, "wrtier"),
        (["--task", "writer"], SCRIPT, "--task writer is not configured; there are draft, polish"),
        (["--model", "writer", "--task", "nothing"], SCRIPT, "--task nothing is not configured"),
        (["--budget-tokens", "7"], SCRIPT, "too small"),
        (["--model", "tiny"], SCRIPT, "no room"),
        (["--encoding", "klingon"], SCRIPT, "is not known"),
        (["--encoding", "ascii"], SCRIPT, "is not ASCII"),
        ([], b"\xff\xfe\x00\xd8", "utf-16"),
    ],
)
def test_wrong_input_gets_one_sentence(
    folder: Path, arguments: list[str], script: str | bytes, said: str
) -> None:
    assert said in refused(folder, *arguments, script=script)
