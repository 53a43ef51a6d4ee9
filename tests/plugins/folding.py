"""Puts a provider's stream together again, the way OpenAI clients fold their deltas.

Strings grow and tool calls are told apart by their index. All else may come once only: of two
lists openai-node keeps the last, and openai-python raises an error.
"""

import orjson

from gateway.framing import EventSplitter
from gateway.schema import ChatChunk
from gateway.upstream.translation import Translation


def folded(provider, request, raw):
    """The message, the finish reason and the last usage of an upstream's stream."""
    translation = Translation(lambda events: provider.parse_stream(request, events))
    splitter = EventSplitter()
    chunks = translation.feed(splitter.feed(raw)) + translation.finish()
    translation.raise_error()
    message, finish_reason, usage = {}, None, None
    for chunk in chunks:
        if isinstance(chunk, ChatChunk):
            usage = chunk.usage or usage
            finish_reason = chunk.finish_reason or finish_reason
            chunk = chunk.data
        for choice in orjson.loads(chunk.removeprefix(b"data: "))["choices"]:
            for name, value in choice["delta"].items():
                _fold(message, name, value)
    return message, finish_reason, usage


def _fold(message, name, value):
    if name == "tool_calls":
        for piece in value:
            calls = message.setdefault(name, [])
            if piece["index"] == len(calls):
                calls.append({key: piece[key] for key in piece if key != "index"})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    elif name not in message:
        message[name] = value
    elif isinstance(value, str):
        message[name] += value
    else:
        raise AssertionError(f"{name} came a second time: {value}")
