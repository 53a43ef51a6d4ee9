"""What models do to a script that they were asked to give back."""

from __future__ import annotations

from collections.abc import Callable

from .acts import Asked

Make = Callable[[Asked], str]


def without(scene: str) -> Make:
    """One scene is missing."""
    return lambda asked: _once(asked.text, scene, "")


def doubled(scene: str) -> Make:
    return lambda asked: _once(asked.text, scene, scene + scene)


def swapped(scene: str, following: str) -> Make:
    """Two scenes that stand beside each other have changed places."""
    return lambda asked: _once(asked.text, scene + following, following + scene)


def changed(old: str, new: str) -> Make:
    return lambda asked: _once(asked.text, old, new)


def first_half(asked: Asked) -> str:
    return asked.text[: len(asked.text) // 2]


def first_quarter(asked: Asked) -> str:
    return asked.text[: len(asked.text) // 4]


def in_fences(asked: Asked) -> str:
    return f"```\n{asked.text}\n```"


def after_a_preamble(asked: Asked) -> str:
    return f"好的，以下是润色后的剧本：\n\n{asked.text}"


def after_thinking(asked: Asked) -> str:
    return f"<think>先看看第1场有什么问题。</think>\n\n{asked.text}"


def within_thinking(asked: Asked) -> str:
    """The tag is never closed."""
    return f"<think>{asked.text}"


def whole_prompt(asked: Asked) -> str:
    return f"{asked.system}\n\n{asked.text}" if asked.system else f"{asked.text}\n\n{asked.text}"


def refusal(asked: Asked) -> str:
    return "抱歉，我无法协助完成这个请求。"


def nothing(asked: Asked) -> str:
    return ""


def _once(text: str, old: str, new: str) -> str:
    """An answer that is not what the test says it is would prove nothing."""
    assert text.count(old) == 1, f"{old[:40]!r} is in the part {text.count(old)} times"
    return text.replace(old, new)
