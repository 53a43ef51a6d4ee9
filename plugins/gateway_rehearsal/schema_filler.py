"""Makes up a JSON value that a JSON Schema accepts.

Covers what structured outputs and tool parameters use:
https://json-schema.org/draft/2020-12/json-schema-validation (read 2026-11-22), without ``not``,
``if`` and patterns that none of a few samples matches. What it cannot satisfy, it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from .dice import Dice

SHALLOW = 3
"""Below this depth only what the schema demands is filled, which ends recursive schemas."""
MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_STRING_CHARS = 100_000
TRIES = 64

_UNSUPPORTED = ("not", "if", "dependentRequired", "dependentSchemas", "patternProperties")
_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T20:00:00Z",
    "time": "20:00:00Z",
    "duration": "PT75S",
    "email": "writer@example.com",
    "uri": "https://example.com/scene/1",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000001",
}
_SAMPLES = (
    *_FORMATS.values(), "a", "A", "abc", "ABC", "a1", "A1", "1", "12", "123", "1234", "1.5",
    "S01E01", "S1E1", "EP01", "#1a2b3c", "9:16", "16:9", "720p", "00:01", "00:00:01",
    "scene_1", "scene-1", "en", "zh", "en-US", "zh-CN", "INT.", "第1集", "林晚",
)  # fmt: skip


class UnfillableSchema(Exception):
    """No value was found; the message says for which part."""


class SchemaFiller:
    """``topic`` is what free strings speak of."""

    def __init__(self, root: Any, dice: Dice, topic: str) -> None:
        self._root = root
        self._dice = dice
        self._topic = topic
        self._values = 0

    def fill(self) -> Any:
        try:
            return self._value(self._root, 0)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            # Keywords with values of the wrong type show as whatever they provoke.
            raise UnfillableSchema(f"it is malformed ({error})") from None

    def _value(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise UnfillableSchema(f"it wants over {MAX_VALUES} values, or {MAX_DEPTH} levels")
        if schema is True:
            return self._topic
        if not isinstance(schema, dict):
            raise UnfillableSchema(f"{schema!r} accepts nothing")
        schema = self._resolved(schema)
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise UnfillableSchema(f"the keyword {keyword!r} is not supported")
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._dice.pick(schema["enum"])
        if schema.get("default") is not None:
            return schema["default"]
        return self._of_type(type_of(schema), schema, depth)

    def _of_type(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        makers: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda schema, depth: self._dice.roll(2) == 1,
            "null": lambda schema, depth: None,
        }
        if kind not in makers:
            raise UnfillableSchema(f"the type {kind!r} is unknown")
        return makers[kind](schema, depth)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """``schema`` with its references followed, its ``allOf`` merged, one branch chosen."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                rest = {name: value for name, value in schema.items() if name != "$ref"}
                schema = merged(self._referenced(schema["$ref"]), rest)
            elif schema.get("allOf"):
                rest = {name: value for name, value in schema.items() if name != "allOf"}
                for part in schema["allOf"]:
                    rest = merged(rest, part)
                schema = rest
            elif "anyOf" in schema or "oneOf" in schema:
                schema = self._branch(schema)
            else:
                return schema
        raise UnfillableSchema("its references lead in a circle")

    def _branch(self, schema: dict[str, Any]) -> dict[str, Any]:
        keyword = "anyOf" if "anyOf" in schema else "oneOf"
        rest = {name: value for name, value in schema.items() if name != keyword}
        branches = [b for b in schema[keyword] if isinstance(b, dict)]
        if not branches:
            raise UnfillableSchema(f"{keyword!r} has no branch")
        return merged(rest, branches[0])

    def _referenced(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnfillableSchema(f"the reference {reference!r} leads outside")
        found = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or step not in found:
                raise UnfillableSchema(f"the reference {reference!r} leads nowhere")
            found = found[step]
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = list(properties) if depth < SHALLOW else [n for n in properties if n in required]
        more = schema.get("additionalProperties", True)
        names += [name for name in required if name not in properties]
        while len(names) < schema.get("minProperties", 0):
            names.append(f"item_{len(names) + 1}")
        return {name: self._value(properties.get(name, more), depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 2))
        wanted = max(least, min(most, max(2, len(first)))) if depth < SHALLOW else least
        values: list[Any] = []
        seen: set[bytes] = set()
        for _ in range(wanted + TRIES):
            if len(values) == wanted:
                break
            at = len(values)
            item = first[at] if at < len(first) else schema.get("items", True)
            value = self._value(item, depth + 1)
            key = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
            if not schema.get("uniqueItems") or key not in seen:
                values.append(value)
            seen.add(key)
        if len(values) < least:
            raise UnfillableSchema(f"no {least} different items were found")
        return values

    def _string(self, schema: dict[str, Any], depth: int) -> str:
        least: int = schema.get("minLength", 0)
        most: int = schema.get("maxLength", max(least, 200))
        if "pattern" in schema:
            return matching(schema["pattern"], least, most)
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if least > MAX_STRING_CHARS:
            raise UnfillableSchema(f"it wants a string of over {MAX_STRING_CHARS} characters")
        text = f"{self._topic} {self._dice.roll(90) + 10}"
        return (text * (least // len(text) + 1))[: max(least, min(most, len(text)))]

    def _integer(self, schema: dict[str, Any], depth: int) -> int:
        low, high = bounds(schema, 1)
        step = int(schema.get("multipleOf", 1)) or 1
        first, last = math.ceil(low / step), math.floor(high / step)
        if first > last:
            raise UnfillableSchema("no integer lies within its bounds")
        return (first + self._dice.roll(min(last - first, 9) + 1)) * step

    def _number(self, schema: dict[str, Any], depth: int) -> float:
        if "multipleOf" in schema:
            low, high = bounds(schema, 0)
            step = schema["multipleOf"]
            if math.ceil(low / step) * step > high:
                raise UnfillableSchema("no number lies within its bounds")
            return float(math.ceil(low / step) * step)
        low, high = bounds(schema, 0)
        if low > high:
            raise UnfillableSchema("no number lies within its bounds")
        return float(low + (high - low) * (self._dice.roll(8) + 1) / 10)


def merged(one: Any, other: Any) -> dict[str, Any]:
    """Both schemas at once; where they differ ``other`` wins."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        raise UnfillableSchema("it combines something that is no schema")
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return both


def type_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is not None:
        return str(kind)
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def bounds(schema: dict[str, Any], step: int) -> tuple[float, float]:
    """Least and greatest value; ``step`` is the distance kept from an exclusive bound."""
    gap = step or 1e-6
    lows = [schema["minimum"]] if "minimum" in schema else []
    lows += [schema["exclusiveMinimum"] + gap] if "exclusiveMinimum" in schema else []
    highs = [schema["maximum"]] if "maximum" in schema else []
    highs += [schema["exclusiveMaximum"] - gap] if "exclusiveMaximum" in schema else []
    high = min(highs) if highs else None
    low = max(lows) if lows else (1 if high is None else min(1, high - 9))
    return low, (low + 9 if high is None else high)


def matching(pattern: str, least: int, most: int) -> str:
    try:
        found = re.compile(pattern)
    except re.error:
        raise UnfillableSchema(f"the pattern {pattern!r} is not understood") from None
    for sample in _SAMPLES:
        if least <= len(sample) <= most and found.search(sample):
            return sample
    raise UnfillableSchema(f"no sample matches the pattern {pattern!r}")
