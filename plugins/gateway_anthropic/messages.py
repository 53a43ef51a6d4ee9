"""OpenAI messages to Anthropic's ``system`` blocks and alternating turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from gateway import CallError, Outcome

from .fields import Object, lost, objects, text_of
from .parts import ANYTHING, WORDS, Dropped, read_content

_FORBIDDEN_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


class Conversation(NamedTuple):
    system: list[Object]
    turns: list[Object]


def read_messages(messages: Any, dropped: Dropped, *, system_in_place: bool) -> Conversation:
    """``dropped`` receives the names of what cannot be carried. Raises CallError.

    Consecutive messages of one role become one turn: the API wants the results of parallel tool
    calls together. In place, system messages stand behind the user turn that they belong to, the
    only position that the API allows besides the top.
    """
    system: list[Object] = []
    turns: list[Object] = []
    waiting: list[Object] = []
    for number, message in enumerate(objects(messages, "messages")):
        role, blocks = _read_message(message, f"messages[{number}]", dropped)
        if role == "system":
            (waiting if system_in_place and turns else system).extend(blocks)
            continue
        if role == "assistant":
            _place(waiting, turns, system)
            waiting = []
        _add(turns, role, blocks)
    _place(waiting, turns, system)
    return Conversation(system, turns)


def _place(waiting: list[Object], turns: list[Object], system: list[Object]) -> None:
    if turns and turns[-1]["role"] == "user":
        _add(turns, "system", waiting)
    else:
        system.extend(waiting)


def _add(turns: list[Object], role: str, blocks: list[Object]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"].extend(blocks)
    else:
        turns.append({"role": role, "content": blocks})


# One message


def _read_message(message: Object, where: str, dropped: Dropped) -> tuple[str, list[Object]]:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        known = ", ".join(_ROLES)
        raise CallError(
            Outcome.UNSUPPORTED if role == "function" else Outcome.INVALID_REQUEST,
            f"a message of role {role!r} cannot be sent to Anthropic; roles are {known}",
            param=f"{where}.role",
        )
    turn, fields, read = _ROLES[role]
    dropped.update(f"messages.{name}" for name in lost(message, fields))
    blocks = read(message, where, dropped)
    mark = message.get("cache_control")
    if mark and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
    return turn, blocks


def _read_system(message: Object, where: str, dropped: Dropped) -> list[Object]:
    return read_content(message, where, dropped, WORDS)


def _read_user(message: Object, where: str, dropped: Dropped) -> list[Object]:
    return read_content(message, where, dropped, ANYTHING)


def _read_assistant(message: Object, where: str, dropped: Dropped) -> list[Object]:
    if message.get("function_call"):
        raise CallError(
            Outcome.UNSUPPORTED,
            "function_call is not translated for Anthropic; use tool_calls",
            param=f"{where}.function_call",
        )
    thinking = objects(message.get("thinking_blocks"), f"{where}.thinking_blocks")
    if message.get("reasoning_content") and not thinking:
        # Without its signature the API takes no thinking back.
        dropped.add("messages.reasoning_content")
    refusal = {"content": message.get("refusal")}
    return [
        *thinking,
        *objects(message.get("provider_blocks"), f"{where}.provider_blocks"),
        *read_content(message, where, dropped, WORDS),
        *read_content(refusal, f"{where}.refusal", dropped, WORDS),
        *(
            _tool_use(call, f"{where}.tool_calls")
            for call in objects(message.get("tool_calls"), f"{where}.tool_calls")
        ),
    ]


def _read_tool(message: Object, where: str, dropped: Dropped) -> list[Object]:
    result = {
        "type": "tool_result",
        "tool_use_id": _tool_id(message.get("tool_call_id"), f"{where}.tool_call_id"),
    }
    content = read_content(message, where, dropped, ANYTHING)
    return [{**result, "content": content} if content else result]


def _tool_use(call: Object, where: str) -> Object:
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, dict):
        raise CallError(
            Outcome.UNSUPPORTED, "Anthropic knows no tool calls but function calls", param=where
        )
    try:
        arguments = orjson.loads(text_of(function.get("arguments") or "{}", where))
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise CallError(
            Outcome.INVALID_REQUEST,
            f"the arguments of {function.get('name')!r} are not a JSON object",
            param=f"{where}.function.arguments",
        )
    return {
        "type": "tool_use",
        "id": _tool_id(call.get("id"), f"{where}.id"),
        "name": text_of(function.get("name"), f"{where}.function.name"),
        "input": arguments,
    }


def _tool_id(value: Any, where: str) -> str:
    """Ids that another provider made earlier in the conversation may hold other characters."""
    return _FORBIDDEN_IN_ID.sub("_", text_of(value, where))


_SPOKEN = frozenset({"role", "content", "cache_control"})
_ANSWERED = _SPOKEN | {
    "refusal", "tool_calls", "function_call", "reasoning_content", "thinking_blocks",
    "provider_blocks",
}  # fmt: skip
_ROLES: Mapping[str, tuple[str, frozenset[str], Callable[[Object, str, Dropped], list[Object]]]] = {
    "system": ("system", _SPOKEN, _read_system),
    "developer": ("system", _SPOKEN, _read_system),
    "user": ("user", _SPOKEN, _read_user),
    "assistant": ("assistant", _ANSWERED, _read_assistant),
    "tool": ("user", _SPOKEN | {"tool_call_id"}, _read_tool),
}
