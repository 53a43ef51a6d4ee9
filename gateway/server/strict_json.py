"""Parses JSON strictly: what was checked is exactly what is sent on, and a fault has its place.

orjson already refuses NaN, trailing bytes, lone surrogates and broken UTF-8, and 254 levels is
as deep as it writes. It accepts duplicate keys, so those are looked for, but only where a body
is not byte for byte what orjson itself would write: SDKs send just that, and an object that
survives the round trip unchanged cannot have held a key twice.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from gateway.errors import CallError, Outcome

from .long_strings import put_back, strings_of, without_long_strings

MAX_CONTAINERS = 100_000
MAX_VALUES = 400_000
"""Objects and lists, and commas. Parsing keeps all threads waiting: half a second for 8 MiB of
empty lists, some thirty milliseconds with these bounds. (An embeddings call of 300,000 tokens, the
most that OpenAI takes, has as many values.)"""
COUNTED_FROM_BYTES = MAX_CONTAINERS
"""A shorter body cannot have so many."""
COUNTED_AT_ONCE = 64 * 1024
LARGE_BYTES = 1024 * 1024
"""From here on long strings are read by themselves; below, a parser takes two milliseconds."""
MAX_DEPTH = 254
MAX_STEPS = 10_000
"""Tokens that are read again to say where a fault is: three milliseconds."""
MAX_PATH = 100
_SIGN = re.compile(rb"[{}\[\],]")


def _goes_on() -> None:
    """Nobody waits."""


def parse_object(raw: bytes, breathe: Callable[[], None] = _goes_on) -> tuple[dict[str, Any], int]:
    """A JSON object and its size. Raises CallError(INVALID_REQUEST) saying where it breaks."""
    body, size = parse_json(raw, breathe)
    if not isinstance(body, dict):
        raise invalid(f"the body is a JSON {json_type(body)}; an object is expected")
    return body, size


def parse_json(raw: bytes, breathe: Callable[[], None] = _goes_on) -> tuple[Any, int]:
    """Any JSON value, and its size in bytes without spaces and escapes: the same body has the
    same size, and is held and quoted at the same amount, whichever client wrote it. In a worker
    thread ``breathe`` lets the others have the interpreter; it is called after each piece of the
    work. Raises CallError(INVALID_REQUEST)."""
    if not raw:
        raise invalid("the body is empty; a JSON object is expected")
    if len(raw) > COUNTED_FROM_BYTES:
        _refuse_swarm(raw, breathe)
        if len(raw) > LARGE_BYTES and (found := _parsed_in_slices(raw, breathe)) is not None:
            return found
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _not_json(raw, error, breathe) from None
    try:
        canonical = orjson.dumps(body)
    except orjson.JSONEncodeError:
        path = _path_to(raw, breathe)
        raise invalid(f"the body is nested too deeply{_at(path)}", _field(path)) from None
    if canonical != raw:
        _refuse_duplicates(raw)
    return body, len(canonical)


def _parsed_in_slices(raw: bytes, breathe: Callable[[], None]) -> tuple[Any, int] | None:
    """None where this way leads nowhere; of what is wrong the whole text tells the place."""
    large = without_long_strings(raw, breathe)
    if large is None:
        return None
    try:
        body, size = parse_json(large.frame, breathe)
    except CallError:
        return None
    return put_back(body, size, large.cut_out, raw, breathe)


def is_work(raw: bytes) -> bool:
    """Whether parsing it may take milliseconds. Counting takes a microsecond for each KiB, so only
    bodies are counted that might."""
    return len(raw) > 65_536 and (
        len(raw) > 262_144 or raw.count(b"{") + raw.count(b"[") > 2_000 or raw.count(b",") > 20_000
    )


def invalid(message: str, param: str | None = None) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, message, param=param)


def _not_json(raw: bytes, error: orjson.JSONDecodeError, breathe: Callable[[], None]) -> CallError:
    try:
        before, told = raw.decode()[: error.pos].encode(), str(error)
    except UnicodeDecodeError as fault:  # of which orjson does not tell the place
        before, told = raw[: fault.start], f"byte {fault.start} is not UTF-8"
    path = _path_to(before, breathe)
    return invalid(f"the body is not valid JSON{_at(path)}: {told}", _field(path))


def json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _refuse_swarm(raw: bytes, breathe: Callable[[], None]) -> None:
    """Brackets and commas within strings count for nothing, and are told apart only if they
    matter."""
    counts = 0, 0
    with contextlib.suppress(CallError):
        for at in range(0, len(raw), COUNTED_AT_ONCE):
            counts = _counted(raw, at, min(at + COUNTED_AT_ONCE, len(raw)), *counts)
            breathe()
        return
    counts, end = (0, 0), 0
    for found, (start, stop) in enumerate(strings_of(raw, breathe)):
        counts = _counted(raw, end, start, *counts)
        end = stop
        if found > 2 * sum(counts):
            return  # no JSON: a bracket and a comma make room for a key and a value each
    _counted(raw, end, len(raw), *counts)


def _counted(raw: bytes, start: int, end: int, containers: int, commas: int) -> tuple[int, int]:
    """The counts so far with those of a piece that is no string. Raises CallError.

    Where every byte counts, a slice takes half a millisecond, and all threads wait for it.
    """
    for at in range(start, end, COUNTED_AT_ONCE):
        stop = min(at + COUNTED_AT_ONCE, end)
        containers += raw.count(b"{", at, stop) + raw.count(b"[", at, stop)
        commas += raw.count(b",", at, stop)
        if containers > MAX_CONTAINERS or commas > MAX_VALUES:
            raise invalid(
                f"the body has more than {MAX_CONTAINERS} objects and lists, or more than "
                f"{MAX_VALUES} values; send it in parts"
            )
    return containers, commas


class _Twice:
    """Stands for an object in which a key stands twice."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


