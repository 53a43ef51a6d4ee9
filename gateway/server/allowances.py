"""What is left of the limits that concern a call, in the headers that OpenAI's API has for it.

Names and formats as in https://platform.openai.com/docs/guides/rate-limits (read 2026-11-23):
``x-ratelimit-reset-…`` is a duration such as ``20ms``, ``1s`` or ``6m0s``.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from gateway.schema import Allowance, Allowances


def allowance_headers(allowances: Allowances) -> Iterator[tuple[str, str]]:
    """Three headers for each kind that is limited."""
    for three in allowance_lines(allowances):
        for line in three.split("\r\n"):
            name, _, text = line.partition(": ")
            yield name, text


def allowance_lines(allowances: Allowances) -> list[str]:
    """The same as they stand in a head, the three of each kind together."""
    requests, tokens = allowances
    lines = []
    if requests is not None:
        lines.append(_lines("requests", requests))
    if tokens is not None:
        lines.append(_lines("tokens", tokens))
    return lines


def _lines(kind: str, allowance: Allowance) -> str:
    limit, remaining, reset_s = allowance
    return (
        f"x-ratelimit-limit-{kind}: {limit}\r\nx-ratelimit-remaining-{kind}: {remaining}\r\n"
        f"x-ratelimit-reset-{kind}: {duration(reset_s)}"
    )


def duration(seconds: float) -> str:
    """Rounded upwards: whole seconds, or milliseconds below one."""
    if seconds <= 0:
        return "0s"
    if (ms := ceil(seconds * 1000)) < 1000:
        return f"{ms}ms"
    minutes, whole_s = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{whole_s}s"
    return f"{minutes}m{whole_s}s" if minutes else f"{whole_s}s"
