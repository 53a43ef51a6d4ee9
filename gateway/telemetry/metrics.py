"""Counts every call in about a microsecond; what Prometheus reads is made when it asks.

Names follow the OpenTelemetry GenAI conventions where they have one
(https://github.com/open-telemetry/semantic-conventions-genai, read 2026-11-22). Labels come from
configured names only: whatever else a client sends is counted as ``other``.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from operator import attrgetter
from typing import cast

from gateway.errors import Outcome
from gateway.ledger import CURRENCIES, Closing
from gateway.schema import TOKEN_CLASSES, CallRecord, PartCounts, Usage

from .cells import (
    ATTEMPTS,
    DURATION_S,
    FIRST_TOKEN_S,
    INPUT_TOKENS,
    NOTHING,
    OUTPUT_CHUNK_S,
    OUTPUT_TOKENS,
    SIZE,
    TOKEN_BOUNDS,
    TOKENS,
    Cells,
    Key,
    RawKey,
    Series,
    merge,
)
from .costs import CostTable
from .exposition import render
from .fallbacks import fallbacks
from .names import ENDPOINTS, OTHER, Names
from .readings import Readings

GUESSED = "auto-classifier"
"""The route reason of a call whose task was guessed."""
RESULTS = {"cache": "hit", "twin": "twin", "idempotency": "idempotency"}
"""What a call found, by why it was not sent."""
MISS = "miss"
MAX_CELLS = 2000
"""Label combinations kept apart; later ones are counted as ``other``."""

_DURATION, _DURATION_SUM, _DURATION_BOUNDS = DURATION_S.at, DURATION_S.sum_at, DURATION_S.bounds
_FIRST, _FIRST_SUM, _FIRST_BOUNDS = FIRST_TOKEN_S.at, FIRST_TOKEN_S.sum_at, FIRST_TOKEN_S.bounds
_CHUNK, _CHUNK_SUM, _CHUNK_BOUNDS = OUTPUT_CHUNK_S.at, OUTPUT_CHUNK_S.sum_at, OUTPUT_CHUNK_S.bounds
_INPUT, _INPUT_SUM, _OUTPUT, _OUTPUT_SUM = (
    INPUT_TOKENS.at, INPUT_TOKENS.sum_at, OUTPUT_TOKENS.at, OUTPUT_TOKENS.sum_at,
)  # fmt: skip
_FRESH = TOKENS + TOKEN_CLASSES.index("input_tokens")
_TEXT = TOKENS + TOKEN_CLASSES.index("output_tokens")

_RARE = tuple(name for name in TOKEN_CLASSES if name not in ("input_tokens", "output_tokens"))
_RARE_AT = tuple(TOKENS + TOKEN_CLASSES.index(name) for name in _RARE)
_NONE_RARE = (0,) * len(_RARE)
_read_rare = attrgetter(*_RARE)


class Metrics(Readings):
    """An observer that counts, and the source of ``/metrics``.

    ``version`` is the gateway's own. Not thread-safe: call it on the event loop's thread.
    """

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self._calls: dict[Key, list[int]] = {}
        # A plain tuple finds a Key, they hash and compare alike, and costs half of one.
        self._find = cast("Callable[[RawKey], list[int] | None]", self._calls.get)
        self._counts: dict[tuple[str, ...], int] = {}
        self._names = Names()
        self._costs = CostTable(self._names, self._counts)
        self._charge = self._costs.charge
        self.set_known((), (), ())

    def set_known(
        self,
        tasks: Collection[str],
        models: Collection[str],
        providers: Collection[str],
        endpoints: Collection[str] = ENDPOINTS,
        currencies: Collection[str] = CURRENCIES,
    ) -> None:
        """The names that may become labels. ``models`` are the configured public names."""
        self._names.set_known(tasks, models, providers, endpoints, currencies)

    def __call__(self, record: CallRecord) -> None:
        target, task, outcome, duration_s = (
            record.target, record.task, record.outcome, record.duration_s,
        )  # fmt: skip
        if target is None:
            model, provider, rehearsal = record.requested_model, "", False
        else:
            model, provider, rehearsal = target.public_model, target.provider, target.rehearsal
        label, usage = outcome.label, record.usage
        key = (
            record.endpoint, task, model, provider, label, record.stream, rehearsal,
            usage.estimated,
        )  # fmt: skip
        cell = self._find(key) or self._open(key)
        cell[_DURATION_SUM] += int(duration_s * 1e6)
        cell[_DURATION + bisect_left(_DURATION_BOUNDS, duration_s)] += 1
        attempts = record.attempts
        if len(attempts) == 1 and attempts[0].target is target and attempts[0].outcome is outcome:
            cell[ATTEMPTS] += 1
            bill = attempts[0].bill
            if bill is not None:
                project = record.caller.project
                self._charge(
                    (project, task, model, provider, label, bill.estimated, bill.currency), bill
                )
        elif attempts:
            self._count_attempts(record)
        if target is not None:
            _count_tokens(cell, usage)
        if record.stream and record.time_to_first_token_s is not None and record.parts is None:
            _count_stream(cell, record.time_to_first_token_s, duration_s, record.chunks)
        if record.replayed or record.missed:
            self._count_replay(record)
        if record.route_reason == GUESSED:
            self._count("guess", self._names.task(task) or OTHER)
        if record.parts is not None:
            self._count_parts(record.parts, len(record.flags), self._names.task(task) or "")

    def charge_recovered(self, closing: Closing) -> None:
        """Count what a call was charged whose process died: nobody has a record of it."""
        request = closing.request
        assert request is not None
        for row in closing.attempts:
            self._charge(
                (
                    request.project, request.task, request.public_model or "", row.provider,
                    row.outcome, row.estimated, row.currency or "",
                ),
                row,
            )  # fmt: skip

    def snapshot(self) -> bytes:
        """This process's numbers, for ``merge`` in whichever process is asked."""
        return self._cells().dump()

    def render(self) -> bytes:
        """The Prometheus text of this process alone; a megabyte takes 50 ms."""
        return render(self._cells())

    async def scrape(self, shared: Mapping[str, Series] = NOTHING) -> bytes:
        """The same without holding up the event loop, with what no process has for itself."""
        snapshot = self.snapshot()
        return await asyncio.to_thread(lambda: render(merge([snapshot], shared)))

    def _cells(self) -> Cells:
        return Cells(self._calls, self._costs.sums, self._counts, self._read())

    def _open(self, key: RawKey) -> list[int]:
        """The cell of a combination that was not seen before, unknown names being ``other``."""
        endpoint, task, model, provider, outcome, stream, rehearsal, estimated = key
        names = self._names
        bounded = Key(
            names.endpoint(endpoint),
            names.task(task),
            names.model(model),
            names.provider(provider),
            outcome,
            stream,
            rehearsal,
            estimated,
        )
        if bounded not in self._calls and len(self._calls) >= MAX_CELLS:
            bounded = Key(OTHER, OTHER, OTHER, OTHER, outcome, stream, rehearsal, estimated)
        return self._calls.setdefault(bounded, [0] * SIZE)

    def _count(self, *name: str, by: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + by

    def _count_parts(self, parts: PartCounts, flags: int, task: str) -> None:
        """Of a call that was cut."""
        for result, count in zip(PartCounts._fields, parts, strict=True):
            if count:
                self._count("part", task, result, by=count)
        if flags:
            self._count("flag", task, by=flags)

    def _count_replay(self, record: CallRecord) -> None:
        """Whether there was a kept answer, and what it would have cost."""
        result = RESULTS.get(record.replayed, MISS)
        self._count("cache", result)
        saved = record.list_cost
        if record.replayed and saved is not None and saved.nano:
            self._count("saved", self._names.currency(saved.currency), result, by=saved.nano)

    def _count_attempts(self, record: CallRecord) -> None:
        names, target = self._names, record.target
        for attempt in record.attempts:
            tried, outcome, bill = attempt.target, attempt.outcome, attempt.bill
            provider, model = tried.provider, tried.public_model
            self._count("attempt", names.provider(provider), names.model(model), outcome.label)
            if bill is not None:
                label = (record.outcome if outcome is Outcome.OK else outcome).label
                self._charge(
                    (
                        record.caller.project, record.task, model, provider, label,
                        bill.estimated, bill.currency,
                    ),
                    bill,
                )  # fmt: skip
        if record.outcome is Outcome.OK and target is not None:
            for first, last in fallbacks(record.attempts, target, record.parts is not None):
                self._count("fallback", names.provider(first), names.provider(last))


def _count_stream(cell: list[int], first_s: float, duration_s: float, chunks: int) -> None:
    cell[_FIRST_SUM] += int(first_s * 1e6)
    cell[_FIRST + bisect_left(_FIRST_BOUNDS, first_s)] += 1
    if chunks > 1:
        chunk_s = (duration_s - first_s) / (chunks - 1)
        cell[_CHUNK_SUM] += int(chunk_s * 1e6)
        cell[_CHUNK + bisect_left(_CHUNK_BOUNDS, chunk_s)] += 1


def _count_tokens(cell: list[int], usage: Usage) -> None:
    total_in, total_out = usage.input_tokens, usage.output_tokens
    cell[_FRESH] += total_in
    cell[_TEXT] += total_out
    rare = _read_rare(usage)
    if rare != _NONE_RARE:
        total_in, total_out = usage.total_input_tokens, usage.total_output_tokens
        for at, count in zip(_RARE_AT, rare, strict=True):
            cell[at] += count
    if total_in or total_out:
        cell[_INPUT_SUM] += total_in
        cell[_INPUT + bisect_left(TOKEN_BOUNDS, total_in)] += 1
        cell[_OUTPUT_SUM] += total_out
        cell[_OUTPUT + bisect_left(TOKEN_BOUNDS, total_out)] += 1
