"""``daobo budgets`` and the keys that name a place: real processes beside a gateway at work."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from gateway.budget_table import budget_table
from gateway.budget_words import NodeBalance, written_budget

from .command import Done, daobo, daobo_process, is_a_sentence
from .served import CONFIG, chat, eventually, serve

PRICED = CONFIG.replace(
    "[rehearsal/rehearsal-writer]}",
    "[asleep/writer-1, rehearsal/rehearsal-writer],\n"
    '    price: {currency: CNY, input_per_mtok: "10", output_per_mtok: "1000"}}',
).replace("providers:\n", "providers:\n  asleep: {type: openai, api_key: '${NOBODY}'}\n")
"""A stand-in for a model at one yuan for a thousand tokens."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(PRICED)
    return tmp_path


def budgets(folder: Path, *words: str, run: Callable[..., Done] = daobo) -> str:
    """What the command prints when all is well."""
    done = run(folder, "budgets", *words, DAOBO_CONFIG="gateway.yaml")
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder: Path, *words: str) -> str:
    """The sentence of a command that cannot do what it should."""
    done = daobo(folder, "budgets", *words, DAOBO_CONFIG="gateway.yaml")
    assert (done.returncode, is_a_sentence(done)) == (1, True), done.stderr
    return done.stderr.removeprefix("daobo: ").strip()


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(budgets(folder, "list"))))


def test_a_running_gateway_keeps_to_what_the_command_sets(folder: Path) -> None:
    with serve(folder) as served:

        def ask(project: str) -> tuple[int, str]:
            path = f"/p/{project}/v1/chat/completions"
            return served.ask(path, chat("writer", max_tokens=300))

        assert ask("night-market")[0] == 200
        budgets(folder, "set", "project=night-market", "--cap", "0.2", run=daobo_process)
        status, answer = ask("night-market")
        assert status == 429
        error = json.loads(answer)["error"]
        assert error["code"] == "insufficient_quota"
        assert "budget project=night-market has no room" in error["message"]
        assert "cap CNY 0.20" in error["message"]
        assert ask("other")[0] == 200
        budgets(folder, "set", "project=night-market", "--cap", "100")
        assert ask("night-market")[0] == 200
        budgets(folder, "set", "project=night-market", "--cap", "0")
        assert ask("night-market")[0] == 429
        budgets(folder, "remove", "project=night-market", run=daobo_process)
        assert ask("night-market")[0] == 200


def test_the_configurations_budgets_are_listed_and_left_alone(folder: Path) -> None:
    more = 'money: {budgets: [{project: moon, cap: "7", currency: USD, window: month}]}\n'
    (folder / "gateway.yaml").write_text(PRICED + more)
    with serve(folder):
        eventually(lambda: rows(folder))
    (row,) = rows(folder)
    assert (row["node"], row["cap"], row["origin"]) == ("project=moon", "7.00", "config")
    for words in (("set", "project=moon", "--cap", "9"), ("remove", "project=moon")):
        problem = refused(folder, *words, "--window", "month")
        assert "project=moon (month) stands in the configuration" in problem


def test_a_scope_is_one_word_or_several(folder: Path) -> None:
    printed = budgets(folder, "set", "project=moon", "episode=*", "--cap", "10")
    assert printed == ("budget project=moon,episode=*: CNY 10.00; it refuses what is beyond\n")
    budgets(folder, "set", "episode=*,project=moon", "--cap", "20", "--soft", "--warn-at", "50")
    (row,) = rows(folder)
    assert row == {
        "node": "project=moon,episode=*",
        "window": "total",
        "currency": "CNY",
        "cap": "20.00",
        "spent": "0.00",
        "held": "0.00",
        "left": "20.00",
        "used_percent": "0",
        "rehearsed": "0.00",
        "rehearsal_held": "0.00",
        "resets_at": "",
        "mode": "soft",
        "warn_at_percent": "50",
        "origin": "admin",
        "scope": "project=moon,episode=*",
    }


