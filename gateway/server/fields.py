"""The fields that the gateway itself reads; all others are the upstream's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import CallError

from .strict_json import invalid, json_type


def check_chat(body: dict[str, Any]) -> None:
    """Raises CallError(INVALID_REQUEST) with the path of the field."""
    _check_model(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", "a non-empty list", messages)
    for index, message in enumerate(messages):
        _check_message(message, index)
    _check_fields(body)


def _check_fields(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if value is not None and (rule := _RULES.get(name)) is not None:
            expected, holds = rule
            if not holds(value):
                raise _wrong(name, expected, value)


_LARGEST = (1 << 53) - 1
"""Beyond it a JSON number is not the same number for everybody."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_whole(value) and 1 <= value <= _LARGEST


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_FLAG = ("true or false", lambda value: isinstance(value, bool))
_WHOLE = ("a whole number", _is_whole)
_POSITIVE = ("a whole number between 1 and 9007199254740991", _is_positive)
_NUMBER = ("a number", _is_number)
_OBJECT = ("an object", lambda value: isinstance(value, dict))
_OBJECTS = ("a list of objects", _is_list_of_objects)

_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "stream": _FLAG,
    "parallel_tool_calls": _FLAG,
    "logprobs": _FLAG,
    "store": _FLAG,
    "max_tokens": _POSITIVE,
    "max_completion_tokens": _POSITIVE,
    "n": _POSITIVE,
    "seed": _WHOLE,
    "top_logprobs": _WHOLE,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "tools": _OBJECTS,
    "functions": _OBJECTS,
    "stream_options": _OBJECT,
    "metadata": _OBJECT,
    "response_format": _OBJECT,
}
"""What each field must be where it is not null, in words and as a test."""


def _check_message(message: Any, at: int) -> None:
    where = f"messages[{at}]"
    if not isinstance(message, dict):
        raise _wrong(where, "an object", message)
    if not isinstance(message.get("role"), str):
        raise _wrong(f"{where}.role", "a string", message.get("role"))
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return
    if not isinstance(content, list):
        raise _wrong(f"{where}.content", "a string, a list of parts or null", content)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise _wrong(f"{where}.content[{index}]", "an object with a type", part)
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise _wrong(f"{where}.content[{index}].text", "a string", part.get("text"))


def check_embeddings(body: dict[str, Any]) -> None:
    _check_model(body)
    if not isinstance(body.get("input"), str | list) or body["input"] in ("", []):
        raise _wrong("input", "a non-empty string or list", body.get("input"))
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise _wrong("encoding_format", "'float' or 'base64'", body["encoding_format"])
    _check_fields(body)


def _check_model(body: dict[str, Any]) -> None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise _wrong("model", "a string naming a task, a model or a target", body.get("model"))


def _wrong(where: str, expected: str, got: Any) -> CallError:
    if isinstance(got, dict | list | str | None):
        shown = json_type(got) if got or got is None else f"an empty {json_type(got)}"
    else:
        shown = repr(got)
    return invalid(f"{where} must be {expected}, not {shown}", where)
