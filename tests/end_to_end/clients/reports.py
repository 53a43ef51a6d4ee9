"""What the Python clients report: plain JSON, the same shape for every client.

A driver reads one request a line from standard input and writes one report a line. A request is
``{"operation", "options", "parameters"}``, see ``tests/end_to_end/drivers.py``.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Report = dict[str, Any]


def completion(answer: Any, headers: Mapping[str, str]) -> Report:
    """A chat completion."""
    choice = answer.choices[0]
    message = choice.message
    return {
        "text": message.content,
        "reasoning": getattr(message, "reasoning_content", None),
        "calls": [
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in message.tool_calls or ()
        ],
        "finish_reason": choice.finish_reason,
        "usage": answer.usage and answer.usage.model_dump(exclude_unset=True),
        "model": answer.model,
        "request_id": answer._request_id,
        "headers": dict(headers),
    }


def stream(chunks: Iterable[Any], headers: Mapping[str, str]) -> Report:
    """A chat stream, put together the way that every tutorial does it."""
    report: Report = {"text": "", "reasoning": "", "calls": [], "usage": None, "chunks": []}
    for chunk in chunks:
        report["chunks"].append(chunk.model_dump(exclude_unset=True))
        report["usage"] = chunk.usage.model_dump(exclude_unset=True) if chunk.usage else None
        for choice in chunk.choices:
            report["finish_reason"] = choice.finish_reason
            report["text"] += choice.delta.content or ""
            report["reasoning"] += getattr(choice.delta, "reasoning_content", None) or ""
            for fragment in choice.delta.tool_calls or ():
                _add_fragment(report["calls"], fragment)
    return {**report, "request_id": headers.get("x-request-id"), "headers": dict(headers)}


def _add_fragment(calls: list[dict[str, str]], fragment: Any) -> None:
    if fragment.index == len(calls):
        calls.append({"id": fragment.id, "name": fragment.function.name, "arguments": ""})
    calls[fragment.index]["arguments"] += fragment.function.arguments or ""


def assistant_message(report: Report) -> dict[str, Any]:
    """A streamed answer as the message that the next turn sends back."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in report["calls"]
    ]
    return {"role": "assistant", "content": report["text"] or None, "tool_calls": calls}


def embeddings(answer: Any, headers: Mapping[str, str]) -> Report:
    return {
        "vectors": [item.embedding for item in answer.data],
        "usage": answer.usage.model_dump(),
        "model": answer.model,
        "request_id": headers.get("x-request-id"),
        "headers": dict(headers),
    }


def failure(error: Exception) -> Report:
    """An exception, by the name of its class and what it carries."""
    fields = ("status_code", "code", "param", "type", "message", "request_id")
    return {"error": type(error).__name__} | {
        name: getattr(error, name, str(error) if name == "message" else None) for name in fields
    }


def drive(perform: Callable[[dict[str, Any]], Report]) -> None:
    """Answer requests until standard input ends."""
    for line in sys.stdin:
        try:
            report = perform(json.loads(line))
        except Exception as error:
            report = failure(error)
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
