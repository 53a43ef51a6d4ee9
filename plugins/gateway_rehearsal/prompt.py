"""Reads a chat request the way a writer would: what is asked, in which language, for what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[A-Za-z]")
_TASK_WORDS = (
    ("extract", re.compile(r"\bextract|提取|抽取|信息表", re.I)),
    ("storyboard", re.compile(r"\bstoryboard|\bshot list|分镜|镜头表", re.I)),
    ("review", re.compile(r"\breview|\bcritique|\bnotes on\b|审稿|审阅|评审|点评", re.I)),
    ("polish", re.compile(r"\bpolish|润色|打磨", re.I)),
    ("rewrite", re.compile(r"\brewrite|\btighten|改写|重写|精简", re.I)),
)
_LABEL_CHARS = 8
"""A first line that ends in a colon and is no longer names a speaker, or heads a cast list."""
_INTENT_CHARS = 2000
"""An instruction stands at the start; a whole script behind it must not decide the task."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of ``messages`` that an answer depends on."""

    system: str
    user: str
    """Text of the last user message."""
    tool_result: str | None
    """Text of the last message, if a tool wrote it."""
    text_bytes: int
    """UTF-8 bytes of all text."""
    messages: int

    @property
    def chinese(self) -> bool:
        sample = (self.user or self.system)[:4000]
        han = len(_HAN.findall(sample))
        return han * 4 > len(_LETTER.findall(sample))

    @property
    def script(self) -> str:
        """The user's text without an instruction in front (a first line that ends in a colon)."""
        first, newline, rest = self.user.partition("\n")
        return rest.strip("\n") if newline and _is_instruction(first.strip()) else self.user

    def topic(self, otherwise: str) -> str:
        """The prompt's own first words."""
        line = next((line.strip() for line in self.script.splitlines() if line.strip()), "")
        words = line[:18] if self.chinese else " ".join(line.split()[:8])[:80]
        return words.rstrip(".,:;!?，。：；！？ ") or otherwise

    def task(self) -> str:
        for text in (self.system, self.user):
            for task, words in _TASK_WORDS:
                if words.search(text[:_INTENT_CHARS]):
                    return task
        return "draft"


def _is_instruction(line: str) -> bool:
    if not line.endswith((":", "：")):
        return False
    return len(line) > _LABEL_CHARS or any(words.search(line) for _, words in _TASK_WORDS)


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    texts = [(str(message.get("role")), text_of(message.get("content"))) for message in messages]
    last_role, last_text = texts[-1]
    return Prompt(
        system="\n".join(text for role, text in texts if role in ("system", "developer")),
        user=next((text for role, text in reversed(texts) if role == "user"), ""),
        tool_result=last_text if last_role == "tool" else None,
        text_bytes=sum(len(text.encode()) for _, text in texts),
        messages=len(texts),
    )


def text_of(content: Any) -> str:
    """A message's ``content``, a string or a list of parts, as text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(
        part["text"]
        for part in content
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
