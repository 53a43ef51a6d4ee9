"""How a line of a script begins, as patterns."""

from __future__ import annotations

import re
from enum import IntEnum

from gateway.chunking.script import Kind

BLANKS = (
    " \t\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
"""What may stand before a line's first sign: spaces, and what has no width. Only ``\\n``,
``\\r\\n`` and ``\\r`` end a line: editors show U+2028 inside one, and no script format knows it."""
_END = r"(?:\r\n?|\n)"
_NAME = (
    r"(?![0-9０-９]+[：:])[^\s：:（()）【】\[\]“”\"‘’《》，。！？,!?；;…*#]{1,16}"
    r"(?: [A-Z][^\s：:（()）【】\[\]，。！？,!?；;…]{0,15}){0,2}"
)
_FEELING = r"(?:[（(][^）)\r\n]{0,40}[）)]){0,3}"
_COLON = r"[ \u3000]?[：:](?!//)"
_ODD = (
    "第[ \u3000]?[0-9０-９零〇一二两三四五六七八九十百千壹贰叁肆伍陆柒捌玖拾佰]"
    "|[0-9０-９]{1,4}[ \u3000]?(?:[-－—–‐‑−﹣、.．)）场場]|[ \t\u3000])"
    r"|[场場]|[内外內][景外/ .。．、:：·\u3000]|[【\[［〖「《〔※#_*.@!=~>/◆■●★☆▶◇□\-—─━－]"
    "|[Ss][0-9]|E[Pp]|S[Cc]|A[Cc][Tt]|[Ii][Nn][Tt]|[Ee][Xx][Tt]|[Ee][Ss][Tt]|[IiEe]/"
    "|序[幕章]|[楔引]子|尾声|终章|番外|大结局"
    "|[\u4e00-\u9fff]{1,3}[ \u3000/·]+[内外室][内外景 \u3000/·]"
    r"|[A-Z][^a-z\r\n(\u3000-\u9fff\uff00-\uffef]{0,60}+(?:\([^)\r\n]{0,20}\)[ ^]*+)*+(?=[\r\n]|\Z)"
)
"""What is looked at twice."""
_BOX = (
    r"[【\[](?![第场場内外內序楔引尾终番大SsEeA0-9０-９*\s])"
    r"[^】\]\r\n]{1,120}+[】\]](?=[\r\n]|\Z)"
)
"""``【闪回】``, all of the line, and no number of a heading in it."""

LINE = re.compile(
    rf"(?:(?<=[^\r\n])(?P<more>)|[{BLANKS}]{{0,64}}+(?:"
    rf"(?=[\r\n]|\Z)(?P<blank>)|(?P<action>[△▲∆Δ▵])|{_BOX}(?P<note>)|(?=(?:{_ODD}))(?P<odd>)"
    rf"|(?P<name>{_NAME})[ \u3000]?{_FEELING}{_COLON}"
    rf"(?:(?P<cue>[{BLANKS}]{{0,8}}+(?=[\r\n]|\Z))|(?P<said>))"
    rf"|(?P<plain>)))"
    rf"[^\r\n]{{0,4096}}+{_END}?+(?:[{BLANKS}]{{0,200}}+{_END}){{0,200}}+"
)
"""Matches everywhere: one line with the blank lines behind it. What is longer than a bound goes on
in the next match, as ``more`` or ``blank``."""


class Beginning(IntEnum):
    """``lastindex`` of a match of ``LINE``."""

    MORE = LINE.groupindex["more"]
    BLANK = LINE.groupindex["blank"]
    NOTE = LINE.groupindex["note"]
    ACTION = LINE.groupindex["action"]
    ODD = LINE.groupindex["odd"]
    CUE = LINE.groupindex["cue"]
    SAID = LINE.groupindex["said"]
    PLAIN = LINE.groupindex["plain"]


NAME_AT: int = LINE.groupindex["name"]

_SAYING = re.compile(
    rf"[{BLANKS}*_]{{0,64}}+(?P<box>[【\[])?(?P<name>{_NAME})(?P<shut>[】\]])?[*_]{{0,3}}"
    rf"{_FEELING}[*_ \u3000]{{0,3}}[：:](?!//)[*_]{{0,3}}"
    rf"(?P<cue>[{BLANKS}]{{0,8}}+(?=[\r\n]|\Z))?"
)
_FIELD_WORDS = """
人物 出场人物 登场人物 场景人物 人物表 角色 出场 登场 演员
时间 日期 地点 场景 场次 景别 道具 服装 服化道 天气 气氛
字幕 音效 音乐 BGM SFX 配乐 镜头 转场 切至 特写 空镜
备注 注 梗概 剧情 本集梗概 剧情梗概 钩子
"""
_FIELDS = frozenset(_FIELD_WORDS.split())
"""What stands before a colon and is no speaker."""
_SHOWN = frozenset({"画面", "动作"})


_UNSEEN = re.compile(r"(?:(?<=[\u3400-\u9fff])|[ \u3000])(?:[OV]\.?[SO]\.?|画外音|旁白|内心)", re.I)


def speech(name: str) -> tuple[Kind, str]:
    """What a line is that has this before its colon, and who speaks."""
    unseen = _UNSEEN.search(name)
    if unseen is not None and unseen.end() == len(name):
        name = name[: unseen.start()].rstrip(BLANKS)
    if name in _FIELDS:
        return Kind.NOTE, ""
    return (Kind.ACTION, "") if name in _SHOWN else (Kind.DIALOGUE, name)


def read_speech(text: str, start: int, end: int) -> tuple[Kind, str] | None:
    """``**林晚**（冷笑）：…``, ``【林晚】：…``, ``人物：…``; None for what is none of them."""
    match = _SAYING.match(text, start, end)
    if match is None or (match["box"] is None) != (match["shut"] is None):
        return None
    kind, name = speech(match["name"])
    if kind is Kind.DIALOGUE and match["cue"] is not None:
        kind = Kind.CUE
    return kind, name


def is_field(text: str, start: int, end: int) -> bool:
    """Whether a line is one such as ``时间：日``."""
    match = _SAYING.match(text, start, end)
    return match is not None and match["name"] in _FIELDS
