"""Anthropic's answers, usage and errors in OpenAI's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway import (
    Allowances,
    Answer,
    CallError,
    ChatRequest,
    Outcome,
    Usage,
    completion_body,
    load_object,
    outcome_of_status,
    quoted,
    read_allowance,
    read_count,
    read_retry_after_s,
)

THINKING = frozenset({"thinking", "redacted_thinking"})

MALFORMED = (KeyError, TypeError, AttributeError)
"""How the lack of a promised field shows."""

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason_of(stop_reason: str) -> str:
    """The API may add reasons within a version; one we do not know yet is a plain stop."""
    return _FINISH_REASONS.get(stop_reason, "stop")


def refusal_of(stop_details: Any) -> str | None:
    """What the vendor says about a refusal, if it says anything."""
    details = stop_details if isinstance(stop_details, dict) else {}
    return details.get("explanation") or details.get("category")


def read_answer(request: ChatRequest, body: bytes) -> Answer:
    answer = load_object(body)
    if answer.get("type") == "error":
        raise error_in(answer, 200)
    try:
        message = _message(answer)
        usage = usage_of(answer.get("usage"))
    except MALFORMED as error:
        raise CallError(
            Outcome.UPSTREAM_GARBLED, f"the upstream's answer lacks {error}: {quoted(body)}"
        ) from None
    finish_reason = finish_reason_of(str(answer.get("stop_reason")))
    return Answer(
        completion_body(request, message, finish_reason, usage or Usage()), usage, finish_reason
    )


def _message(answer: Mapping[str, Any]) -> dict[str, Any]:
    content = answer["content"]
    texts = [block for block in content if block["type"] == "text"]
    thinking = [block for block in content if block["type"] in THINKING]
    calls = [_tool_call(block) for block in content if block["type"] == "tool_use"]
    known = {"text", "tool_use"} | THINKING
    text = "".join(block["text"] for block in texts)
    refused = answer.get("stop_reason") == "refusal"
    beside = {
        "refusal": refusal_of(answer.get("stop_details")) if refused else None,
        "reasoning_content": "".join(block.get("thinking", "") for block in thinking),
        "thinking_blocks": thinking,
        "tool_calls": calls,
        "citations": [cited for block in texts for cited in block.get("citations") or ()],
        "provider_blocks": [block for block in content if block["type"] not in known],
    }
    return {
        "content": text if text or not calls else None,
        **{name: value for name, value in beside.items() if value},
    }


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()},
    }


def usage_of(usage: Any) -> Usage | None:
    """The vendor's ``usage`` in disjoint classes; None if there is none.

    Its ``input_tokens`` leave the cache out, its ``output_tokens`` include the thinking. The
    split of cache writes by life-time is missing in stream deltas, where their sum is right:
    what is not known to live for an hour lives for five minutes.
    """
    if not isinstance(usage, dict) or not usage:
        return None
    split = _object(usage.get("cache_creation"))
    written_1h = read_count(split.get("ephemeral_1h_input_tokens"))
    if usage.get("cache_creation_input_tokens") is None:
        written = written_1h + read_count(split.get("ephemeral_5m_input_tokens"))
    else:
        written = read_count(usage["cache_creation_input_tokens"])
        written_1h = min(written_1h, written)
    output = read_count(usage.get("output_tokens"))
    details = _object(usage.get("output_tokens_details"))
    thinking = min(read_count(details.get("thinking_tokens")), output)
    return Usage(
        input_tokens=read_count(usage.get("input_tokens")),
        cache_read_tokens=read_count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=written - written_1h,
        cache_write_1h_tokens=written_1h,
        output_tokens=output - thinking,
        reasoning_tokens=thinking,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# Errors

_OUTCOMES = {
    "invalid_request_error": Outcome.UPSTREAM_REJECTED,
    "authentication_error": Outcome.UPSTREAM_CREDENTIALS,
    "billing_error": Outcome.UPSTREAM_CREDENTIALS,
    "permission_error": Outcome.UPSTREAM_CREDENTIALS,
    "not_found_error": Outcome.UPSTREAM_MODEL_MISSING,
    "request_too_large": Outcome.BODY_TOO_LARGE,
    "rate_limit_error": Outcome.UPSTREAM_RATE_LIMITED,
    "api_error": Outcome.UPSTREAM_FAILED,
    "timeout_error": Outcome.UPSTREAM_TIMEOUT,
    "overloaded_error": Outcome.UPSTREAM_OVERLOADED,
}

_TOLD_BY_MESSAGE = (
    (re.compile(r"prompt is too long|exceed context limit"), Outcome.CONTEXT_LENGTH_EXCEEDED),
    (re.compile(r"credit balance is too low"), Outcome.UPSTREAM_CREDENTIALS),
)
"""What the API reports as an ordinary invalid request. Its wording may change without notice;
then these become plain rejections, which is what they are by type."""


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    try:
        answer = load_object(body)
    except CallError:
        return CallError(
            outcome_of_status(status),
            quoted(body) or f"status {status} with an empty body",
            retry_after_s=read_retry_after_s(headers),
        )
    return error_in(answer, status, headers)


def error_in(
    answer: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None
) -> CallError:
    """The row for the vendor's error object, with a status of its own or inside a 200."""
    error = answer.get("error")
    fields = error if isinstance(error, dict) else {"message": str(error or answer)}
    message = quoted(str(fields.get("message") or error).encode())
    by_status = Outcome.UPSTREAM_FAILED if status == 200 else outcome_of_status(status)
    outcome = _OUTCOMES.get(str(fields.get("type")), by_status)
    if outcome is Outcome.UPSTREAM_REJECTED:
        told = (known for pattern, known in _TOLD_BY_MESSAGE if pattern.search(message))
        outcome = next(told, outcome)
    if request_id := answer.get("request_id"):
        message = f"{message} ({request_id})"
    return CallError(outcome, message, retry_after_s=read_retry_after_s(headers or {}))


LIMITS = "anthropic-ratelimit-"


def read_limits(headers: Mapping[str, str]) -> Allowances | None:
    """What ``anthropic-ratelimit-*`` say is left: of several limits on tokens, the tightest.

    https://platform.claude.com/docs/en/api/rate-limits (read 2026-11-23): resets are moments in
    RFC 3339.
    """
    if f"{LIMITS}requests-remaining" not in headers and f"{LIMITS}tokens-remaining" not in headers:
        return None
    tokens = [
        allowance
        for kind in ("tokens", "input-tokens", "output-tokens")
        if (allowance := read_allowance(headers, f"{LIMITS}{kind}-", "")) is not None
    ]
    tightest = min(tokens, key=lambda allowance: allowance.remaining, default=None)
    return Allowances(read_allowance(headers, f"{LIMITS}requests-", ""), tightest)
