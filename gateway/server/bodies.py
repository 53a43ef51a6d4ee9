"""Reads request bodies, strictly: what was checked is exactly what is sent on.

orjson already refuses NaN, trailing bytes, lone surrogates and broken UTF-8, and 254 levels is
as deep as it writes. It accepts duplicate keys, so those are looked for, but only where a body
is not byte for byte what orjson itself would write: SDKs send just that, and an object that
survives the round trip unchanged cannot have held a key twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import StreamReader, web

from gateway.errors import CallError, Outcome

SLOW_BODY_S = 30.0
MIN_BODY_BYTES_PER_S = 1024
"""What a client may take its time for: half a minute, and a second for each KiB that came."""

LOOP_BYTES = 256 * 1024
"""Larger bodies are parsed in a worker thread, so that the event loop never waits for them."""


async def read_json(request: web.Request, max_bytes: int) -> tuple[dict[str, Any], int]:
    """The body's object and its size in bytes, as ``parse_object`` counts. Raises CallError."""
    raw = await read_body(request, max_bytes)
    if len(raw) > LOOP_BYTES:
        return await asyncio.to_thread(parse_object, raw)
    return parse_object(raw)


async def read_body(request: web.Request, max_bytes: int) -> bytes:
    """All of the body, unpacked. Raises CallError."""
    if request.content_length is not None and request.content_length > max_bytes:
        raise _too_large(max_bytes)
    return await _read(request.content, max_bytes)


async def _read(content: StreamReader, max_bytes: int) -> bytes:
    if content.is_eof() and content.exception() is None:  # it came together with its head
        whole = content.read_nowait()
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    pieces: list[bytes] = []
    size = 0
    began_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(None if content.is_eof() else SLOW_BODY_S) as patience:
            while piece := await content.readany():
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                if not content.is_eof():
                    patience.reschedule(began_s + SLOW_BODY_S + size / MIN_BODY_BYTES_PER_S)
    except TimeoutError:
        raise CallError(
            Outcome.REQUEST_TIMEOUT, f"only {size} bytes of the body came in time; send it again"
        ) from None
    except web.RequestPayloadError:
        raise _invalid(
            "the body cannot be read: its chunks or its content-encoding are broken"
        ) from None
    return b"".join(pieces)


def parse_object(raw: bytes) -> tuple[dict[str, Any], int]:
    """A JSON object and its size. Raises CallError(INVALID_REQUEST) saying where it breaks."""
    body, size = parse_json(raw)
    if not isinstance(body, dict):
        raise _invalid(f"the body is a JSON {_json_type(body)}; an object is expected")
    return body, size


def parse_json(raw: bytes) -> tuple[Any, int]:
    """Any JSON value, and its size in bytes without spaces and escapes: the same body has the
    same size, and is held and quoted at the same amount, whichever client wrote it. Raises
    CallError(INVALID_REQUEST)."""
    if not raw:
        raise _invalid("the body is empty; a JSON object is expected")
    try:
        body = orjson.loads(raw)
        canonical = orjson.dumps(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"the body is not valid JSON: {error}") from None
    except orjson.JSONEncodeError:
        raise _invalid("the body is nested too deeply") from None
    if canonical != raw:
        _refuse_duplicates(raw)
    return body, len(canonical)


def _refuse_duplicates(raw: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _invalid(f"the key {key[:100]!r} stands twice in one object", key[:100])
            seen.add(key)

    json.loads(raw, object_pairs_hook=check)


def check_chat(body: dict[str, Any]) -> None:
    """The fields that the gateway itself reads; all others are the upstream's business."""
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


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _wrong(where: str, expected: str, got: Any) -> CallError:
    if isinstance(got, dict | list | str | None):
        shown = _json_type(got) if got or got is None else f"an empty {_json_type(got)}"
    else:
        shown = repr(got)
    return _invalid(f"{where} must be {expected}, not {shown}", where)


def _invalid(message: str, param: str | None = None) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, message, param=param)


def _too_large(max_bytes: int) -> CallError:
    return CallError(
        Outcome.BODY_TOO_LARGE,
        f"the body is larger than {max_bytes} bytes, the limit of this endpoint "
        "(server.max_body_bytes)",
    )
