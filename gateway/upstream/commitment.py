"""What commits the gateway to a target: something that a client could tell from silence.

Many upstreams say that they begin (a role, an empty text) before they know whether they can. Until
there is more, an error is no reason to bother the client: another target may do better.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.framing import events_in
from gateway.openai_wire import load_object
from gateway.schema import Answer, ChatChunk

FILTERED = "content_filter"
"""The finish reason of an answer that was stopped for what it says."""
_WORDS = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments)":\s?"[^"]')
"""Words, beyond doubt: in a text, these quotation marks would have a backslash before them."""
_ROLE = re.compile(
    rb'"delta":\s?\{"role":\s?"assistant"(?:,\s?"content":\s?(?:""|null))?(?:,\s?"refusal":\s?null)?\}'
    rb'(?:,\s?"logprobs":\s?null)?,\s?"finish_reason":\s?null'
)
"""How most streams begin; it need not be parsed."""


def says_something(chunk: bytes | ChatChunk) -> bool:
    """Raises CallError(UPSTREAM_GARBLED) for a chunk that is no JSON object."""
    if isinstance(chunk, ChatChunk):
        if chunk.usage_only:
            return False
        chunk = chunk.data
    if _WORDS.search(chunk):
        return True
    if _ROLE.search(chunk):
        return False
    return any(_any_choice_says(body, "delta") for body in _bodies(chunk))


def finished_choices(chunk: ChatChunk) -> set[int]:
    """The indexes of the choices that end with this chunk."""
    choices = [choice for body in _bodies(chunk) for choice in body.get("choices") or ()]
    indexes = [choice.get("index") for choice in choices if choice.get("finish_reason")]
    return {index if type(index) is int else 0 for index in indexes}


def filtered_empty(answer: Answer) -> bool:
    """Whether nothing is left of a whole answer but the verdict of a content filter."""
    return answer.finish_reason == FILTERED and not _any_choice_says(
        load_object(answer.body), "message"
    )


def _bodies(chunk: bytes | ChatChunk) -> list[dict[str, Any]]:
    data = chunk.data if isinstance(chunk, ChatChunk) else chunk
    return [load_object(event.data) for event in events_in(data) if event.data]


def _any_choice_says(body: dict[str, Any], field: str) -> bool:
    choices = body.get("choices")
    return isinstance(choices, list) and any(_choice_says(choice, field) for choice in choices)


def _choice_says(choice: Any, field: str) -> bool:
    if not isinstance(choice, dict):
        return True
    reason = choice.get("finish_reason")
    if reason and reason != FILTERED:
        return True
    said = choice.get(field)
    if not isinstance(said, dict):
        return bool(said)
    # Beside a filter's verdict, a refusal is its reason.
    silent = ("role", "refusal") if reason else ("role",)
    return any(value for name, value in said.items() if name not in silent)