def _refuse_duplicates(raw: bytes) -> None:
    found = False

    def check(pairs: list[tuple[str, Any]]) -> Any:
        nonlocal found
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        found = True
        for key, _ in pairs:
            if key not in members:
                break
            del members[key]
        return _Twice(key)

    tree = json.loads(raw, object_pairs_hook=check)
    if found:
        path, key = _place_of_twice(tree)
        where = f"in {path}" if path else "in one object"
        raise invalid(f"the key {key!r} stands twice {where}", _joined(path, key))


def _place_of_twice(tree: Any) -> tuple[str, str]:
    """Path and key of an object that has one twice."""
    left: list[tuple[str, Any]] = [("", tree)]
    while True:
        path, node = left.pop()
        if isinstance(node, _Twice):
            return path[:MAX_PATH], node.key[:MAX_PATH]
        if isinstance(node, dict):
            left += [(_joined(path, key), value) for key, value in node.items()]
        elif isinstance(node, list):
            left += [(f"{path}[{at}]", value) for at, value in enumerate(node)]


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _field(path: str) -> str | None:
    """The path, if it begins with the name of a field."""
    return path if path and not path.startswith("[") else None


def _path_to(before: bytes, breathe: Callable[[], None]) -> str:
    """The path of what stands behind a text, or of what is nested too deeply in it; nothing where
    finding out would take long."""
    steps: list[str | int | None] = []
    for count, token in enumerate(_tokens(before, breathe)):
        if count > MAX_STEPS:
            return ""
        if len(steps) > MAX_DEPTH:
            break
        _step(steps, token)
    path = ""
    for step in steps:
        if step is None or len(path) > MAX_PATH:
            break
        path = f"{path}[{step}]" if isinstance(step, int) else _joined(path, step)
    return path[:MAX_PATH]


def _tokens(text: bytes, breathe: Callable[[], None]) -> Iterator[str]:
    """Its signs and the beginnings of its strings, with a quote before each; not the last string
    if it never ends."""
    end = 0
    for start, stop in strings_of(text, breathe):
        yield from _signs(text, end, start, breathe)
        yield text[start - 1 : min(stop, start + 4 * MAX_PATH)].decode("utf-8", "replace")
        end = stop + 1
    quote = text.find(b'"', end)
    yield from _signs(text, end, len(text) if quote < 0 else quote, breathe)


def _signs(text: bytes, start: int, end: int, breathe: Callable[[], None]) -> Iterator[str]:
    for at in range(start, end, COUNTED_AT_ONCE):
        if at > start:
            breathe()
        for found in _SIGN.finditer(text, at, min(at + COUNTED_AT_ONCE, end)):
            yield found[0].decode()


def _step(steps: list[str | int | None], word: str) -> None:
    """Follow one token: a step is an index, a key, or None where a key is still to come."""
    if word == "{":
        steps.append(None)
    elif word == "[":
        steps.append(0)
    elif word in "]}":
        del steps[-1:]
    elif word == ",":
        if steps:
            steps[-1] = steps[-1] + 1 if isinstance(steps[-1], int) else None
    elif steps and steps[-1] is None:
        steps[-1] = word[1:][:MAX_PATH]
