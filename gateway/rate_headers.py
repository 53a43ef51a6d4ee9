"""What the head of a provider's answer says of its limits, and when to come back.

``Retry-After``: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after; ``x-ratelimit-*``:
https://platform.openai.com/docs/guides/rate-limits (both read 2026-11-23). There is no clock here:
a moment is taken relative to the answer's own ``Date``, so that no two clocks need agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from .schema import Allowance, Allowances

ABSURD_S = 1e9
"""Three decades: a larger number of seconds is a moment, or nonsense."""
_UNIT_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6}
_PART = r"(\d{1,12}(?:\.\d{1,12})?)(ms|us|µs|[dhms])"
_PARTS = re.compile(_PART)
_SPAN = re.compile(rf"(?:{_PART})+")
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,12})?")
_MAX_COUNT_DIGITS = 15


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """``retry-after-ms`` or ``retry-after``, in seconds: a number, or a date against ``date``."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None and (found := _number(milliseconds)) is not None:
        return found / 1000.0
    value = headers.get("retry-after")
    if value is None:
        return None
    if (found := _number(value)) is not None:
        return found
    at_s, now_s = _http_date_s(value), _http_date_s(headers.get("date", ""))
    return None if at_s is None or now_s is None else max(0.0, at_s - now_s)


def read_reset_s(value: str, headers: Mapping[str, str]) -> float | None:
    """How long until a limit resets: ``12``, ``6m0s`` or ``120ms`` as they are; Unix time, in
    seconds or milliseconds, and RFC 3339 (``2026-11-23T08:00:00Z``) against ``date``."""
    value = value.strip()
    if (span_s := read_span_s(value)) is not None:
        return span_s
    at_s, now_s = _moment_s(value), _http_date_s(headers.get("date", ""))
    return None if at_s is None or now_s is None else max(0.0, at_s - now_s)


@lru_cache(maxsize=512)
def read_span_s(value: str) -> float | None:
    """A length of time in seconds: ``12``, ``0.5``, ``120ms``, ``6m0s``, ``1h2m3.5s``, ``1d``."""
    if (found := _number(value)) is not None:
        return found
    if not _SPAN.fullmatch(value):
        return None
    span_s = sum(float(number) * _UNIT_S[unit] for number, unit in _PARTS.findall(value))
    return span_s if span_s < ABSURD_S else None


def read_allowance(headers: Mapping[str, str], stem: str, of: str) -> Allowance | None:
    """``{stem}remaining{of}`` with its ``limit`` and its ``reset``; None if one is no such."""
    remaining = _count(headers.get(f"{stem}remaining{of}"))
    reset = headers.get(f"{stem}reset{of}")
    reset_s = None if reset is None else read_reset_s(reset, headers)
    if remaining is None or reset_s is None:
        return None
    limit = _count(headers.get(f"{stem}limit{of}"))
    return Allowance(remaining if limit is None else limit, remaining, reset_s)


def read_allowances(headers: Mapping[str, str]) -> Allowances | None:
    """OpenAI's ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``; None without them."""
    if "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
        return Allowances(
            read_allowance(headers, "x-ratelimit-", "-requests"),
            read_allowance(headers, "x-ratelimit-", "-tokens"),
        )
    return None


def _number(value: str) -> float | None:
    value = value.strip()
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if number < ABSURD_S else None


def _count(value: str | None) -> int | None:
    """A whole number; what is below nothing is nothing."""
    if value is None:
        return None
    value = value.strip()
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_COUNT_DIGITS:
        return None
    return 0 if value != digits else int(digits)


@lru_cache(maxsize=64)
def _http_date_s(value: str) -> float | None:
    try:
        found = parsedate_to_datetime(value)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=512)
def _moment_s(value: str) -> float | None:
    if _NUMBER.fullmatch(value):
        number = float(value)
        return number / 1000.0 if number > ABSURD_S * 100 else number
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
