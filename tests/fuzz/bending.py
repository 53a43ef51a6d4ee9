"""Changes JSON where bytes are changed too blindly: a value somewhere inside becomes another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson

_OBJECT = re.compile(rb"\{.*\}")
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1.5, 1e308, 1 << 62, "", "x", "<think>", "stop", "content_filter",
    [], [None], [[]], [7], ["x"], {}, {"index": 1}, {"a": {"b": None}},
)  # fmt: skip


def bend(data: bytes, random: Random) -> bytes:
    """``data`` with one JSON object in it changed; unchanged if there is none."""
    found = list(_OBJECT.finditer(data)) or list(re.finditer(rb"\{.*\}", data, re.DOTALL))
    if not found:
        return data
    match = random.choice(found)
    try:
        value = orjson.loads(match[0])
        bent = orjson.dumps(_bent(value, random))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return data
    return data[: match.start()] + bent + data[match.end() :]


def _bent(value: Any, random: Random) -> Any:
    places = list(_places(value))
    if not places:
        return value
    holder, key = random.choice(places)
    move = random.randrange(5)
    if move == 0:
        del holder[key]
    elif move == 1 and isinstance(holder, list):
        holder.append(holder[key])
    elif move == 2:
        holder[key] = [holder[key]]
    elif move == 3:
        other, name = random.choice(places)
        holder[key] = orjson.loads(orjson.dumps(other[name]))
    else:
        holder[key] = random.choice(_ODD)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every item of every object and list inside, with what holds it."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            yield from _places(value[key])
