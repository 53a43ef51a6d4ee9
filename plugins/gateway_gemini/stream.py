"""``streamGenerateContent`` to OpenAI chunks.

https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent (read 2026-11-22):
each event is a partial ``GenerateContentResponse``. There is no terminal event: the answer is
complete when each candidate has named its finish reason and the body ends. ``usageMetadata`` comes
with every event and grows; the last one counts. Function calls arrive whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from gateway import (
    CallError,
    ChatChunk,
    ChatRequest,
    Event,
    Outcome,
    completion_chunk,
    load_object,
)

from .errors import garbled_if_misshapen
from .response import Choice, raise_refusal_in, read_logprobs
from .usage import read_usage_metadata


async def read_stream(
    request: ChatRequest, events: AsyncIterator[Event]
) -> AsyncIterator[bytes | ChatChunk]:
    """Raises CallError for an error event, a blocked prompt, and a stream without its end."""
    choices: dict[int, Choice] = {}
    usage_metadata = None
    told_usage = False
    async for event in events:
        if not event.data:
            continue
        answer = load_object(event.data)
        with garbled_if_misshapen():
            raise_refusal_in(answer)
            usage_metadata = answer.get("usageMetadata") or usage_metadata
            chunks = [
                chunk
                for candidate in answer.get("candidates") or ()
                for chunk in _chunks(request, choices, candidate)
            ]
        if not told_usage and usage_metadata and chunks:
            chunks[0], told_usage = _with_usage_so_far(chunks[0], usage_metadata), True
        for chunk in chunks:
            yield chunk
    if not choices or any(choice.finish_reason is None for choice in choices.values()):
        raise CallError(
            Outcome.UPSTREAM_CUT, "the upstream's stream ended before the answer was complete"
        )
    with garbled_if_misshapen():
        usage = read_usage_metadata(usage_metadata)
    if usage is not None:
        yield ChatChunk(completion_chunk(request, None, usage=usage), usage, usage_only=True)


def _with_usage_so_far(chunk: bytes | ChatChunk, usage_metadata: Any) -> bytes | ChatChunk:
    """The first chunk tells what was read, in case the stream breaks off."""
    with garbled_if_misshapen():
        usage = read_usage_metadata(usage_metadata)
    if usage is None or not isinstance(chunk, bytes):
        return chunk
    return ChatChunk(chunk, usage._replace(estimated=True))


def _chunks(
    request: ChatRequest, choices: dict[int, Choice], candidate: Mapping[str, Any]
) -> Iterator[bytes | ChatChunk]:
    index = candidate.get("index", 0)
    opening = {} if index in choices else {"role": "assistant", "content": ""}
    choice = choices.setdefault(index, Choice(request.call_id, index))
    was_open = choice.finish_reason is None
    delta = opening | choice.read(candidate)
    if delta:
        logprobs = read_logprobs(candidate)
        yield completion_chunk(request, delta, index=index, logprobs=logprobs)
    if was_open and choice.finish_reason is not None:
        end = completion_chunk(request, choice.extra_content(), choice.finish_reason, index=index)
        yield ChatChunk(end, finish_reason=choice.finish_reason)
