"""One table of everything that can become of a call, and the one exception that carries a row.

A row says what the client sees (HTTP status, OpenAI ``type`` and ``code``), what the metrics
say (the member's value is the label), what may be tried next, what the provider did with the
attempt (and so whether it may charge for it), and what that says of the target. Whoever needs
one of those facts asks the row; nobody keeps a second list.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Retry(Enum):
    """What may be tried after an attempt, as long as no byte of an answer has left the gateway."""

    NO = "no"
    NEXT = "yes"
    """Another target."""
    AGAIN = "again"
    """Another target or, where there is none left, the same one after a pause: nothing was done,
    and it may be otherwise in a moment."""


class Fate(Enum):
    """What the provider did with an attempt."""

    NEVER_SENT = "never sent"
    REFUSED = "refused"
    """It said itself that it did nothing."""
    MAYBE_SERVED = "may be served"
    SERVED = "served"


class Outcome(Enum):
    """``label, status, type, code, retry, fate, health``."""

    label: str
    status: int
    type: str
    code: str | None
    retry: Retry
    fate: Fate
    health: bool | None
    """What it says of the target: it works, it does not, or nothing."""
    retryable: bool
    may_be_billed: bool
    """The provider may charge for it; only False is proof of no bill."""
    from_upstream: bool
    """The upstream said so, or its connection."""

    OK = ("ok", 200, "", None, Retry.NO, Fate.SERVED, True)

    # The client's side: nothing was sent anywhere.
    INVALID_REQUEST = (
        "invalid_request", 400, "invalid_request_error", None, Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    UNSUPPORTED = (
        "unsupported", 400, "invalid_request_error", "unsupported_capability",
        Retry.NEXT, Fate.NEVER_SENT, None,
    )  # fmt: skip
    CONTEXT_LENGTH_EXCEEDED = (
        "context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded",
        Retry.NEXT, Fate.REFUSED, True,
    )  # fmt: skip
    UNAUTHENTICATED = (
        "unauthenticated", 401, "invalid_request_error", "invalid_api_key",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    FORBIDDEN = ("forbidden", 403, "permission_error", "forbidden", Retry.NO, Fate.NEVER_SENT, None)
    UNKNOWN_PATH = (
        "unknown_path", 404, "invalid_request_error", "unknown_url",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    UNKNOWN_MODEL = (
        "unknown_model", 404, "invalid_request_error", "model_not_found",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    METHOD_NOT_ALLOWED = (
        "method_not_allowed", 405, "invalid_request_error", "method_not_allowed",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    REQUEST_TIMEOUT = (
        "request_timeout", 408, "invalid_request_error", "request_timeout",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    BODY_TOO_LARGE = (
        "body_too_large", 413, "invalid_request_error", "request_too_large",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    BUDGET_EXHAUSTED = (
        "budget_exhausted", 429, "insufficient_quota", "insufficient_quota",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    IDEMPOTENCY_CONFLICT = (
        "idempotency_conflict", 409, "invalid_request_error", "idempotency_key_reused",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    RATE_LIMITED = (
        "rate_limited", 429, "rate_limit_error", "rate_limit_exceeded",
        Retry.NEXT, Fate.NEVER_SENT, None,
    )  # fmt: skip
    HEDGE_LOST = ("hedge_lost", 499, "client_error", None, Retry.NO, Fate.MAYBE_SERVED, None)
    """An attempt that was given up because another one answered first."""
    DISCARDED = ("discarded", 502, "server_error", None, Retry.NO, Fate.SERVED, True)
    """An attempt at a part of a call whose answer was complete, and of no use."""
    CLIENT_GONE = (
        "client_gone", 499, "client_error", "client_closed_request",
        Retry.NO, Fate.MAYBE_SERVED, None,
    )  # fmt: skip

    # The gateway's side.
    INTERNAL = (
        "internal", 500, "server_error", "internal_error", Retry.NO, Fate.MAYBE_SERVED, None,
    )  # fmt: skip
    LEDGER_UNAVAILABLE = (
        "ledger_unavailable", 503, "server_error", "ledger_unavailable",
        Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip
    LIMITS_UNAVAILABLE = (
        "limits_unavailable", 503, "server_error", "limits_unavailable",
        Retry.NEXT, Fate.NEVER_SENT, None,
    )  # fmt: skip
    OVERLOADED = ("overloaded", 503, "server_error", "overloaded", Retry.NO, Fate.NEVER_SENT, None)
    UNPRICED = ("unpriced", 503, "server_error", "no_price", Retry.NO, Fate.NEVER_SENT, None)
    NO_TARGET = (
        "no_target", 503, "server_error", "no_live_target", Retry.NO, Fate.NEVER_SENT, None,
    )  # fmt: skip

    # The upstream's side.
    UPSTREAM_REJECTED = (
        "upstream_rejected", 400, "invalid_request_error", None, Retry.NO, Fate.REFUSED, True,
    )  # fmt: skip
    CONTENT_POLICY = (
        "content_policy", 400, "invalid_request_error", "content_policy_violation",
        Retry.NEXT, Fate.MAYBE_SERVED, True,
    )  # fmt: skip
    UPSTREAM_CREDENTIALS = (
        "upstream_credentials", 502, "server_error", "upstream_credentials",
        Retry.NEXT, Fate.REFUSED, None,
    )  # fmt: skip
    UPSTREAM_MODEL_MISSING = (
        "upstream_model_missing", 502, "server_error", "upstream_model_missing",
        Retry.NEXT, Fate.REFUSED, False,
    )  # fmt: skip
    UPSTREAM_RATE_LIMITED = (
        "upstream_rate_limited", 429, "rate_limit_error", "rate_limit_exceeded",
        Retry.AGAIN, Fate.REFUSED, None,
    )  # fmt: skip
    UPSTREAM_UNREACHABLE = (
        "upstream_unreachable", 502, "server_error", "upstream_unreachable",
        Retry.AGAIN, Fate.NEVER_SENT, False,
    )  # fmt: skip
    UPSTREAM_FAILED = (
        "upstream_failed", 502, "server_error", "upstream_failed", Retry.AGAIN, Fate.REFUSED, False,
    )  # fmt: skip
    UPSTREAM_GARBLED = (
        "upstream_garbled", 502, "server_error", "upstream_garbled",
        Retry.NEXT, Fate.MAYBE_SERVED, False,
    )  # fmt: skip
    UPSTREAM_CUT = (
        "upstream_cut", 502, "server_error", "upstream_cut", Retry.NEXT, Fate.MAYBE_SERVED, False,
    )  # fmt: skip
    UPSTREAM_OVERLOADED = (
        "upstream_overloaded", 503, "server_error", "upstream_overloaded",
        Retry.AGAIN, Fate.REFUSED, False,
    )  # fmt: skip
    UPSTREAM_TIMEOUT = (
        "upstream_timeout", 504, "server_error", "upstream_timeout",
        Retry.NEXT, Fate.MAYBE_SERVED, False,
    )  # fmt: skip

    def __init__(
        self,
        label: str,
        status: int,
        type: str,
        code: str | None,
        retry: Retry,
        fate: Fate,
        health: bool | None,
    ) -> None:
        self.label = label
        self.status = status
        self.type = type
        self.code = code
        self.retry = retry
        self.fate = fate
        self.health = health
        self.retryable = retry is not Retry.NO
        self.may_be_billed = fate in (Fate.MAYBE_SERVED, Fate.SERVED)
        self.from_upstream = label.startswith("upstream_") or label == "content_policy"


class CallError(Exception):
    """A call, or one attempt at it, that cannot be answered.

    ``message`` is for a person: what happened, what was tried, what to do next. ``code`` and
    ``param`` override or complete the row's. ``retry_after_s`` is the earliest time at which
    trying again makes sense, None if nobody knows. ``from_upstream`` says whose words they are;
    the row decides where the raiser does not.
    """

    def __init__(
        self,
        outcome: Outcome,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        from_upstream: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message
        self.code = code or outcome.code
        self.param = param
        self.retry_after_s = retry_after_s
        self.from_upstream = outcome.from_upstream if from_upstream is None else from_upstream
        self.cost: Any = None
        """The ``Money`` that the call's failed attempts are charged, once that is known."""
        self.allowances: Any = None
        """The ``Allowances`` of a call that a limit refused."""
        self.upstream_status: int | None = None
        """The HTTP status that the upstream said it with, if it was not 200."""

    def to_openai(self) -> dict[str, dict[str, str | None]]:
        """The error object that OpenAI clients read."""
        return {
            "error": {
                "message": self.message,
                "type": self.outcome.type,
                "param": self.param,
                "code": self.code,
            }
        }


class ConfigError(Exception):
    """The configuration, a plugin or the environment keeps the gateway from starting.

    ``problems`` are whole sentences, each with file, line and path where they are known.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_OUTCOME_OF_STATUS = {
    401: Outcome.UPSTREAM_CREDENTIALS,
    402: Outcome.UPSTREAM_CREDENTIALS,
    403: Outcome.UPSTREAM_CREDENTIALS,
    404: Outcome.UPSTREAM_MODEL_MISSING,
    408: Outcome.UPSTREAM_TIMEOUT,
    429: Outcome.UPSTREAM_RATE_LIMITED,
    503: Outcome.UPSTREAM_OVERLOADED,
    504: Outcome.UPSTREAM_TIMEOUT,
    529: Outcome.UPSTREAM_OVERLOADED,
}


def outcome_of_status(status: int) -> Outcome:
    """The row for an upstream's HTTP status, where its body says nothing more exact."""
    if status in _OUTCOME_OF_STATUS:
        return _OUTCOME_OF_STATUS[status]
    return Outcome.UPSTREAM_REJECTED if 400 <= status < 500 else Outcome.UPSTREAM_FAILED
