"""Time and place as scene headings name them: 日 内 医院走廊."""

from __future__ import annotations

import re
from enum import Enum

_TIME = (
    "日|夜|晨|昏|晚|午|清晨|早晨|早上|早|凌晨|拂晓|黎明|上午|中午|正午|下午|午后|傍晚|黄昏|晚上|入夜"
    "|深夜|午夜|半夜|夜晚|夜间|白天|日间|白日|次日|翌日|次日[日夜晨]|当日|当晚|同时|日转夜|夜转日"
)
_INSIDE = "内外|外内|室内|室外|内|外"
_SETTING = re.compile(
    rf"(?:{_TIME})景?(?:(?:{_INSIDE})景?)?|(?:{_INSIDE})景?(?:(?:{_TIME})景?)?"
    "|INT|EXT|DAY|NIGHT|MORNING|EVENING|DAWN|DUSK|AFTERNOON|LATER|CONTINUOUS"
)
_TIME_ONLY = re.compile(
    rf"(?:{_TIME})景?|DAY|NIGHT|MORNING|EVENING|DAWN|DUSK|AFTERNOON|LATER|CONTINUOUS"
)
_PLAIN = re.compile(rf"(?:[日夜晨昏]景?)?(?:{_INSIDE})?景?(?:[日夜晨昏]景?)?|INT|EXT|DAY|NIGHT")
_ASIDE = re.compile("闪回|回忆|梦境|幻想|想象|现在|过去|续|连戏|同上|雨|雪")
"""What may stand behind a setting."""
_BETWEEN = re.compile(r"[\s\u3000，,、/／|｜·・（）()\[\]【】：:；;—–\-－。.．]+")
_PROSE = re.compile('[！？!?；;…“”"]')
_TIME_LIKE = re.compile("[日夜晨昏晚早午昼晓暮点时前后天年月内外]|DAY|NIGHT|LATER")
_MAX_CHARS = 60
_MAX_TIME_CHARS = 12


_NO_PROSE = '[^。！？!?；;…“”"：:]'
_BARE = re.compile(rf"(?:{_TIME})景?[ \t\u3000/·]+(?:{_INSIDE})景?[ \t\u3000/·]+(?!\s){_NO_PROSE}+")


def is_setting(text: str) -> bool:
    """``夜 外 江边``: time of day, inside or outside, and a place, set apart."""
    return _BARE.fullmatch(text) is not None


class End(Enum):
    """What stands behind the number of a scene."""

    BARE = "nothing"
    SETTING = "a time of day, or whether it is inside"
    TITLE = "something else, set apart"


def end_of(
    rest: str, least: int = 1, *, plain_only: bool = False, times_only: bool = False
) -> End | None:
    """What ``rest`` is; None if it is the middle of a sentence.

    ``least``: how many words of a setting make one. ``plain_only``: only 内, 外, 日, 夜 and the
    like, not 晚上. ``times_only``: only times of day.
    """
    words = [word for word in _BETWEEN.split(rest) if word]
    if not words:
        return End.BARE
    if len(rest) > _MAX_CHARS or _PROSE.search(rest):
        return None
    pattern = _PLAIN if plain_only else _TIME_ONLY if times_only else _SETTING
    found = sum(
        1 + (word[-1:] in "内外" and len(word) > 1) for word in words if pattern.fullmatch(word)
    )
    is_apart = _BETWEEN.match(rest) is not None
    if not is_apart and not _SETTING.fullmatch(words[0]):
        return None
    if rest[0] in "，,。" or "。" in rest.rstrip("。") or not (is_apart or words[0][0] in "内外"):
        least = 2
    if found >= least and (found > 1 or _is_framed(words, pattern)):
        return End.SETTING
    return End.TITLE if rest[0] not in "，,。" and not rest.endswith("。") else None


def _is_framed(words: list[str], pattern: re.Pattern[str]) -> bool:
    """One word of a setting stands first or last; in the middle it belongs to a sentence."""
    last = words[-2] if len(words) > 1 and _ASIDE.fullmatch(words[-1]) else words[-1]
    return bool(pattern.fullmatch(words[0]) or pattern.fullmatch(last))


def is_time_like(text: str) -> bool:
    """三年后, 22:30, 次日清晨: what stands behind the dash of ``※ 天台 - 夜``."""
    return len(text) <= _MAX_TIME_CHARS and (
        _TIME_LIKE.search(text) is not None or re.fullmatch(r"\d{1,2}[:：]\d\d", text) is not None
    )
