"""Mends the chunks of upstreams that speak OpenAI with an accent, each as little as it needs.

Thinking in tags goes to ``reasoning_content``; tool calls become such as clients can put together.
A chunk that needs nothing keeps its bytes.
"""

from __future__ import annotations

from typing import Any, Literal

from .errors import CallError, Outcome
from .openai_wire import dump_event
from .schema import ChatRequest
from .thinking_tags import ThinkingSplitter, split_thinking
from .tool_deltas import ToolDeltas

ThinkingTags = bool | Literal["opened"]
MAX_CHOICES = 128
"""As many as OpenAI gives."""

Object = dict[str, Any]


class ChunkMending:
    """One stream's chunks. ``reads_all`` as long as a plain chunk of text may need mending."""

    __slots__ = ("_cumulative", "_request", "_splitters", "_tags", "_tools", "reads_all")

    def __init__(
        self, request: ChatRequest, thinking_tags: ThinkingTags, cumulative_tool_calls: bool
    ) -> None:
        self._request = request
        self._tags = thinking_tags
        self._cumulative = cumulative_tool_calls
        self._splitters: dict[int, ThinkingSplitter] = {}
        self._tools: dict[int, ToolDeltas] = {}
        self.reads_all = bool(thinking_tags)

    def mend(self, chunk: Object, raw: bytes) -> bytes:
        """The event for the client: ``raw`` if it is right, nothing if nothing is left of it.

        ``chunk`` is what ``raw`` says; it is changed in place. Raises CallError(UPSTREAM_GARBLED).
        """
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return raw
        changed = False
        for choice in choices:
            if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
                changed = self._mend_choice(choice, choice["delta"]) or changed
        if self._tags and self.reads_all:
            self.reads_all = not self._all_settled()
        if not changed:
            return raw
        if not chunk.get("usage") and not any(map(_says_something, choices)):
            return b""
        return dump_event(chunk)

    def _mend_choice(self, choice: Object, delta: Object) -> bool:
        index = choice.get("index")
        index = index if type(index) is int else 0
        changed = False
        if self._tags:
            changed = self._split(self._splitter(index), choice, delta)
        pieces = delta.get("tool_calls")
        if pieces and isinstance(pieces, list):
            tools = self._tools.get(index)
            if tools is None:
                tools = self._tools[index] = ToolDeltas(self._name(index), self._cumulative)
            for piece in pieces:
                if isinstance(piece, dict):
                    changed = tools.mend(piece) or changed
        self._check_bounds()
        return changed

    def _split(self, splitter: ThinkingSplitter, choice: Object, delta: Object) -> bool:
        content = delta.get("content")
        text = content if isinstance(content, str) else ""
        if delta.get("reasoning_content") or delta.get("reasoning"):
            splitter.settle()
        thinking, visible = splitter.feed(text)
        if choice.get("finish_reason") or delta.get("tool_calls"):
            more_thinking, more_visible = splitter.flush()
            thinking, visible = thinking + more_thinking, visible + more_visible
        if visible == text and not thinking:
            return False
        if visible or "role" in delta:
            delta["content"] = visible
        else:
            delta.pop("content", None)
        if thinking:
            delta["reasoning_content"] = thinking
        return True

    def _splitter(self, index: int) -> ThinkingSplitter:
        splitter = self._splitters.get(index)
        if splitter is None:
            splitter = self._splitters[index] = ThinkingSplitter(self._tags == "opened")
        return splitter

    def _name(self, index: int) -> str:
        return f"{self._request.call_id}_{index}" if index else self._request.call_id

    def _all_settled(self) -> bool:
        wanted = self._request.body.get("n") or 1
        settled = sum(splitter.settled for splitter in self._splitters.values())
        return isinstance(wanted, int) and settled >= wanted

    def _check_bounds(self) -> None:
        if len(self._splitters) > MAX_CHOICES or len(self._tools) > MAX_CHOICES:
            raise CallError(
                Outcome.UPSTREAM_GARBLED, f"the upstream gave more than {MAX_CHOICES} choices"
            )


def _says_something(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return True
    return any(value for name, value in choice.items() if name != "index")


def mend_answer(answer: Object, thinking_tags: ThinkingTags) -> bool:
    """Split the thinking from the text of a whole answer in place; whether there was any."""
    changed = False
    for choice in answer.get("choices") or ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            continue
        if message.get("reasoning_content") or message.get("reasoning"):
            continue  # the upstream separates it itself
        content = message.get("content")
        if not isinstance(content, str):
            continue
        cut = choice.get("finish_reason") == "length"
        thinking, visible = split_thinking(content, thinking_tags == "opened", cut)
        if thinking or visible != content:
            message["content"] = visible
            if thinking:
                message["reasoning_content"] = thinking
            changed = True
    return changed
