"""Groups cells by labels and makes Prometheus families of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from .cells import Cells, Histogram, Key, Series

K = TypeVar("K")
Labels = tuple[str, ...]


def sum_by(
    table: Mapping[K, list[int]], read: Callable[[list[int]], int], labels: Callable[[K], Labels]
) -> dict[Labels, int]:
    """One number of every cell, added up over those with the same labels; zeros left out."""
    sums: dict[Labels, int] = {}
    for key, numbers in table.items():
        if number := read(numbers):
            name = labels(key)
            sums[name] = sums.get(name, 0) + number
    return sums


def counter(
    name: str,
    documentation: str,
    labels: Sequence[str],
    values: Mapping[Labels, int],
    per_unit: int = 1,
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value / per_unit if per_unit > 1 else value)
    return family


def histogram(
    name: str,
    documentation: str,
    label_names: Sequence[str],
    cells: Cells,
    layouts: Sequence[Histogram],
    labels: Callable[[Key], Labels],
    directions: Sequence[str] = (),
) -> Metric:
    """One family; with ``directions``, each layout is told apart by a last label."""
    family = HistogramMetricFamily(name, documentation, labels=label_names)
    for position, layout in enumerate(layouts):
        sums: dict[Labels, list[int]] = {}
        for key, numbers in cells.calls.items():
            part = numbers[layout.at : layout.end]
            if any(part):
                group = labels(key)
                known = sums.get(group)
                sums[group] = (
                    part if known is None else [a + b for a, b in zip(known, part, strict=True)]
                )
        last = directions[position : position + 1]
        for group, part in sums.items():
            family.add_metric(
                (*group, *last), _buckets(layout, part[:-1]), part[-1] / layout.per_unit
            )
    return family


def _buckets(layout: Histogram, counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts under their upper bounds."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, layout.bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def watched(name: str, series: Series) -> Metric:
    make = CounterMetricFamily if series.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = make(
        name, series.documentation, labels=series.labels
    )
    for labels, value in series.values.items():
        family.add_metric(labels, value)
    return family
