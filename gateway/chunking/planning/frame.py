"""Where a script stands in a request, and the same request with something else in its place.

The script is the longest text that a user message has. All that is around it, other messages and
fields, is the *frame*: it goes with each part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

CAPS = ("max_tokens", "max_completion_tokens")
NOT_OF_A_PART = ("stream", "stream_options")
"""How the client gets the whole says nothing of how a part is asked for."""
_SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class Frame:
    """A chat request and the place of the script in its messages."""

    body: Mapping[str, Any]
    message: int
    item: int | None
    """Which item of the message's content; None if the content is the script."""
    script: str

    def filled(self, text: str, context: str, cap_tokens: int) -> dict[str, Any]:
        """The request for one part: ``text`` is in the script's place, exactly; ``context``
        stands at the end of the first system message, which is made if there is none."""
        messages = list(self.body["messages"])
        messages[self.message] = self._with(messages[self.message], text)
        at = self._system
        if at is None:
            messages.insert(0, {"role": "system", "content": context})
        else:
            messages[at] = _added(messages[at], context)
        body = {k: v for k, v in self.body.items() if k not in NOT_OF_A_PART}
        body |= {name: cap_tokens for name in CAPS if body.get(name) is not None}
        return body | {"messages": messages}

    def without(self) -> dict[str, Any]:
        """The request with nothing in the script's place."""
        messages = list(self.body["messages"])
        messages[self.message] = self._with(messages[self.message], "")
        return {**self.body, "messages": messages}

    def texts_of(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """What such a request was filled with: text and context."""
        messages = body["messages"]
        at = self._system
        content = messages[self.message + (at is None)]["content"]
        text: str = content if self.item is None else content[self.item]["text"]
        told = messages[at or 0]["content"]
        if isinstance(told, list):
            return text, told[-1]["text"]
        own = None if at is None else self.body["messages"][at].get("content")
        return text, told[len(_joined(own, "")) :]

    def texts_beside(self) -> Iterator[str]:
        """What systems and users say besides the script."""
        for at, message in enumerate(self.body["messages"]):
            if message.get("role") in (*_SYSTEM, "user"):
                for item, text in _texts(message.get("content")):
                    if (at, item) != (self.message, self.item):
                        yield text

    def texts_of_the_turn(self) -> Iterator[str]:
        """What else the user says before a model answers, or after it did."""
        messages = self.body["messages"]
        roles = [message.get("role") for message in messages]
        before = [at for at in range(self.message) if roles[at] == "assistant"]
        after = [at for at in range(self.message, len(roles)) if roles[at] == "assistant"]
        for at in range(before[-1] + 1 if before else 0, after[0] if after else len(roles)):
            if roles[at] == "user":
                for item, text in _texts(messages[at].get("content")):
                    if (at, item) != (self.message, self.item):
                        yield text

    def bytes_of(self, text: str, context: str, cap_tokens: int) -> int:
        """The size of the filled request as JSON, without making it."""
        caps = sum(self.body.get(name) is not None for name in CAPS)
        return (
            self._empty_bytes
            + _json_bytes(text)
            + _json_bytes(context)
            + caps * (len(str(cap_tokens)) - 1)
        )

    @cached_property
    def _empty_bytes(self) -> int:
        return len(orjson.dumps(self.filled("", "", 0)))

    @cached_property
    def _system(self) -> int | None:
        roles = [message.get("role") for message in self.body["messages"]]
        return next((at for at, role in enumerate(roles) if role in _SYSTEM), None)

    def _with(self, message: Mapping[str, Any], text: str) -> dict[str, Any]:
        if self.item is None:
            return {**message, "content": text}
        content = list(message["content"])
        content[self.item] = {**content[self.item], "text": text}
        return {**message, "content": content}


def find_script(body: Mapping[str, Any]) -> Frame | None:
    """None if no user message has any text."""
    longest: Frame | None = None
    for at, message in enumerate(body["messages"]):
        if message.get("role") != "user":
            continue
        for item, text in _texts(message.get("content")):
            if text and (longest is None or len(text) > len(longest.script)):
                longest = Frame(body, at, item, text)
    return longest


def why_whole(body: Mapping[str, Any], *, one_answer: bool) -> str:
    """What of a request forbids to answer it in parts; empty if nothing does. ``one_answer``: the
    answers to the parts are made into one by a model, so they need not join as text."""
    if (body.get("n") or 1) > 1:
        return "n is more than 1"
    for name in ("tools", "functions", "audio", "logprobs"):
        if body.get(name):
            return f"it has {name}"
    if set(body.get("modalities") or ()) - {"text"}:
        return "it asks for more than text (modalities)"
    kind = (body.get("response_format") or {}).get("type", "text")
    if kind != "text" and not one_answer:
        return f"answers of the form {kind} cannot be put together (response_format)"
    return ""


def _texts(content: Any) -> Iterator[tuple[int | None, str]]:
    if isinstance(content, str):
        yield None, content
    elif isinstance(content, Sequence):
        for item, part in enumerate(content):
            if part["type"] == "text":
                yield item, part["text"]


def _added(message: Mapping[str, Any], context: str) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": context}]}
    return {**message, "content": _joined(content, context)}


def _joined(content: str | None, context: str) -> str:
    return f"{content}\n\n{context}" if content else context


def _json_bytes(text: str) -> int:
    """Of a string in JSON, without its quotes."""
    return len(orjson.dumps(text)) - 2
