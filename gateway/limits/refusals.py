"""What a caller is told whom a limit refuses: by which one, what is left, and when to come back."""

from __future__ import annotations

from gateway.errors import CallError, Outcome
from gateway.schema import Allowance, Allowances

from .buckets import Denied


def refusal(denied: Denied, part: int | None = None) -> CallError:
    """The error for a call, or a part of one, that wanted more than there is."""
    (bucket, _), (remaining, full_in_s) = denied.take, denied.level
    error = CallError(
        Outcome.RATE_LIMITED,
        f"limits.{bucket.rule} lets {bucket.subject or 'all callers together'} "
        f"{_reason(denied, part)}.",
        retry_after_s=denied.wait_s,
    )
    allowance = Allowance(bucket.capacity, remaining, full_in_s)
    if bucket.kind != "concurrency":
        error.allowances = Allowances(**{bucket.kind: allowance})
    return error


def _reason(denied: Denied, part: int | None) -> str:
    (bucket, amount), (remaining, _) = denied.take, denied.level
    if bucket.kind == "concurrency":
        return (
            f"have {_count(bucket.capacity, 'call')} answered at the same time, and that many are; "
            "try again when one of them has ended"
        )
    burst = f" ({bucket.capacity:,} at once)" if bucket.capacity != bucket.per_minute else ""
    if bucket.kind == "requests":
        return (
            f"make {_count(bucket.per_minute, 'request')} a minute{burst}; {remaining:,} are left. "
            f"There is room for {'this one' if part is None else f'part {part} of this call'} in "
            f"{_seconds(denied.wait_s)}"
        )
    return (
        f"use {_count(bucket.per_minute, 'token')} a minute{burst}; {remaining:,} are left, and "
        f"{'' if part is None else f'part {part} of '}this call reserves {amount:,} for its input "
        f"and its answer. There is room in {_seconds(denied.wait_s)}; a lower max_tokens reserves "
        "less"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _seconds(wait_s: float) -> str:
    return f"{wait_s:.3g} s" if wait_s >= 0.001 else "a moment"
