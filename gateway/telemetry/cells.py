"""The numbers behind the metrics, and how those of several processes become one.

A cell belongs to one combination of labels and is a flat list of integers, so that merging is
plain addition and exact in any order. Times are summed in microseconds, money in billionths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import orjson

from gateway.schema import TOKEN_CLASSES

K = TypeVar("K")


class Key(NamedTuple):
    """The labels of a cell. Every word is a configured one, ``other``, or absent."""

    endpoint: str
    task: str | None
    model: str
    """The configured model's name, not the provider's id for it."""
    provider: str
    outcome: str
    stream: bool
    rehearsal: bool
    estimated: bool
    """The token counts are the gateway's own, the upstream reported none."""


RawKey = tuple[str, str | None, str, str, str, bool, bool, bool]
"""A Key before its words were checked."""


class CostKey(NamedTuple):
    """The labels of a sum of money, which belongs to attempts and not to calls."""

    project: str
    task: str | None
    model: str
    provider: str
    outcome: str
    """Of the attempt; of its call, if that failed all the same."""
    estimated: bool
    """Nobody reported what was used."""
    currency: str


RawCostKey = tuple[str | None, str | None, str, str, str, bool, str]
"""A CostKey before its words were checked."""
COST_NANO, LIST_COST_NANO = 0, 1
"""Places in a sum of money."""


class Histogram(NamedTuple):
    """Where a histogram lies in a cell: a count for each bucket from ``at`` on, then the sum."""

    at: int
    bounds: tuple[float, ...]
    """Inclusive upper bounds; one more bucket takes the rest."""
    per_unit: int
    """What one exposed unit is in the cell's integers: a million for seconds."""

    @property
    def sum_at(self) -> int:
        return self.at + len(self.bounds) + 1

    @property
    def end(self) -> int:
        return self.sum_at + 1


ATTEMPTS, TOKENS = 0, 1
"""Places in a cell; ``TOKENS`` is the first of ``TOKEN_CLASSES``, histograms follow."""

# The first 14 bounds are what the GenAI conventions ask for; answers of thinking models and
# whole scripts take minutes, so the series goes on to the longest deadline.
DURATION_S = Histogram(
    TOKENS + len(TOKEN_CLASSES),
    (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
     163.84, 327.68, 655.36),
    1_000_000,
)  # fmt: skip
FIRST_TOKEN_S = Histogram(
    DURATION_S.end,
    (0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 120.0),
    1_000_000,
)
OUTPUT_CHUNK_S = Histogram(
    FIRST_TOKEN_S.end,
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5),
    1_000_000,
)
TOKEN_BOUNDS = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
INPUT_TOKENS = Histogram(OUTPUT_CHUNK_S.end, TOKEN_BOUNDS, 1)
OUTPUT_TOKENS = Histogram(INPUT_TOKENS.end, TOKEN_BOUNDS, 1)

SIZE = OUTPUT_TOKENS.end


@dataclass(slots=True)
class Series:
    """Values that another room counts or measures, read when somebody asks."""

    documentation: str
    kind: Literal["counter", "gauge"]
    merge: Literal["sum", "min", "max"]
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
        for key, value in values:
            known = self.values.get(key)
            if known is None:
                self.values[key] = value
            elif self.merge == "sum":
                self.values[key] = known + value
            else:
                self.values[key] = (min if self.merge == "min" else max)(known, value)


@dataclass(slots=True)
class Cells:
    """Everything that a scrape shows, of one process or of many."""

    calls: dict[Key, list[int]] = field(default_factory=dict)
    costs: dict[CostKey, list[int]] = field(default_factory=dict)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Rare events: the first word of the key says which."""
    series: dict[str, Series] = field(default_factory=dict)

    def dump(self) -> bytes:
        return orjson.dumps(
            {
                "calls": list(self.calls.items()),
                "costs": list(self.costs.items()),
                "counts": list(self.counts.items()),
                "series": [
                    (name, s.documentation, s.kind, s.merge, s.labels, list(s.values.items()))
                    for name, s in self.series.items()
                ],
            },
            default=tuple,
        )

    def add(self, snapshot: bytes, *, gauges: bool = True) -> None:
        """Add another process's numbers; ``gauges=False`` for one that has ended.

        Raises ValueError for bytes that are no snapshot, and has then added nothing.
        """
        other = _load(snapshot)
        _add(self.calls, other.calls)
        _add(self.costs, other.costs)
        for name, number in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        for title, series in other.series.items():
            if gauges or series.kind == "counter":
                mine_series = self.series.setdefault(
                    title, Series(series.documentation, series.kind, series.merge, series.labels)
                )
                mine_series.add(series.values.items())


NOTHING: Mapping[str, Series] = {}


def merge(snapshots: Iterable[bytes], shared: Mapping[str, Series] = NOTHING) -> Cells:
    """The sum over processes: counters and histograms add, gauges follow a rule of their own.

    ``shared`` is what belongs to all of them at once, and is added by whoever is asked. Raises
    ValueError for bytes that are no snapshot.
    """
    total = Cells(series=dict(shared))
    for snapshot in snapshots:
        total.add(snapshot)
    return total


def _add(mine: dict[K, list[int]], other: Mapping[K, list[int]]) -> None:
    for key, numbers in other.items():
        known = mine.get(key)
        mine[key] = (
            numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
        )


def _load(snapshot: bytes) -> Cells:
    try:
        data: dict[str, Any] = orjson.loads(snapshot)
        calls = {Key(*key): numbers for key, numbers in data["calls"]}
        if any(len(numbers) != SIZE for numbers in calls.values()):
            raise ValueError("cells of another layout")
        costs = {CostKey(*key): [cost, listed] for key, (cost, listed) in data["costs"]}
        counts = {tuple(key): number for key, number in data["counts"]}
        series = {
            name: Series(text, kind, rule, tuple(labels), {tuple(k): v for k, v in values})
            for name, text, kind, rule, labels, values in data["series"]
        }
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"not a snapshot of this gateway's metrics: {error}") from error
    return Cells(calls, costs, counts, series)
