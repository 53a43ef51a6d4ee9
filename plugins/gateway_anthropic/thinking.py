"""How a request asks for thinking, and where it must not.

https://platform.claude.com/docs/en/build-with-claude/thinking#turn-validation (read 2026-11-22):
only manual thinking (``{"type": "enabled", "budget_tokens": …}``) insists that the assistant turn
that is being continued opens with a thinking block. A tool loop is one such turn, from the first
call to the answer. Adaptive thinking takes a loop without blocks as it is: a model that thinks
when it sees fit leaves such loops behind itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .fields import Object
from .parts import Dropped

WITHOUT_BLOCKS = "thinking (blocks of the open tool loop are missing)"
"""How manual thinking is named in ``dropped``."""


def read_thinking(
    body: Mapping[str, Any], turns: list[Object], display: str | None, dropped: Dropped
) -> Object:
    """The upstream's ``thinking``: the body's own, or else what ``reasoning_effort`` asks for.

    Manual thinking is left out and named where an open tool loop brought none of its blocks back;
    the API would refuse the call. That holds for a field that the body spells out, too: it may be
    a task's parameter, which the client who lost the blocks has never heard of. It is left out
    rather than disabled: models that always think refuse to be told not to. A loop that has some
    blocks keeps its thinking, since without it the API would refuse those.
    """
    thinking = body.get("thinking") or _adaptive(body.get("reasoning_effort"), display)
    if _is_manual(thinking) and _open_loop_lacks_blocks(turns):
        dropped.add(WITHOUT_BLOCKS)
        return {}
    return {"thinking": thinking} if thinking else {}


def _adaptive(effort: Any, display: str | None) -> Object | None:
    if effort == "none":
        return {"type": "disabled"}
    if not effort:
        return None
    return {"type": "adaptive", **({"display": display} if display else {})}


def _is_manual(thinking: Any) -> bool:
    return isinstance(thinking, dict) and thinking.get("type") == "enabled"


def _open_loop_lacks_blocks(turns: list[Object]) -> bool:
    loop = list(_open_loop(turns))
    calls = any(_holds(turn, "tool_use") for turn in loop)
    return calls and not any(_holds(turn, "thinking", "redacted_thinking") for turn in loop)


def _open_loop(turns: list[Object]) -> Iterator[Object]:
    """The assistant's part of the tool loop that the conversation ends in, backwards."""
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            yield turn
        elif turn["role"] == "user" and not _holds(turn, "tool_result"):
            return


def _holds(turn: Object, *types: str) -> bool:
    return any(block.get("type") in types for block in turn["content"])
