"""``limits:`` in the configuration: what is refused, with line and sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.config import GatewayConfig
from gateway.config_file import default_config_path, load_config
from gateway.config_limits import LimitRule
from gateway.contracts import ProviderSettings
from gateway.errors import ConfigError

GOOD = """\
providers: {studio: {}}
models: {big: {targets: [studio/big-1]}}
tasks: {draft: {models: [big]}}
limits:
  rules:
  - {key: "*", requests_per_minute: 60}
  - {key: "*", task: draft, model: big, tokens_per_minute: 1000, burst_tokens: 5000}
  - {target: studio/big-1, concurrency: 3}
"""


def load(tmp_path: Path, text: str) -> GatewayConfig:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    types = {"studio": ProviderSettings}
    return load_config(path, types, frozenset({"priority"}), {}).config


def test_good_rules_are_taken(tmp_path: Path) -> None:
    rules = load(tmp_path, GOOD).limits.rules
    assert [len(rule.subjects) for rule in rules] == [1, 3, 1]


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        (
            "task: draft",
            "task: drft",
            ":7: limits.rules[1].task: no task is called 'drft' (did you mean 'draft'?)",
        ),
        (
            "model: big",
            "model: bigg",
            ":7: limits.rules[1].model: no model is called 'bigg' (did you mean 'big'?)",
        ),
        (
            "target: studio/big-1",
            "target: studio/big-2",
            ":8: limits.rules[2].target: no target is called 'studio/big-2' "
            "(did you mean 'studio/big-1'?)",
        ),
        (
            "target: studio/big-1",
            'key: "*"',
            ":8: limits.rules[2]: limits.rules[0] has the same subjects already; one rule can say "
            "it all",
        ),
        (
            "target: studio/big-1",
            "key: writers",
            ":8: limits.rules[2].key: 'writers' is no key's id; 'daobo keys list' shows them",
        ),
        (
            "target: studio/big-1",
            'project: ""',
            ":8: limits.rules[2].project: '' is the project of no call",
        ),
        (
            ", concurrency: 3",
            "",
            ":8: limits.rules[2]: a limit needs one of requests_per_minute, tokens_per_minute, "
            "concurrency",
        ),
        (
            "tokens_per_minute: 1000",
            "concurrency: 1000",
            ":7: limits.rules[1]: burst_tokens says nothing without tokens_per_minute",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant(right: str, wrong: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(right, wrong))
    assert caught.value.problems == (f"{tmp_path / 'gateway.yaml'}{problem}",)


def test_the_examples_in_the_bundled_file_are_rules() -> None:
    lines = default_config_path().read_text("utf-8").splitlines()
    began = lines.index("limits:")
    examples = [
        line.lstrip(" #")
        for line in lines[began : lines.index("  rules: []", began)]
        if line.lstrip().startswith("#   - {")
    ]
    rules = [LimitRule(**fields) for fields in yaml.safe_load("\n".join(examples))]
    assert len(rules) == len(examples) == 5


def test_hosts_are_told_apart_as_names_whatever_their_case(tmp_path: Path) -> None:
    hosts = "server: {allowed_hosts: [Gateway.Example, '[::1]']}\n"
    assert load(tmp_path, GOOD + hosts).server.allowed_hosts == ("gateway.example", "[::1]")


@pytest.mark.parametrize("host", ["gateway.example:8080", "http://gateway.example", "::1", ""])
def test_what_no_host_header_could_ever_match_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"server.allowed_hosts.*no name of a host"):
        load(tmp_path, f"{GOOD}server: {{allowed_hosts: ['{host}']}}\n")
