"""Mends the tool calls of a stream whose upstream writes them with an accent.

OpenAI's clients tell the calls of a stream apart by ``index`` and add up the strings of each:
``id``, ``type`` and ``name`` come once, ``arguments`` in pieces
(https://platform.openai.com/docs/api-reference/chat-streaming, read 2026-11-23; openai-python
3.54 ``lib/streaming/_deltas.py``). Upstreams leave out the index or the id, repeat name and id with
each piece, count from one, use one index twice, or repeat all of the arguments so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from .errors import CallError, Outcome

MAX_CALLS = 1024
"""More tool calls than any answer has."""

Object = dict[str, Any]


class _Call:
    """One call, as far as it was sent on."""

    __slots__ = ("arguments", "id", "index", "name", "pieces", "theirs")

    def __init__(self, index: int, theirs: int | None, id: str) -> None:
        self.index = index
        self.theirs = theirs
        """The upstream's own index, if it gives any."""
        self.id = id
        self.name = ""
        self.arguments = ""
        """The first piece of them, or all of them where each piece repeats the earlier ones."""
        self.pieces = 0


class ToolDeltas:
    """The tool calls of one choice. ``name`` makes the ids of calls that come without one.

    ``cumulative`` says that each piece repeats the arguments so far.
    """

    __slots__ = ("_calls", "_cumulative", "_name")

    def __init__(self, name: str, cumulative: bool) -> None:
        self._name = name
        self._cumulative = cumulative
        self._calls: list[_Call] = []

    def mend(self, piece: Object) -> bool:
        """Mend a piece in place; whether that was needed.

        Raises CallError(UPSTREAM_GARBLED) for what cannot be put together.
        """
        function = piece.get("function")
        if not isinstance(function, dict):
            return False  # a tool of another type
        call = self._call_of(piece, function)
        if call is None:
            call = self._open(piece)
            changed = _complete(piece, call)
        else:
            # Clients would add a second id to the first, whatever it is.
            changed = bool(piece.get("id")) and piece.pop("id") is not None
        if piece.get("index") != call.index:
            piece["index"] = call.index
            changed = True
        changed = self._grow_name(function, call) or changed
        return self._grow_arguments(function, call) or changed

    def _call_of(self, piece: Object, function: Object) -> _Call | None:
        """The call that a piece goes on with; None if it opens one."""
        if not self._calls:
            return None
        theirs, id, name = piece.get("index"), piece.get("id"), function.get("name")
        if type(theirs) is int:
            known = _last(call for call in self._calls if call.theirs == theirs)
            if known and id and name and id != known.id and not self._cumulative:
                return None  # another call under the same index
        elif id:
            known = _last(call for call in self._calls if call.id == id)
        else:
            last = self._calls[-1]
            return last if not name or not self._is_another(function, last) else None
        # A piece with neither id nor name opens nothing.
        return known if known or id or name else self._calls[-1]

    def _is_another(self, function: Object, last: _Call) -> bool:
        """Whether a piece with a name, but without index and id, belongs to another call."""
        if function["name"] != last.name:
            return True
        given = function.get("arguments")
        if self._cumulative:
            return not (isinstance(given, str) and given.startswith(last.arguments))
        return last.pieces == 1 and _is_object(last.arguments) and _is_object(given)

    def _open(self, piece: Object) -> _Call:
        index = len(self._calls)
        if index >= MAX_CALLS:
            raise CallError(
                Outcome.UPSTREAM_GARBLED,
                f"the upstream called more than {MAX_CALLS} tools in one answer",
            )
        theirs, id = piece.get("index"), piece.get("id")
        call = _Call(
            index,
            theirs if type(theirs) is int else None,
            id if id and isinstance(id, str) else f"call_{self._name}_{index}",
        )
        self._calls.append(call)
        return call

    def _grow_name(self, function: Object, call: _Call) -> bool:
        """A name comes once, or in pieces; all of it again is a repetition."""
        name = function.get("name")
        if not name or not isinstance(name, str):
            return False
        if name == call.name:
            del function["name"]
            return True
        if self._cumulative and call.name and name.startswith(call.name):
            function["name"], call.name = name[len(call.name) :], name
            return True
        call.name += name
        return False

    def _grow_arguments(self, function: Object, call: _Call) -> bool:
        given = function.get("arguments")
        changed = isinstance(given, dict)
        if changed:
            given = function["arguments"] = orjson.dumps(given).decode()
        if not given or not isinstance(given, str):
            return changed
        call.pieces += 1
        if call.pieces == 1:
            call.arguments = given
        elif self._cumulative:
            function["arguments"] = _increment(call, given)
            changed = True
        return changed


def _increment(call: _Call, given: str) -> str:
    """What ``given`` has beyond the arguments that were sent on."""
    if not given.startswith(call.arguments):
        if call.arguments.startswith(given):
            return ""
        raise CallError(
            Outcome.UPSTREAM_GARBLED,
            f"the upstream changed arguments of {call.name[:100]!r} that it had sent before",
        )
    fresh, call.arguments = given[len(call.arguments) :], given
    return fresh


def _complete(piece: Object, call: _Call) -> bool:
    """The first piece of a call has its id and its type."""
    if piece.get("id") == call.id and piece.get("type"):
        return False
    piece["id"] = call.id
    piece["type"] = piece.get("type") or "function"
    return True


def _last(calls: Iterable[_Call]) -> _Call | None:
    found = None
    for call in calls:
        found = call
    return found


def _is_object(arguments: Any) -> bool:
    if not isinstance(arguments, str):
        return isinstance(arguments, dict)
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False
