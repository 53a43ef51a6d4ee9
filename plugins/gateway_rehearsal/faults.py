"""Trouble on demand: which request fails, and how, decided by its number and the seed alone."""

from __future__ import annotations

from .dice import Dice
from .replies import Reply, error_reply
from .settings import Settings

RETRY_AFTER_S = 1

_FAILURES = {
    400: ("The request was rejected.", "invalid_request_error", None),
    401: ("The API key is not valid.", "invalid_request_error", "invalid_api_key"),
    402: ("The account has no credit left.", "insufficient_quota", "insufficient_quota"),
    403: ("The key has no access to this resource.", "permission_error", None),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    408: ("The request took too long.", "server_error", "request_timeout"),
    429: ("Too many requests.", "requests", "rate_limit_exceeded"),
    503: ("The model is overloaded, try again later.", "server_error", "overloaded"),
}
_OTHER_FAILURE = ("The server had an error while it worked on the request.", "server_error", None)


def fault_for(settings: Settings, number: int, text: str) -> Reply | None:
    """The reply that request ``number`` (from 1) gets instead of an answer, or None."""
    folded = text.casefold()
    if any(word.casefold() in folded for word in settings.refuse_words):
        return error_reply(
            400,
            "The prompt was refused by the content policy.",
            "invalid_request_error",
            "content_policy_violation",
            "messages",
        )
    if settings.rate_limit_every and number % settings.rate_limit_every == 0:
        return failure(429)
    if Dice(settings.seed, "fail", number).fraction() < settings.fail_rate:
        return failure(settings.fail_status)
    return None


def failure(status: int) -> Reply:
    message, kind, code = _FAILURES.get(status, _OTHER_FAILURE)
    reply = error_reply(status, f"{message} (rehearsed)", kind, code)
    return reply.with_headers(retry_after=str(RETRY_AFTER_S)) if status in (429, 503) else reply