def test_days_are_those_of_the_configurations_time_zone(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(PRICED + "money: {time_zone: America/New_York}\n")
    budgets(folder, "set", "everything", "--cap", "5", "--currency", "usd", "--window", "day")
    (row,) = rows(folder)
    assert row["node"] == row["scope"] == "everything"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00-0[45]:00", row["resets_at"])


def test_json_has_decimal_strings(folder: Path) -> None:
    budgets(folder, "set", "project=moon", "--cap", "0.000000001")
    (row,) = json.loads(budgets(folder, "list", "--format", "json"))
    assert row["cap"] == "0.000000001"
    assert row["warn_at_percent"] == [80, 100]


def test_a_name_with_a_comma_is_written_in_percent(folder: Path) -> None:
    budgets(folder, "set", "project=Rain%2C Rain", "--cap", "1")
    (row,) = rows(folder)
    assert row["node"] == "project=Rain%2C Rain"
    budgets(folder, "remove", "project=Rain%2C Rain")
    assert rows(folder) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["set", "project", "--cap", "1"], "'project' is not LEVEL=VALUE"),
        (["set", "film=moon", "--cap", "1"], "'film' is no level; there are tenant, project"),
        (["set", "project=a", "project=b", "--cap", "1"], "'project' stands twice"),
        (["set", "task=drft", "--cap", "1"], "no task is called 'drft' (did you mean 'draft'?)"),
        (["set", "key=Mei", "--cap", "1"], "no key has the id 'Mei'; 'daobo keys list' shows"),
        (["set", "project=a", "--cap", "much"], "the cap 'much' is no amount"),
        (["set", "project=a", "--cap", "1", "--currency", "EUR"], "'EUR' is no currency here"),
        (["set", "project=a", "--cap", "1", "--window", "7w"], "'7w' is no window"),
        (["set", "project=a", "--cap", "1", "--window", "99999d"], "is longer than 9999d"),
        (["set", "project=a", "--cap", "1", "--warn-at", "lots"], "'lots' is no list of whole"),
        (["remove", "project=a"], "there are no budgets: there is no ledger at .state"),
        (["remove", "everything", "--window", "x"], "'x' is no window"),
    ],
)
def test_what_is_written_wrongly_is_a_sentence(
    folder: Path, words: list[str], problem: str
) -> None:
    assert problem in refused(folder, *words)


def test_a_database_that_is_no_database_is_a_sentence(folder: Path) -> None:
    (folder / ".state").mkdir()
    (folder / ".state" / "ledger.db").write_text("these are no tables, and never were" * 100)
    assert "the ledger's database cannot be used" in refused(folder, "list")


def test_a_list_makes_no_ledger_and_says_that_there_is_none(folder: Path) -> None:
    words = ("list", "--state", "mistyped", "--format", "json")
    done = daobo_process(folder, "budgets", *words)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert done.stderr == "there are no budgets: there is no ledger at mistyped\n"
    assert not (folder / "mistyped").exists()


def test_the_first_budget_says_where_a_ledger_was_made(folder: Path) -> None:
    def told() -> str:
        words = ("budgets", "set", "project=a", "--cap", "1", "--state", "new")
        return daobo(folder, *words, DAOBO_CONFIG="gateway.yaml").stderr

    assert "a new ledger was made in new" in told()
    assert told() == ""


# The table for people


def shown(*balances: NodeBalance) -> str:
    console = Console(width=160, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(budget_table(balances, has_bars=True))
    return capture.get()


def balance(spent: int, rehearsed: int = 0, window: str = "total") -> NodeBalance:
    made = written_budget((("project", "moon"),), "100", window=window)
    return NodeBalance(made, "project=moon", 1_796_000_000, spent * 10**9, 0, rehearsed)


@pytest.mark.parametrize(
    ("spent", "colour", "bar"),
    [(79, "\x1b[32m", "███████░░░"), (80, "\x1b[33m", "████████░░"), (120, "\x1b[31m", "█" * 10)],
    ids=["below-the-marks", "past-the-first", "full"],
)
def test_the_bar_shows_how_full_a_budget_is(spent: int, colour: str, bar: str) -> None:
    printed = shown(balance(spent))
    assert colour in printed
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    assert re.search(rf"{bar} +{spent} %", plain)
    assert f"{100 - spent}.00" in plain


def test_the_table_has_no_columns_for_what_no_budget_has() -> None:
    assert "rehearsed" not in shown(balance(1))
    assert "rehearsed" in shown(balance(1), balance(2, rehearsed=1))


def test_what_was_rehearsed_has_a_fill_of_its_own() -> None:
    printed = shown(balance(10, rehearsed=85 * 10**9))
    assert re.search("85.00 \x1b\\[33m 85 %", printed)
    assert re.search("\x1b\\[32m 10 %", printed)


# Keys that name a place


def test_a_keys_place_is_listed_with_it(tmp_path: Path) -> None:
    options = ["--project", "夜市", "--season", "1", "--tenant", " studio ", "--admin"]
    made = daobo(tmp_path, "keys", "create", "Mei", *options)
    assert made.returncode == 0, made.stderr
    (key,) = json.loads((tmp_path / ".state" / "keys.json").read_text())["keys"]
    assert (key["project"], key["season"], key["tenant"]) == ("夜市", "1", "studio")
    assert key["admin"] is True
    listed = daobo(tmp_path, "keys", "list").stdout
    assert re.search(r"Mei +夜市 +tenant=studio,season=1, admin", listed)
