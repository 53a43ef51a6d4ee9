"""How many tokens are set aside for a call before anybody knows how many it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.schema import Call, CallRecord, Plan

BYTES_PER_TOKEN = 4
"""Of JSON with English prose; Chinese is about the same, three bytes for 0.7 tokens."""
COUNTED_FROM_BYTES = 16_384
"""Larger bodies are counted: a picture in base64 is a megabyte and a thousand tokens."""
UNCAPPED_OUTPUT_TOKENS = 1024
"""Set aside for an answer that neither client nor task caps."""


class Reserve:
    """Estimates calls. ``count_chat_tokens`` counts the input tokens of a chat body."""

    def __init__(self, count_chat_tokens: Callable[[Mapping[str, Any]], int]) -> None:
        self._count_chat_tokens = count_chat_tokens

    def tokens(self, call: Call, plan: Plan) -> int:
        """Input and output together: the output as far as it is capped, or a round figure."""
        if call.endpoint != "chat":
            return call.body_bytes // BYTES_PER_TOKEN + 1
        if call.body_bytes <= COUNTED_FROM_BYTES:
            input_tokens = call.body_bytes // BYTES_PER_TOKEN + 1
        else:
            input_tokens = self._count_chat_tokens(call.body)
        cap = plan.max_output_tokens or UNCAPPED_OUTPUT_TOKENS
        return input_tokens + cap * (call.body.get("n") or 1)


def used_tokens(record: CallRecord) -> int:
    """What the attempts of a call took, reported or estimated; what was replayed took nothing.
    Those at parts of the call are settled with each part."""
    if record.replayed:
        return 0
    # A usage is its counts and, last of all, a flag.
    return sum([sum(attempt.usage[:-1]) for attempt in record.attempts if attempt.part is None])


def used_by_part(record: CallRecord) -> int:
    """The same of the record of one part."""
    return sum([sum(attempt.usage[:-1]) for attempt in record.attempts])
