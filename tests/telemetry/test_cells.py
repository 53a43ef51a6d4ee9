"""Many processes' numbers become one, exactly."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import CHEAP, GOOD, STAND_IN, draft, metrics, value

from gateway.errors import Outcome
from gateway.ledger import Bill
from gateway.schema import Attempt, CallRecord, Target, Usage
from gateway.telemetry.cells import Cells, merge
from gateway.telemetry.exposition import render
from gateway.telemetry.metrics import Metrics

COUNTS = st.integers(0, 10**9)
SECONDS = st.floats(0, 10_000)


def used(fresh: int, cached: int, output: int, estimated: bool) -> Usage:
    return Usage(fresh, cached, output_tokens=output, estimated=estimated)


def tried(target: Target, outcome: Outcome, duration_s: float, bill: Bill | None) -> Attempt:
    return Attempt(target, outcome, duration_s, bill=bill)


BILLS = st.none() | st.builds(
    lambda currency, cost, listed, guess, cut: Bill(
        currency, cost, listed, estimated=guess, clamped=cut
    ),
    st.sampled_from(["USD", "CNY"]),
    COUNTS,
    COUNTS,
    st.booleans(),
    st.booleans(),
)


CALLS = st.builds(
    draft,
    task=st.sampled_from(["draft", "review", "unheard of", None]),
    target=st.sampled_from([CHEAP, GOOD, STAND_IN, None]),
    outcome=st.sampled_from(list(Outcome)),
    duration_s=SECONDS,
    stream=st.booleans(),
    time_to_first_token_s=st.none() | SECONDS,
    chunks=st.integers(0, 1000),
    usage=st.builds(used, COUNTS, COUNTS, COUNTS, st.booleans()),
    attempts=st.lists(
        st.builds(
            tried, st.sampled_from([CHEAP, GOOD]), st.sampled_from(list(Outcome)), SECONDS, BILLS
        ),
        max_size=3,
    ).map(tuple),
    route_reason=st.sampled_from(["task", "auto-classifier"]),
)


def counted(calls: list[CallRecord]) -> Metrics:
    counting = metrics()
    for call in calls:
        counting(call)
    return counting


def numbers(cells: Cells) -> object:
    return cells.calls, cells.costs, cells.counts


@given(st.lists(st.tuples(CALLS, st.integers(0, 3)), max_size=30))
def test_workers_together_count_what_one_would_have(calls: list[tuple[CallRecord, int]]) -> None:
    alone = counted([call for call, _ in calls]).snapshot()
    shares = [counted([c for c, w in calls if w == worker]).snapshot() for worker in range(4)]
    assert numbers(merge(shares)) == numbers(merge([alone]))


@given(st.lists(st.lists(CALLS, max_size=5), max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_workers_does_not_matter(shares: list[list[CallRecord]], random) -> None:  # type: ignore[no-untyped-def]
    snapshots = [counted(share).snapshot() for share in shares]
    shuffled = random.sample(snapshots, len(snapshots))
    assert numbers(merge(shuffled)) == numbers(merge(snapshots))


@given(st.lists(CALLS, max_size=5))
def test_a_merged_snapshot_can_be_merged_again(calls: list[CallRecord]) -> None:
    one = counted(calls).snapshot()
    assert numbers(merge([merge([one]).dump(), one])) == numbers(merge([one, one]))


@given(st.lists(CALLS, max_size=5))
def test_every_state_can_be_rendered(calls: list[CallRecord]) -> None:
    text = render(merge([counted(calls).snapshot()]))
    assert value(text, "daobo_requests_total") == len(calls)


def test_gauges_follow_their_own_rule() -> None:
    snapshots = []
    for in_flight, loaded_at_s, worst_lag_s in ((3, 100.0, 0.5), (4, 90.0, 0.1)):
        counting = metrics()
        counting.config_loaded("aaa", loaded_at_s)
        counting.watch("in_flight", "Sum.", lambda n=in_flight: n)
        counting.watch("lag_seconds", "Worst.", lambda n=worst_lag_s: n, merge="max")
        snapshots.append(counting.snapshot())
    text = render(merge(snapshots))
    assert value(text, "in_flight") == 7
    assert value(text, "lag_seconds") == 0.5
    assert value(text, "daobo_config_loaded_timestamp_seconds") == 90
    assert value(text, "daobo_config_info", version="aaa") == 2


def test_a_worker_that_ended_leaves_its_counters_but_not_its_gauges() -> None:
    counting = metrics()
    counting(draft())
    counting.watch("in_flight", "Gauge.", lambda: 9)
    counting.watch("lost_lines", "Counter.", lambda: 5, kind="counter")
    total = Cells()
    total.add(counting.snapshot(), gauges=False)
    text = render(total)
    assert value(text, "daobo_requests_total") == 1
    assert value(text, "lost_lines_total") == 5
    assert b"in_flight" not in text


@pytest.mark.parametrize(
    "snapshot",
    [
        b"",
        b"{}",
        b"[]",
        b'{"calls":[[["chat"],[1]]],"counts":[],"series":[]}',
        metrics().snapshot()[:-1],
        orjson.dumps({"calls": [[["chat", None, *"mpo", 0, 0, 0], [1]]], "counts": []}),
    ],
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(snapshot: bytes) -> None:
    total = Cells()
    with pytest.raises(ValueError, match="not a snapshot"):
        total.add(snapshot)
    assert total == Cells()
