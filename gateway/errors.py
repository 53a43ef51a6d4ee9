"""One table of everything that can become of a call, and the one exception that carries a row.

A row says what the client sees (HTTP status, OpenAI ``type`` and ``code``), what the metrics
say (the member's value is the label), whether the next target may be tried, and whether the
provider may charge for the attempt. Whoever needs one of those facts asks the row; nobody keeps
a second list.
"""

from __future__ import annotations

from enum import Enum
from typing import Any


class Outcome(Enum):
    """``label, status, type, code, retryable, may_be_billed``."""

    label: str
    status: int
    type: str
    code: str | None
    retryable: bool
    """Another target may be tried, as long as no byte of an answer has left the gateway."""
    may_be_billed: bool
    """The provider may charge for it; only False is proof of no bill."""
    from_upstream: bool
    """The upstream said so, or its connection."""

    OK = ("ok", 200, "", None, False, True)

    # The client's side: nothing was sent anywhere.
    INVALID_REQUEST = ("invalid_request", 400, "invalid_request_error", None, False, False)
    UNSUPPORTED = (
        "unsupported", 400, "invalid_request_error", "unsupported_capability", False, False,
    )  # fmt: skip
    CONTEXT_LENGTH_EXCEEDED = (
        "context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded",
        True, False,
    )  # fmt: skip
    UNAUTHENTICATED = (
        "unauthenticated", 401, "invalid_request_error", "invalid_api_key", False, False,
    )  # fmt: skip
    FORBIDDEN = ("forbidden", 403, "permission_error", "forbidden", False, False)
    UNKNOWN_PATH = ("unknown_path", 404, "invalid_request_error", "unknown_url", False, False)
    UNKNOWN_MODEL = (
        "unknown_model", 404, "invalid_request_error", "model_not_found", False, False,
    )  # fmt: skip
    METHOD_NOT_ALLOWED = (
        "method_not_allowed", 405, "invalid_request_error", "method_not_allowed", False, False,
    )  # fmt: skip
    REQUEST_TIMEOUT = (
        "request_timeout", 408, "invalid_request_error", "request_timeout", False, False,
    )  # fmt: skip
    BODY_TOO_LARGE = (
        "body_too_large", 413, "invalid_request_error", "request_too_large", False, False,
    )  # fmt: skip
    BUDGET_EXHAUSTED = (
        "budget_exhausted", 429, "insufficient_quota", "insufficient_quota", False, False,
    )  # fmt: skip
    IDEMPOTENCY_CONFLICT = (
        "idempotency_conflict", 409, "invalid_request_error", "idempotency_key_reused",
        False, False,
    )  # fmt: skip
    RATE_LIMITED = (
        "rate_limited", 429, "rate_limit_error", "rate_limit_exceeded", False, False,
    )  # fmt: skip
    HEDGE_LOST = ("hedge_lost", 499, "client_error", None, False, True)
    """An attempt that was given up because another one answered first."""
    CLIENT_GONE = ("client_gone", 499, "client_error", "client_closed_request", False, True)

    # The gateway's side.
    INTERNAL = ("internal", 500, "server_error", "internal_error", False, True)
    LEDGER_UNAVAILABLE = (
        "ledger_unavailable", 503, "server_error", "ledger_unavailable", False, False,
    )  # fmt: skip
    LIMITS_UNAVAILABLE = (
        "limits_unavailable", 503, "server_error", "limits_unavailable", False, False,
    )  # fmt: skip
    OVERLOADED = ("overloaded", 503, "server_error", "overloaded", False, False)
    UNPRICED = ("unpriced", 503, "server_error", "no_price", False, False)
    NO_TARGET = ("no_target", 503, "server_error", "no_live_target", False, False)

    # The upstream's side.
    UPSTREAM_REJECTED = (
        "upstream_rejected", 400, "invalid_request_error", None, False, False,
    )  # fmt: skip
    CONTENT_POLICY = (
        "content_policy", 400, "invalid_request_error", "content_policy_violation", False, True,
    )  # fmt: skip
    UPSTREAM_CREDENTIALS = (
        "upstream_credentials", 502, "server_error", "upstream_credentials", True, False,
    )  # fmt: skip
    UPSTREAM_MODEL_MISSING = (
        "upstream_model_missing", 502, "server_error", "upstream_model_missing", True, False,
    )  # fmt: skip
    UPSTREAM_RATE_LIMITED = (
        "upstream_rate_limited", 429, "rate_limit_error", "rate_limit_exceeded", True, False,
    )  # fmt: skip
    UPSTREAM_UNREACHABLE = (
        "upstream_unreachable", 502, "server_error", "upstream_unreachable", True, False,
    )  # fmt: skip
    UPSTREAM_FAILED = (
        "upstream_failed", 502, "server_error", "upstream_failed", True, False,
    )  # fmt: skip
    UPSTREAM_GARBLED = (
        "upstream_garbled", 502, "server_error", "upstream_garbled", True, True,
    )  # fmt: skip
    UPSTREAM_CUT = ("upstream_cut", 502, "server_error", "upstream_cut", True, True)
    UPSTREAM_OVERLOADED = (
        "upstream_overloaded", 503, "server_error", "upstream_overloaded", True, False,
    )  # fmt: skip
    UPSTREAM_TIMEOUT = (
        "upstream_timeout", 504, "server_error", "upstream_timeout", True, True,
    )  # fmt: skip

    def __init__(
        self,
        label: str,
        status: int,
        type: str,
        code: str | None,
        retryable: bool,
        may_be_billed: bool,
    ) -> None:
        self.label = label
        self.status = status
        self.type = type
        self.code = code
        self.retryable = retryable
        self.may_be_billed = may_be_billed
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
