"""Dashboards, alerts and docs speak only of metrics and labels that exist."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ledger_figures import AUDIT, BUDGET, BUSY, Books
from records import CHEAP, GOOD, billed, draft, metrics, samples

from gateway.answer_archive import AnswerArchive
from gateway.budget_words import NodeBalance
from gateway.config import GatewayConfig
from gateway.config_limits import QueueConfig
from gateway.contracts import ProviderSettings
from gateway.errors import Outcome
from gateway.ledger import Bill
from gateway.limit_stores import LimitStores
from gateway.limits.memory_buckets import MemoryBuckets
from gateway.limits.turns import Pace
from gateway.plugins import discover
from gateway.provider_watch import ProviderWatch
from gateway.schema import Attempt, PartCounts, Target
from gateway.target_watch import TargetWatch
from gateway.telemetry.cells import merge
from gateway.telemetry.exposition import render
from gateway.telemetry.ledger_readings import LedgerReadings, budget_series

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "config/grafana/daobo.json").read_text())
ALERTS = yaml.safe_load((ROOT / "config/prometheus/alerts.yml").read_text())

FROM_PROMETHEUS = {"job", "instance", "le"}
NAME = re.compile(r"\b(?:daobo|gen_ai_client|process)_\w+")
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
GROUPING = re.compile(r"\bby \(([^)]*)\)")


def no_failure(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


def known() -> dict[str, set[str]]:
    """Every sample's labels, by name, after a call of each kind."""
    counting = metrics()
    counting.watch_gateway(lambda: 1, lambda: 1)
    counting.watch_overload(lambda: {("1",): 0.1}, lambda: 1, lambda: 1)
    LedgerReadings(counting, BUSY, Books(), lambda: AUDIT)
    targets = TargetWatch(counting, GatewayConfig())
    targets.health.of(Target("acme", "fast-1", "fast"))
    targets.retry_budget.take(0.0, "upstream_failed")
    limits = LimitStores(counting, {"DAOBO_REDIS_URL": "redis://127.0.0.1"}, no_failure)
    limits.refused("rules[0]", "requests")
    connect_a_provider(ProviderWatch(counting, discover(), {}))
    AnswerArchive(counting, {}, "sqlite:////nowhere", "one", no_failure)
    counting(draft(replayed="cache", attempts=()))
    guessed = Bill("USD", 1, 1, estimated=True, clamped=True)
    retried = (billed(GOOD, guessed, Outcome.UPSTREAM_CUT), Attempt(CHEAP, Outcome.OK, 1.0))
    counting(draft(stream=True, time_to_first_token_s=0.1, chunks=5, attempts=retried))
    counting(draft(outcome=Outcome.UPSTREAM_CUT, route_reason="auto-classifier"))
    counting(draft(parts=PartCounts(source=1), flags=("part 1 is the source's text",)))
    return {
        name: set().union(*(labels for labels, _ in found))
        for name, found in samples(
            render(merge([counting.snapshot()], budget_series([NodeBalance(BUDGET, "", None)])))
        ).items()
    }


def connect_a_provider(watch: ProviderWatch) -> None:
    settings = ProviderSettings(type="openai-compatible", base_url="http://127.0.0.1")
    pace = Pace(QueueConfig(), lambda target: (), lambda journey: 1, MemoryBuckets(time.monotonic))
    live = {"acme": settings}
    translators = watch.connector.translators(live, {})
    watch.enter(watch.connector.connect(live, translators, {}, pace), pace)


KNOWN = known()


def expressions() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


EXPRESSIONS = sorted(set(expressions()))


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_names_metrics_that_exist(title: str, expression: str) -> None:
    labels = set().union(*KNOWN.values())
    for name in NAME.findall(expression):
        assert name in KNOWN or name in labels
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_selects_and_groups_by_labels_that_exist(title: str, expression: str) -> None:
    used: set[str] = set()
    for name, selectors in SELECTOR.findall(expression):
        used |= KNOWN.get(name, set())
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors):
            assert label in KNOWN.get(name, FROM_PROMETHEUS) | FROM_PROMETHEUS
    for name in NAME.findall(expression):
        used |= KNOWN.get(name, set())
    for names in GROUPING.findall(expression):
        for label in names.split(","):
            assert label.strip() in used | FROM_PROMETHEUS


def test_alerts_name_outcomes_that_exist() -> None:
    labels = [outcome.label for outcome in Outcome]
    text = "\n".join(expression for _, expression in EXPRESSIONS)
    for pattern in re.findall(r'(?:outcome|error_type)=~?"([^"]+)"', text):
        assert any(re.fullmatch(pattern, label) for label in labels), pattern


def test_every_alert_says_how_bad_and_what_it_is() -> None:
    rules: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_panels_neither_overlap_nor_share_an_id() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_scrape_configuration_loads_the_alerts() -> None:
    configuration = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
    assert configuration["rule_files"] == ["alerts.yml"]
    assert configuration["scrape_configs"][0]["job_name"] == "daobo"


def test_the_documentation_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \|",
        (ROOT / "docs/metrics.md").read_text(),
        re.MULTILINE,
    )
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    exposed = {
        name.removesuffix("_bucket"): labels - {"le"}
        for name, labels in KNOWN.items()
        if not name.endswith(("_sum", "_count")) and not name.startswith("python_")
    }
    assert documented == exposed
