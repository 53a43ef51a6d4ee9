"""Calls for the tests of this room."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import Outcome
from gateway.ledger import Bill
from gateway.schema import Attempt, Caller, CallRecord, Money, Target, Usage
from gateway.telemetry.metrics import Metrics

CHEAP = Target("deepseek", "deepseek-flash", "deepseek-flash")
GOOD = Target("anthropic", "claude-opus-5", "opus")
STAND_IN = Target("rehearsal", "actor", "opus", rehearsal=True)

BILL = Bill("USD", 1_250_000, 1_250_000)
DRAFT = CallRecord(
    call_id="call_1",
    endpoint="chat",
    caller=Caller("key_7", "moonlight", "lin"),
    outcome=Outcome.OK,
    started_at_s=1_795_300_000.0,
    duration_s=1.5,
    requested_model="draft",
    task="draft",
    route_reason="task",
    target=CHEAP,
    attempts=(Attempt(CHEAP, Outcome.OK, 1.4, bill=BILL),),
    usage=Usage(input_tokens=800, output_tokens=120),
    cost=Money(1_250_000),
    list_cost=Money(1_250_000),
    finish_reason="stop",
)


def draft(**changes: Any) -> CallRecord:
    """An ordinary call, but for ``changes``."""
    return DRAFT._replace(**changes)


def billed(target: Target, bill: Bill, outcome: Outcome = Outcome.OK) -> Attempt:
    return Attempt(target, outcome, 1.0, bill=bill)


def metrics() -> Metrics:
    counting = Metrics("1.2.3")
    counting.set_known(
        tasks=("draft", "review"),
        models=("deepseek-flash", "opus"),
        providers=("deepseek", "anthropic", "rehearsal"),
    )
    return counting


def samples(text: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample of an exposition, by its name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(text: bytes, name: str, **labels: str) -> float:
    """The sum of the samples of ``name`` that carry ``labels``."""
    return sum(
        number for found, number in samples(text).get(name, ()) if labels.items() <= found.items()
    )
