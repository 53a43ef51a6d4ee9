"""Cells to the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

from prometheus_client import CollectorRegistry, PlatformCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.errors import Outcome
from gateway.ledger import NANO
from gateway.schema import TOKEN_CLASSES

from .cells import (
    ATTEMPTS,
    DURATION_S,
    FIRST_TOKEN_S,
    INPUT_TOKENS,
    OUTPUT_CHUNK_S,
    OUTPUT_TOKENS,
    TOKENS,
    Cells,
    Key,
)
from .costs import cost_families
from .families import Labels, counter, histogram, sum_by, watched

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MODEL = ("gen_ai_provider_name", "gen_ai_request_model")
_OUTCOMES = {outcome.label: outcome for outcome in Outcome}


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
        yield from _tokens(self._cells)
        yield from cost_families(self._cells)
        yield from _histograms(self._cells)
        yield from _attempts(self._cells)
        yield from _rare(self._cells)
        yield from _kept(self._cells)
        for name, series in self._cells.series.items():
            yield watched(name, series)


def _text(flag: bool) -> str:
    return "true" if flag else "false"


def _read_calls(numbers: list[int]) -> int:
    return sum(numbers[DURATION_S.at : DURATION_S.sum_at])


def _calls(cells: Cells) -> Iterator[Metric]:
    requests = sum_by(
        cells.calls,
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
    yield counter(
        "daobo_requests",
        "Calls, by what became of them.",
        ("endpoint", "task", *_MODEL, "outcome", "stream", "rehearsal"),
        requests,
    )
    errors = sum_by(
        cells.calls,
        _read_calls,
        lambda k: (k.outcome, _source(k.outcome), k.provider) if _failed(k) else (),
    )
    errors.pop((), None)
    yield counter(
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


def _tokens(cells: Cells) -> Iterator[Metric]:
    tokens: dict[Labels, int] = {}
    for offset, name in enumerate(TOKEN_CLASSES):
        token_class = name.removesuffix("_tokens")
        for labels, count in sum_by(
            cells.calls,
            itemgetter(TOKENS + offset),
            lambda k: (k.task or "", k.provider, k.model, _text(k.estimated)),
        ).items():
            tokens[(*labels, token_class)] = count
    yield counter(
        "daobo_tokens",
        "Tokens in disjoint classes; estimated ones were counted by the gateway.",
        ("task", *_MODEL, "estimated", "gen_ai_token_type"),
        tokens,
    )


def _histograms(cells: Cells) -> Iterator[Metric]:
    def by_model(key: Key) -> Labels:
        return (key.endpoint, key.provider, key.model)

    operation = ("gen_ai_operation_name", *_MODEL)
    yield histogram(
        "gen_ai_client_operation_duration_seconds",
        "From the call's arrival to the end of its answer.",
        (*operation, "error_type"),
        cells,
        (DURATION_S,),
        lambda key: (*by_model(key), key.outcome if _failed(key) else ""),
    )
    yield histogram(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "From a streaming call's arrival to the first piece of its answer.",
        operation,
        cells,
        (FIRST_TOKEN_S,),
        by_model,
    )
    yield histogram(
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        "Mean time between a stream's pieces after the first; one observation for each call.",
        operation,
        cells,
        (OUTPUT_CHUNK_S,),
        by_model,
    )
    yield histogram(
        "gen_ai_client_token_usage",
        "Tokens of a call, all classes of a direction together.",
        (*operation, "gen_ai_token_type"),
        cells,
        (INPUT_TOKENS, OUTPUT_TOKENS),
        by_model,
        ("input", "output"),
    )


def _attempts(cells: Cells) -> Iterator[Metric]:
    attempts = sum_by(cells.calls, itemgetter(ATTEMPTS), lambda k: (k.provider, k.model, k.outcome))
    for labels, count in _events(cells, "attempt").items():
        attempts[labels] = attempts.get(labels, 0) + count
    yield counter(
        "daobo_attempts",
        "Tries at upstreams; a call has one for each upstream it, or a part of it, was sent to.",
        (*_MODEL, "outcome"),
        attempts,
    )


def _events(cells: Cells, event: str) -> dict[Labels, int]:
    return {name[1:]: count for name, count in cells.counts.items() if name[0] == event}


def _kept(cells: Cells) -> Iterator[Metric]:
    yield counter(
        "daobo_cache",
        "Calls that might have been given a kept answer, by what was found.",
        ("result",),
        _events(cells, "cache"),
    )
    yield counter(
        "daobo_saved_cost",
        "What answers that were given again would have cost, in units of the currency.",
        ("currency", "result"),
        _events(cells, "saved"),
        NANO,
    )


def _rare(cells: Cells) -> Iterator[Metric]:
    yield counter(
        "daobo_fallbacks",
        "Calls, or parts of calls, answered by another target than the first that was tried.",
        ("from_provider", "to_provider"),
        _events(cells, "fallback"),
    )
    yield counter(
        "daobo_classifier_guesses",
        "Calls whose task was guessed, by the guess.",
        ("task",),
        _events(cells, "guess"),
    )
    yield counter(
        "daobo_script_parts",
        "Parts of calls that were cut, by what became of them.",
        ("task", "result"),
        _events(cells, "part"),
    )
    yield counter(
        "daobo_script_flags",
        "Doubts about answers that were put together of parts, and scenes that nobody answered.",
        ("task",),
        _events(cells, "flag"),
    )
    yield counter(
        "daobo_clamped_bills",
        "Bills that were cut to what was held, because the provider reported what cannot be.",
        _MODEL,
        _events(cells, "clamped"),
    )
