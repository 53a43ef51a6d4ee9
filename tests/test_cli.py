"""The command ``daobo`` where it comes to an end: help, checks, plugins, keys."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .command import COMMAND, daobo, daobo_process, environment, is_a_sentence
from .served import CONFIG


def test_help_names_every_command(tmp_path: Path) -> None:
    done = daobo_process(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("serve", "check", "plugins", "schema", "keys"):
        assert re.search(rf"\b{command} ", done.stdout)


HEAVY = {"aiohttp", "pydantic", "sqlalchemy", "structlog", "uvloop"}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], set()),
        (["keys", "list"], {"pydantic"}),
        (["budgets", "list"], {"pydantic"}),
        (["budgets", "set", "everything", "--cap", "1"], {"pydantic"}),
    ],
    ids=["help", "keys", "budgets", "a-budget"],
)
def test_a_command_loads_only_what_it_needs(
    tmp_path: Path, arguments: list[str], needed: set[str]
) -> None:
    """A web server, the models of the configuration and a database take most of a second."""
    command = [sys.executable, "-X", "importtime", "-m", "gateway.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gateway.cli_budgets" in modules
    assert modules & HEAVY == needed


def test_check_lists_every_route_of_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        CONFIG.replace("models:\n", "  sleeper: {type: openai, api_key: '${NOBODY}'}\nmodels:\n")
    )
    done = daobo(tmp_path, "check", "--config", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert "mine.yaml: in order" in done.stdout
    assert re.search(r"draft +rehearsal/rehearsal-writer", done.stdout)
    assert "provider sleeper (openai) waits for NOBODY" in done.stdout
    assert "long scripts" not in done.stdout


def test_check_says_which_tasks_cut_long_scripts(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        CONFIG.replace("[writer]}", "[writer], chunking: {mode: reduce}}")
    )
    done = daobo(tmp_path, "check", "--config", "mine.yaml")
    assert "tasks that cut long scripts: draft (reduce)\n" in done.stdout


def test_check_names_file_and_line_of_every_fault(tmp_path: Path) -> None:
    text = CONFIG + "  polish: {models: [wrter]}\nauto: {default_task: drft}\n"
    (tmp_path / "mine.yaml").write_text(text)
    done = daobo(tmp_path, "check", DAOBO_CONFIG="mine.yaml")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "daobo: mine.yaml:7: tasks.polish.models[0]: no model is called 'wrter' "
        "(did you mean 'writer'?)",
        "daobo: mine.yaml:8: auto.default_task: 'drft' is not configured (did you mean 'draft'?)",
    ]


def test_check_names_settings_that_nothing_acts_on_yet(tmp_path: Path) -> None:
    more = ", degrade: [{temperature: 0}]}"
    (tmp_path / "gateway.yaml").write_text(CONFIG.replace("[writer]}", "[writer]" + more))
    done = daobo(tmp_path, "check", "--config", "gateway.yaml")
    assert done.returncode == 0
    assert "tasks.draft.degrade has no effect in this version" in done.stdout


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_missing_file_is_a_sentence(tmp_path: Path, command: str) -> None:
    done = daobo_process(tmp_path, command, "--config", "nowhere.yaml")
    assert done.returncode == 1
    assert done.stderr == "daobo: nowhere.yaml: there is no such file; name one with --config\n"


def test_plugins_are_listed_with_what_they_registered(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    done = daobo_process(tmp_path, "plugins", "--config", "gateway.yaml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"core +daobo \(core\).*strategy priority", done.stdout)
    assert re.search(r"rehearsal +daobo +\S+ +provider rehearsal", done.stdout)


def test_a_key_is_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    made = daobo_process(tmp_path, "keys", "create", "Mei", "--project", "drama-7", "--state", "s")
    key_id, text = re.findall(r"key_\w+|sk-daobo-\S+", made.stdout)
    listed = daobo_process(tmp_path, "keys", "list", "--state", "s").stdout
    assert re.search(rf"{key_id} +Mei +drama-7", listed)
    assert text not in listed
    revoked = daobo_process(tmp_path, "keys", "revoke", key_id, DAOBO_STATE="s")
    assert revoked.stdout == f"{key_id} (Mei) is revoked\n"
    assert (tmp_path / "s" / "keys.json").exists()


def test_what_cannot_be_done_with_keys_is_a_sentence(tmp_path: Path) -> None:
    unknown = daobo(tmp_path, "keys", "revoke", "key_x")
    assert (unknown.returncode, is_a_sentence(unknown)) == (1, True)
    (tmp_path / "state").write_text("a file, not a folder")
    unwritable = daobo(tmp_path, "keys", "create", "Mei", "--state", "state")
    assert (unwritable.returncode, is_a_sentence(unwritable)) == (1, True)


def test_names_and_folders_with_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    state = ("--state", "[/state]")
    made = daobo(tmp_path, "keys", "create", "[draft] [/writer]", "--project", "[/p]", *state)
    listed = daobo(tmp_path, "keys", "list", *state)
    revoked = daobo(tmp_path, "keys", "revoke", made.stdout.split()[0], *state)
    nothing = daobo(tmp_path, "report", *state)

    assert "([draft] [/writer]): sk-daobo-" in made.stdout
    assert re.search(r"\[draft\] \[/writer\] +\[/p\]", listed.stdout)
    assert "([draft] [/writer]) is revoked" in revoked.stdout
    assert nothing.stderr.endswith("[/state]\n")


@pytest.mark.parametrize("command", [["schema"], ["keys", "list"], ["--help"]])
def test_a_disk_that_is_full_is_a_sentence(tmp_path: Path, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *command],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "daobo: the output cannot be written: No space left on device\n"


def test_the_vocabulary_is_listed_and_typed_for_plugin_authors() -> None:
    import gateway
    from gateway import vocabulary

    assert set(vocabulary.__all__) < set(dir(gateway))
    assert Path(gateway.__file__).with_name("py.typed").exists()
