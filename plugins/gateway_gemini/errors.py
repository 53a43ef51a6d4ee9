"""Google's error object to a row of the table.

``{"error": {"code", "status", "message", "details"}}``, the same with an HTTP status and inside a
stream: https://cloud.google.com/apis/design/errors and
https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11-22).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway import (
    CallError,
    Outcome,
    load_object,
    outcome_of_status,
    quoted,
    read_retry_after_s,
)

_OUTCOMES = {
    "ABORTED": Outcome.UPSTREAM_OVERLOADED,
    "CANCELLED": Outcome.UPSTREAM_FAILED,
    "DEADLINE_EXCEEDED": Outcome.UPSTREAM_TIMEOUT,
    # Said of an account: no billing, or a country that the free tier does not serve.
    "FAILED_PRECONDITION": Outcome.UPSTREAM_CREDENTIALS,
    "INTERNAL": Outcome.UPSTREAM_FAILED,
    "INVALID_ARGUMENT": Outcome.UPSTREAM_REJECTED,
    "NOT_FOUND": Outcome.UPSTREAM_MODEL_MISSING,
    "OUT_OF_RANGE": Outcome.UPSTREAM_REJECTED,
    "PERMISSION_DENIED": Outcome.UPSTREAM_CREDENTIALS,
    "RESOURCE_EXHAUSTED": Outcome.UPSTREAM_RATE_LIMITED,
    "UNAUTHENTICATED": Outcome.UPSTREAM_CREDENTIALS,
    "UNAVAILABLE": Outcome.UPSTREAM_OVERLOADED,
    "UNKNOWN": Outcome.UPSTREAM_FAILED,
}

_TOO_LONG = re.compile(r"input token count\b.*\bexceeds", re.IGNORECASE | re.DOTALL)
_DURATION_S = re.compile(r"(\d{1,9}(?:\.\d+)?)s")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    """An answer with an error status; header names are lower case."""
    try:
        error = load_object(body).get("error")
    except CallError:
        error = None
    if isinstance(error, dict):
        return error_in(error, status, headers)
    return CallError(
        outcome_of_status(status),
        quoted(body) or f"status {status} with an empty body",
        retry_after_s=read_retry_after_s(headers),
    )


@contextmanager
def garbled_if_misshapen() -> Iterator[None]:
    """Valid JSON that is not what Google documents is the upstream's fault, not the gateway's."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise CallError(
            Outcome.UPSTREAM_GARBLED,
            f"the upstream's answer has not the documented shape ({error!r})",
        ) from error


def raise_error_in(answer: Mapping[str, Any]) -> None:
    """Raises CallError if a 200 body or a stream's event carries an error object."""
    error = answer.get("error")
    if error:
        fields = error if isinstance(error, dict) else {"message": str(error)}
        raise error_in(fields, 200)


def error_in(
    error: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> CallError:
    message = str(error.get("message") or error.get("status") or error)
    outcome = _outcome(error, status, message)
    return CallError(
        outcome,
        quoted(message.encode()),
        retry_after_s=_retry_delay_s(error) or read_retry_after_s(headers or {}),
    )


def _outcome(error: Mapping[str, Any], status: int, message: str) -> Outcome:
    # A bad key comes as INVALID_ARGUMENT with status 400; only the reason tells.
    if any(str(detail.get("reason")).startswith("API_KEY_") for detail in _details(error)):
        return Outcome.UPSTREAM_CREDENTIALS
    if _TOO_LONG.search(message):
        return Outcome.CONTEXT_LENGTH_EXCEEDED
    by_word = _OUTCOMES.get(str(error.get("status")))
    if by_word:
        return by_word
    code = error.get("code")
    code = code if isinstance(code, int) and code >= 400 else status
    return outcome_of_status(code) if code >= 400 else Outcome.UPSTREAM_FAILED


def _retry_delay_s(error: Mapping[str, Any]) -> float | None:
    for detail in _details(error):
        delay = _DURATION_S.fullmatch(str(detail.get("retryDelay")))
        if delay:
            return float(delay[1])
    return None


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, dict))
