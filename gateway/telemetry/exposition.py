"""Cells to the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from prometheus_client import CollectorRegistry, PlatformCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.errors import Outcome
from gateway.schema import TOKEN_CLASSES

from .cells import (
    ATTEMPTS,
    COST_NANO,
    DURATION_S,
    FIRST_TOKEN_S,
    INPUT_TOKENS,
    LIST_COST_NANO,
    OUTPUT_CHUNK_S,
    OUTPUT_TOKENS,
    TOKENS,
    Cells,
    Histogram,
    Key,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OPERATIONS: Mapping[str, str] = {
    "chat": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "messages": "chat",
    "responses": "chat",
}
"""``gen_ai.operation.name`` of each endpoint; one that is not here lends its own name."""

_MODEL = ("gen_ai_provider_name", "gen_ai_request_model")
_OUTCOMES = {outcome.label: outcome for outcome in Outcome}

Labels = tuple[str, ...]


def render(cells: Cells) -> bytes:
    """The text exposition format, ``CONTENT_TYPE``, with the platform's own figures."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_CellsCollector(cells))
    PlatformCollector(registry)
    return generate_latest(registry)


class _CellsCollector(Collector):
    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from _calls(self._cells)
        yield from _tokens_and_money(self._cells)
        yield from _histograms(self._cells)
        yield from _attempts(self._cells)
        yield from _rare(self._cells)
        yield from _series(self._cells)


def _text(flag: bool) -> str:
    return "true" if flag else "false"


def _operation(key: Key) -> str:
    return OPERATIONS.get(key.endpoint, key.endpoint)


def _counter(
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


def _sum_by(
    cells: Cells, read: Callable[[list[int]], int], labels: Callable[[Key], Labels]
) -> dict[Labels, int]:
    """One number of every cell, added up over those with the same labels; zeros left out."""
    sums: dict[Labels, int] = {}
    for key, numbers in cells.calls.items():
        if number := read(numbers):
            name = labels(key)
            sums[name] = sums.get(name, 0) + number
    return sums


def _read_calls(numbers: list[int]) -> int:
    return sum(numbers[DURATION_S.at : DURATION_S.sum_at])


def _calls(cells: Cells) -> Iterator[Metric]:
    requests = _sum_by(
        cells,
        _read_calls,
        lambda k: (
            k.endpoint,
            k.task or "",
            k.provider,
            k.model,
            k.outcome,
            _text(k.stream),
            _text(k.rehearsal),
        ),
    )
    yield _counter(
        "daobo_requests",
        "Calls, by what became of them.",
        ("endpoint", "task", *_MODEL, "outcome", "stream", "rehearsal"),
        requests,
    )
    errors = _sum_by(
        cells,
        _read_calls,
        lambda k: (k.outcome, _source(k.outcome), k.provider) if _failed(k) else (),
    )
    errors.pop((), None)
    yield _counter(
        "daobo_errors",
        "Calls without a complete answer, by whose doing it was.",
        ("error_type", "error_source", "gen_ai_provider_name"),
        errors,
    )


def _failed(key: Key) -> bool:
    return key.outcome != Outcome.OK.label


def _source(label: str) -> str:
    outcome = _OUTCOMES.get(label)
    if outcome is None or (outcome.status >= 500 and not outcome.from_upstream):
        return "gateway"
    return "upstream" if outcome.from_upstream else "client"


def _tokens_and_money(cells: Cells) -> Iterator[Metric]:
    tokens: dict[Labels, int] = {}
    for offset, name in enumerate(TOKEN_CLASSES):
        token_class = name.removesuffix("_tokens")
        for labels, count in _sum_by(
            cells,
            itemgetter(TOKENS + offset),
            lambda k: (k.task or "", k.provider, k.model, _text(k.estimated)),
        ).items():
            tokens[(*labels, token_class)] = count
    yield _counter(
        "daobo_tokens",
        "Tokens in disjoint classes; estimated ones were counted by the gateway.",
        ("task", *_MODEL, "estimated", "gen_ai_token_type"),
        tokens,
    )
    for name, at, documentation in (
        ("daobo_cost", COST_NANO, "What calls cost, in units of the currency."),
        (
            "daobo_list_cost",
            LIST_COST_NANO,
            "What the same usage costs at list price, rehearsal included.",
        ),
    ):
        yield _counter(
            name,
            documentation,
            ("currency", "task", *_MODEL),
            _sum_by(
                cells, itemgetter(at), lambda k: (k.currency, k.task or "", k.provider, k.model)
            ),
            1_000_000_000,
        )


def _histograms(cells: Cells) -> Iterator[Metric]:
    def by_model(key: Key) -> Labels:
        return (_operation(key), key.provider, key.model)

    operation = ("gen_ai_operation_name", *_MODEL)
    yield _histogram(
        "gen_ai_client_operation_duration_seconds",
        "From the call's arrival to the end of its answer.",
        (*operation, "error_type"),
        cells,
        (DURATION_S,),
        lambda key: (*by_model(key), key.outcome if _failed(key) else ""),
    )
    yield _histogram(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "From a streaming call's arrival to the first piece of its answer.",
        operation,
        cells,
        (FIRST_TOKEN_S,),
        by_model,
    )
    yield _histogram(
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        "Mean time between a stream's pieces after the first; one observation for each call.",
        operation,
        cells,
        (OUTPUT_CHUNK_S,),
        by_model,
    )
    yield _histogram(
        "gen_ai_client_token_usage",
        "Tokens of a call, all classes of a direction together.",
        (*operation, "gen_ai_token_type"),
        cells,
        (INPUT_TOKENS, OUTPUT_TOKENS),
        by_model,
        ("input", "output"),
    )


def _histogram(
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
                known = sums.get(labels(key))
                sums[labels(key)] = (
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


def _attempts(cells: Cells) -> Iterator[Metric]:
    attempts = _sum_by(cells, itemgetter(ATTEMPTS), lambda k: (k.provider, k.model, k.outcome))
    for labels, count in _events(cells, "attempt").items():
        attempts[labels] = attempts.get(labels, 0) + count
    yield _counter(
        "daobo_attempts",
        "Tries at upstreams; a call has one for each upstream it was sent to.",
        (*_MODEL, "outcome"),
        attempts,
    )


def _events(cells: Cells, event: str) -> dict[Labels, int]:
    return {name[1:]: count for name, count in cells.counts.items() if name[0] == event}


def _rare(cells: Cells) -> Iterator[Metric]:
    yield _counter(
        "daobo_fallbacks",
        "Calls answered by another target than the first that was tried.",
        ("from_provider", "to_provider"),
        _events(cells, "fallback"),
    )
    yield _counter(
        "daobo_classifier_guesses",
        "Calls whose task was guessed, by the guess.",
        ("task",),
        _events(cells, "guess"),
    )
    yield _counter(
        "daobo_config_loads",
        "Configurations read, by whether they were taken.",
        ("outcome",),
        {("ok",): 0, ("rejected",): 0} | _events(cells, "config_load"),
    )


def _series(cells: Cells) -> Iterator[Metric]:
    for name, series in cells.series.items():
        family: CounterMetricFamily | GaugeMetricFamily
        make = CounterMetricFamily if series.kind == "counter" else GaugeMetricFamily
        family = make(name, series.documentation, labels=series.labels)
        for labels, value in series.values.items():
            family.add_metric(labels, value)
        yield family
