"""Which calls, and parts of calls, were answered by another target than the first one tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.errors import Outcome
from gateway.schema import Attempt, Target

Change = tuple[str, str]
"""From this provider to that one; twice the same: to another of its models."""


def fallbacks(attempts: Sequence[Attempt], answered_by: Target, is_cut: bool) -> Iterator[Change]:
    """Of a call that was answered. Those of one that was cut are its parts'."""
    if is_cut:
        yield from _of_parts(attempts)
        return
    kept = [a.target for a in attempts if a.outcome is not Outcome.HEDGE_LOST]
    first = kept[0] if kept else attempts[0].target
    if answered_by.name != first.name:
        yield first.provider, answered_by.provider


def _of_parts(attempts: Sequence[Attempt]) -> Iterator[Change]:
    """One for each part at most; of a part that was asked for in pieces, the last one's."""
    first: dict[int | None, Target] = {}
    last: dict[int | None, Target] = {}
    for attempt in attempts:
        if attempt.outcome is not Outcome.HEDGE_LOST:
            first.setdefault(attempt.part, attempt.target)
        if attempt.outcome is Outcome.OK:
            last[attempt.part] = attempt.target
    for part, target in last.items():
        if target.name != first[part].name:
            yield first[part].provider, target.provider
