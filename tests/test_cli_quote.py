"""``daobo quote`` says what a file of requests will cost, with no gateway and no network."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from gateway.app import Gateway, Options
from gateway.errors import CallError
from gateway.quote_file import read_document
from gateway.quote_table import show
from gateway.schema import Caller
from gateway.server.calls import Arrival
from gateway.server.quote_entries import asked, read_entries

from . import command
from .command import Done, daobo_process

CONFIG = """
rehearsal: fallback
providers:
  studio: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1"}
  asleep: {type: openai, api_key: "${KEY_THAT_NOBODY_SETS}"}
  rehearsal: {}
models:
  writer:
    targets: [studio/writer-1]
    price: {currency: CNY, input_per_mtok: "2", output_per_mtok: "8"}
  sleeper: {targets: [asleep/gpt-4.1], price: {input_per_mtok: "2", output_per_mtok: "8"}}
  gratis: {targets: [studio/gratis-1], capabilities: [image], price: {free: true}}
  understudy: {targets: [rehearsal/rehearsal-writer]}
tasks:
  draft: {models: [writer], max_output_tokens: 1000}
  polish: {models: [sleeper, understudy], max_output_tokens: 1000}
"""
AT_S = 1_795_348_800.0


def chat(model: str = "draft", text: str = "雨夜", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


CLIP = {"model": "kling/kling-v3", "prompt": "rain", "seconds": "5", "resolution": "720p"}
EPISODE = {"requests": [chat(count=3), chat(), CLIP, {**CLIP, "count": 11}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    return tmp_path


def daobo(folder: Path, document: Any, *arguments: str) -> Done:
    """The command on a file of this folder."""
    text = document if isinstance(document, str) else orjson.dumps(document).decode()
    (folder / "episode.json").write_text(text)
    return command.daobo(folder, "quote", "episode.json", *arguments, *options(folder))


def options(folder: Path) -> tuple[str, ...]:
    return ("--config", str(folder / "gateway.yaml"), "--state", str(folder / "state"))


def printed(folder: Path, document: Any) -> str:
    """What the table says, without starting a process."""
    gateway = Gateway(Options(folder / "gateway.yaml", folder / "state", {}), lambda record: None)
    entries = asked(read_entries(document), Caller("k"), None, Arrival("c", AT_S, 0.0))
    console = Console(file=io.StringIO(), width=220, highlight=False)
    show(console, gateway.rooms.serving.quoter.quote(entries))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_episode_is_quoted_in_both_currencies(folder: Path) -> None:
    done = daobo(folder, EPISODE, "--format", "json")
    assert done.returncode == 0, done.stderr
    quote = orjson.loads(done.stdout)
    clips = [entry for entry in quote["requests"] if entry["endpoint"] == "video"]
    assert sum(entry["count"] for entry in clips) == 12
    totals = {currency: Decimal(cost["max"]) for currency, cost in quote["total"].items()}
    assert totals["CNY"] > 12 * Decimal("4.50")
    assert abs(totals["CNY"] / Decimal("7.10") - totals["USD"]) < Decimal("0.000001")


def test_the_table_merges_what_is_alike_and_sums_it_up(folder: Path) -> None:
    document = orjson.dumps(EPISODE).decode()
    done = daobo_process(folder, "quote", "-", *options(folder), stdin=document, COLUMNS="220")
    assert done.returncode == 0, done.stderr
    rows = [line.strip() for line in done.stdout.splitlines()]
    assert [row for row in rows if row.startswith("draft")] == ["draft x 4"]
    assert next(row for row in rows if row.startswith("kling")).endswith("x 12")
    assert "total of 16 calls" in done.stdout
    assert "nobody here serves 12 of these calls" in done.stdout


def test_the_table_says_how_the_maximum_comes_about(folder: Path) -> None:
    said = printed(folder, [chat(), CLIP])
    assert "2,024 output tokens x ¥8.00 per 1,000,000" in said
    assert "5,000 video ms x ¥0.90 per 1,000; klingai.com" in said


def test_a_stand_in_is_shown_with_whom_it_stands_for(folder: Path) -> None:
    said = printed(folder, chat("polish"))
    assert "rehearsal/rehearsal-writer (stands for asleep/gpt-4.1)" in said
    assert "(rehearsed)" in said


def test_what_is_free_and_what_bills_nothing_say_so(folder: Path) -> None:
    said = printed(folder, [{"model": "gratis", "prompt": "rain"}, chat("understudy")])
    assert "free: " in said
    assert "it bills nothing" in said


def test_a_batch_file_is_read_line_by_line(folder: Path) -> None:
    lines = [
        {"custom_id": f"scene-{n}", "method": "POST", "url": "/v1/chat/completions", "body": chat()}
        for n in range(3)
    ]
    done = daobo(folder, "\n".join(orjson.dumps(line).decode() for line in lines) + "\n\n",
                 "--format", "json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    ids = [entry["custom_id"] for entry in orjson.loads(done.stdout)["requests"]]
    assert ids == ["scene-0", "scene-1", "scene-2"]


def test_a_wrong_entry_is_named_and_nothing_is_quoted(folder: Path) -> None:
    done = daobo(folder, [chat(), {"model": "draft", "messages": []}])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.rstrip().endswith(
        "episode.json: requests[1].messages must be a non-empty list, not an empty array"
    )


def test_a_file_that_is_not_there_is_said_to_be_so(folder: Path) -> None:
    done = command.daobo(folder, "quote", "missing.json", *options(folder))
    assert done.returncode == 1
    assert "missing.json: cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b'{"a": 1}\n{"a": \n', "line 2: the body is not valid JSON"),
        (b'{"a": 1,\n "a": 2}', "stands twice"),
        (b'{"a": 1, "a": 2}\n{"a": 1}', "line 1: the key 'a' stands twice"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(raw: bytes, said: str) -> None:
    with pytest.raises(CallError, match=said):
        read_document(raw)


def test_one_object_over_several_lines_is_one_request() -> None:
    assert read_document(b'{\n "model": "draft"\n}\n') == {"model": "draft"}
