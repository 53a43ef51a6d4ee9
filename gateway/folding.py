"""A stream's chunks to one chat completion, and a completion to chunks.

https://platform.openai.com/docs/api-reference/chat-streaming (read 2026-11-23): within a choice
the strings of the deltas are added up, and list items with the same ``index`` are one item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import CallError, Outcome
from .openai_wire import dump_event

MAX_ITEMS = 4096
"""More choices, or items of a list, than any answer has."""
MAX_DEPTH = 8
"""Deeper than this, a later value takes the place of an earlier one."""
_ONCE = frozenset({"role", "type", "index"})
"""Strings that say the same each time, instead of growing."""

Object = dict[str, Any]


class Folding:
    """One stream as it is put together. Time and memory are proportional to what was added."""

    def __init__(self) -> None:
        self._top: Object = {}
        self._choices: dict[int, _Fields] = {}

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Raises CallError(UPSTREAM_GARBLED) for a chunk that is none."""
        for name, value in chunk.items():
            if name == "choices":
                self._add_choices(value or [])
            elif value is not None and (name == "usage" or name not in self._top):
                self._top[name] = value

    def completion(self) -> Object:
        """The answer so far, choices in the order of their index."""
        choices = [_plain(self._choices[index]) for index in sorted(self._choices)]
        for choice in choices:
            message = choice["message"]
            message.setdefault("role", "assistant")
            if not message.setdefault("content", None) and not message.get("tool_calls"):
                message["content"] = ""
        return {**self._top, "object": "chat.completion", "choices": choices}

    def _add_choices(self, choices: Any) -> None:
        if not isinstance(choices, list):
            raise _garbled("the choices are no list")
        for choice in choices:
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if type(index) is not int:
                raise _garbled("a choice is no object with an index")
            self._add_choice(index, choice)

    def _add_choice(self, index: int, choice: Object) -> None:
        known = self._choices.get(index)
        if known is None:
            _check_room(self._choices)
            known = self._choices[index] = _Fields(
                index=index, message=_Fields(), logprobs=None, finish_reason=None
            )
        for name, value in choice.items():
            if value is None or name == "index":
                continue
            if name in ("delta", "logprobs"):
                if not isinstance(value, dict):
                    raise _garbled(f"{name} is no object")
                field = "message" if name == "delta" else name
                known[field] = _merged(known[field], value)
            elif name != "message":
                known[name] = value


class _Text:
    """A string that grows by its pieces."""

    __slots__ = ("pieces",)

    def __init__(self, first: str) -> None:
        self.pieces = [first]


class _Fields(dict[str, Any]):
    """An object that grows."""


class _Items:
    """A list whose items are told apart by their index, where they have one."""

    __slots__ = ("by_index", "items")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.by_index: dict[int, int] = {}

    def extend(self, added: list[Any], depth: int) -> None:
        for item in added:
            index = item.get("index") if isinstance(item, dict) else None
            if type(index) is not int:
                self.items.append(item)
            elif index in self.by_index:
                place = self.by_index[index]
                self.items[place] = _merged(self.items[place], item, depth)
            else:
                _check_room(self.by_index)
                self.by_index[index] = len(self.items)
                self.items.append(_merged(None, item, depth))


def _merged(known: Any, value: Any, depth: int = MAX_DEPTH) -> Any:
    """``known`` with a delta's ``value`` added to it."""
    if depth == 0:
        return value
    if isinstance(value, str):
        if isinstance(known, _Text):
            known.pieces.append(value)
            return known
        return _Text(value)
    if isinstance(value, list):
        items = known if isinstance(known, _Items) else _Items()
        items.extend(value, depth - 1)
        return items
    if isinstance(value, dict):
        fields = known if isinstance(known, _Fields) else _Fields()
        for name, part in value.items():
            if part is None:
                fields.setdefault(name, None)
            else:
                once = name in _ONCE
                fields[name] = part if once else _merged(fields.get(name), part, depth - 1)
        return fields
    return value


def _plain(value: Any) -> Any:
    """What ``_merged`` built as plain JSON."""
    if isinstance(value, _Text):
        return "".join(value.pieces)
    if isinstance(value, _Items):
        indexed = set(value.by_index.values())
        return [_item(_plain(item), n in indexed) for n, item in enumerate(value.items)]
    if isinstance(value, _Fields):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _item(item: Any, indexed: bool) -> Any:
    """A whole answer's list is in order; only its stream needs the index."""
    return {n: v for n, v in item.items() if n != "index"} if indexed else item


def _check_room(known: Mapping[int, Any]) -> None:
    if len(known) >= MAX_ITEMS:
        raise _garbled(f"more than {MAX_ITEMS} choices or items")


def _garbled(what: str) -> CallError:
    return CallError(Outcome.UPSTREAM_GARBLED, f"the upstream's stream cannot be read: {what}")


def chunks_of(completion: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    """A completion as the events of a stream, without its ``[DONE]``.

    A whole answer that names no finish reason is complete all the same, and a stream has to say so.
    Raises CallError(UPSTREAM_GARBLED) for a completion that is none.
    """
    top = {name: value for name, value in completion.items() if name not in ("choices", "usage")}
    top["object"] = "chat.completion.chunk"
    for number, choice in enumerate(completion.get("choices") or ()):
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise _garbled("a choice without a message")
        index = choice.get("index", number)
        said = {"index": index, "delta": _delta(choice["message"]), "finish_reason": None}
        said["logprobs"] = choice.get("logprobs")
        end = {"index": index, "delta": {}, "logprobs": None}
        reason = choice.get("finish_reason") or "stop"
        yield dump_event({**top, "choices": [said]})
        yield dump_event({**top, "choices": [{**end, "finish_reason": reason}]})
    if include_usage and completion.get("usage"):
        yield dump_event({**top, "choices": [], "usage": completion["usage"]})


def _delta(message: Mapping[str, Any]) -> Object:
    delta = {name: value for name, value in message.items() if value is not None}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {"index": index, **call} if isinstance(call, dict) else call
            for index, call in enumerate(calls)
        ]
    return delta
