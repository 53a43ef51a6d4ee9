"""``money:`` and its budgets in the configuration: what is refused, with line and sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config_file import default_config_path, load_config
from gateway.contracts import ProviderSettings
from gateway.errors import ConfigError
from gateway.money.budgets import configured_budgets, task_shares

GOOD = """\
providers: {studio: {}}
models: {big: {targets: [studio/big-1]}}
tasks: {draft: {models: [big], budget_share: 0.6, baseline_model: big}}
money:
  baseline_model: big
  budgets:
  - {cap: "20000", window: month}
  - {project: night-market, episode: "*", cap: "0.5", currency: USD}
  - {project: night-market, task: draft, cap: "3", window: 24h, mode: soft}
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    types = {"studio": ProviderSettings}
    return load_config(path, types, frozenset({"priority"}), {}).config


def problem_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    return problem.removeprefix(str(tmp_path / "gateway.yaml"))


def test_budgets_become_what_the_ledger_keeps(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    budgets = {b.name: (b.cap, b.hard, b.origin) for b in configured_budgets(config).values()}
    assert budgets == {
        "everything": ("CNY 20000.00 a month", True, "config"),
        "project=night-market,episode=*": ("USD 0.50", True, "config"),
        "project=night-market,task=draft": ("CNY 3.00 in 1d", False, "config"),
    }
    assert task_shares(config) == {"draft": 600_000}


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (
            "task: draft, cap",
            "task: drft, cap",
            ":9: money.budgets[2]: no task is called 'drft' (did you mean 'draft'?)",
        ),
        (
            '{cap: "20000", window: month}',
            '{episode: "*", project: night-market, cap: "7"}',
            ":8: money.budgets[1]: project=night-market,episode=* has a budget with the window "
            "total already: money.budgets[0]; one of them has to go",
        ),
        (
            '{cap: "20000", window: month}',
            '{task: draft, project: night-market, cap: "7", window: 1d}',
            ":9: money.budgets[2]: project=night-market,task=draft has a budget with the window "
            "1d already: money.budgets[0]; one of them has to go",
        ),
        (
            "  baseline_model: big",
            "  baseline_model: bug",
            ":5: money.baseline_model: 'bug' is not configured (did you mean 'big'?)",
        ),
        (
            "0.6, baseline_model: big",
            "0.6, baseline_model: bug",
            ":3: tasks.draft.baseline_model: 'bug' is not configured (did you mean 'big'?)",
        ),
        (
            'cap: "20000"',
            'cap: "0.0000000001"',
            ":7: money.budgets[0].cap: the cap '0.0000000001' is no amount; write a decimal number "
            "with at most nine decimals, such as 1000 or 0.50",
        ),
        (
            "project: night-market, episode",
            "project: ' night', episode",
            ":8: money.budgets[1].project: ' night' is the project of no call: spaces are cut off",
        ),
        (
            "project: night-market, episode",
            "projekt: night-market, episode",
            ":8: money.budgets[1].projekt: unknown key (did you mean 'project'?)",
        ),
        (
            "money:\n",
            'money:\n  cny_per_usd: "0.00"\n',
            ":5: money.cny_per_usd: a dollar costs something; an exchange rate of 0 converts "
            "nothing",
        ),
    ],
)
def test_what_cannot_be_is_a_sentence_with_its_line(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    assert before in GOOD
    assert problem_of(tmp_path, GOOD.replace(before, after)) == problem


def test_one_scope_may_have_budgets_over_several_windows(tmp_path: Path) -> None:
    more = '  - {cap: "900", window: day}\n'
    assert len(configured_budgets(load(tmp_path, GOOD + more))) == 4


def test_the_examples_in_the_bundled_file_are_budgets(tmp_path: Path) -> None:
    lines = default_config_path().read_text("utf-8").splitlines()
    listed = [line for line in lines if line.startswith("  #   - {") and "cap:" in line]
    examples = [line.replace("#", "", 1) for line in listed]
    tasks = "tasks: {review: {models: [big]}}\n"
    head = "\n".join(GOOD.splitlines()[:2])
    text = f"{head}\n{tasks}money:\n  budgets:\n" + "\n".join(examples) + "\n"
    assert len(configured_budgets(load(tmp_path, text))) == len(examples) == 5
