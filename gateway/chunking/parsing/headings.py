"""One line of a Chinese or English script: is it a heading, and which?

What a line alone cannot tell (``1-2``, ``20、卫生间``, ``第3集逃出生天``) is an uncertain heading;
the whole script decides (``sequences.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.chunking.script import Kind

from .english_headings import read_english
from .forms import MARKS, Form, Heading, unwrap
from .lines import BLANKS
from .numerals import DIGITS, NUMERAL, number_of
from .scene_settings import End, end_of, is_setting, is_time_like

MAX_HEADING_CHARS = 200
_MAX_TITLE_CHARS = 40
_MAX_ITEM_CHARS = 20
_SIMPLE = str.maketrans("場內話時間後", "场内话时间后")
"""Traditional signs that headings are made of."""


def read_heading(line: str) -> Heading | None:
    """The heading that a line is; None for every other line."""
    if len(line) > MAX_HEADING_CHARS or line[:1] not in _STARTS:
        return None
    core, is_marked = unwrap(line)
    if not core:
        return None
    core = core.translate(_SIMPLE)
    for read in _READERS.get(core[0], ()):
        heading = read(core, is_marked)
        if heading is not None:
            return heading
    return None


_EPISODE = re.compile(
    rf"(?:第{NUMERAL}季[ \t\u3000]*)?第[ \t\u3000]?({NUMERAL})[ \t\u3000]?([集话回章幕])(.*)",
    re.DOTALL,
)
_EPISODES_SCENE = re.compile(
    rf"[ \t\u3000·,，\-]*第[ \t\u3000]?({NUMERAL})[ \t\u3000]?场(.*)", re.DOTALL
)
_OVER = re.compile(
    r"[\s\u3000\-—：:·（(【]*(?:本集)?(?:完|终|结束|完结|剧终|未完待续|预告|下集预告)[）)】。\s]*"
)
_TITLE_STARTS = " \t\u3000：:·-—–|｜《（(「“【、.．_"
_PROSE = re.compile(r"[。；;]|[，,].*[，,]|[!！?？…][^）)》”」】]")
_GOES_ON = (
    "团里中的是时会没已就结播开讲说到才也都还我你他她它在有被把让给对从和与跟比上下前后内外这那不未又再"
    "拍写看演更最一以之所完终预片至合题"
)
"""What a sentence about an episode goes on with, and a title hardly ever begins with."""


def _read_episode(core: str, is_marked: bool) -> Heading | None:
    match = _EPISODE.match(core)
    if match is None:
        return None
    number, rest = number_of(match[1]), match[3]
    of_episode = _EPISODES_SCENE.match(rest)
    if of_episode is not None:
        scene = number_of(of_episode[1])
        if end_of(of_episode[2]) in (End.BARE, End.SETTING, End.TITLE):
            return Heading(Kind.SCENE, f"{number}-{scene}", Form.PAIR, True, (number, scene))
        return None
    if _OVER.fullmatch(rest):
        return None
    how = _title(rest, is_marked)
    if how is None:
        return None
    return Heading(Kind.EPISODE, str(number), Form.EPISODE, how, (number,))


def _title(rest: str, is_marked: bool) -> bool | None:
    """Whether what stands behind a number is a title: True, perhaps (False), or None."""
    title = rest.strip(_TITLE_STARTS)
    if not title:
        return True
    if len(title) > _MAX_TITLE_CHARS or title.endswith(("。", "；", ";", "，")):
        return None
    if _EPISODE.match(title):
        return None
    if rest[0] in _TITLE_STARTS:
        return None if _PROSE.search(title) and not is_marked else True
    if rest[0] in "，,":
        return None if re.search("[，,。！？!?]", rest[1:]) else False
    if rest[0] in _GOES_ON or re.search("[，,。！？!?：:]", rest) or len(rest) > _MAX_ITEM_CHARS:
        return None
    return is_marked


_COUNTED = re.compile(rf"第[ \t\u3000]?({NUMERAL})[ \t\u3000]?(?:场景|场戏|场)(.*)", re.DOTALL)
_WORDED = re.compile(
    rf"(?:场景|场次|分场|场)[ \t\u3000]?[：:.．]?[ \t\u3000]?第?({NUMERAL})场?(.*)", re.DOTALL
)


def _read_counted(core: str, is_marked: bool) -> Heading | None:
    match = _COUNTED.match(core) or _WORDED.match(core)
    if match is None or _OVER.fullmatch(match[2]) or end_of(match[2]) is None:
        return None
    number = number_of(match[1])
    return Heading(Kind.SCENE, str(number), Form.COUNTED, True, (number,))


_PLACE = re.compile(r"场景(?P<colon>[ \t\u3000]*[：:])?[ \t\u3000]*(?P<place>\S.*)", re.DOTALL)


def _read_place(core: str, is_marked: bool) -> Heading | None:
    """``场景：医院``: a heading, or a line below one; ``sequences`` knows which."""
    match = _PLACE.match(core)
    if match is None or not (match["colon"] or (is_marked and "景 " in core)):
        return None
    if len(core) > 2 * _MAX_TITLE_CHARS or re.search("[！？!?；;…]|。.", match["place"]):
        return None
    return Heading(Kind.SCENE, "", Form.PLACE, False)


_DASH = r"(?:--|——|[-－—–‐‑−﹣])"
_PAIR = re.compile(
    rf"(?:第|场景|场次|场|SCENE|Scene)?[ \t\u3000]?[：:]?[ \t\u3000]?(?P<first>{DIGITS}{{1,3}})"
    rf"[ \t\u3000]?(?:{_DASH}|(?P<dot>[.．]))"
    rf"[ \t\u3000]?(?P<second>{DIGITS}{{1,3}})(?P<letter>[A-Za-z]?)(?![A-Za-z0-9０-９])场?"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_MEASURE = re.compile(
    rf"[ \t\u3000]?(?:{_DASH}|[/%％~～+＋*×])|[.:：．]{DIGITS}|小时"
    "|[年月号比分岁个万元点人次天米名度块倍折秒件]"
)


def _read_pair(core: str, is_marked: bool) -> Heading | None:
    match = _PAIR.match(core)
    if match is None or _MEASURE.match(match["rest"]):
        return None
    end = end_of(match["rest"], least=2 if match["dot"] else 1)
    if end is None or (match["dot"] and end is not End.SETTING):
        return None
    first, second = int(match["first"]), int(match["second"])
    name = f"{first}-{second}{match['letter'].upper()}"
    is_certain = end is End.SETTING or is_marked
    return Heading(Kind.SCENE, name, Form.PAIR, is_certain, (first, second))


_ITEM = re.compile(
    rf"({DIGITS}{{1,4}})([、.．)）]|场?[ \t\u3000]|场[：:])(?!{DIGITS})(.*)", re.DOTALL
)
_SLUGLINE = re.compile(r"[ \t]*(?:INT|EXT|EST|I/E)[./ ]")


def _read_item(core: str, is_marked: bool) -> Heading | None:
    match = _ITEM.match(core)
    if match is None:
        return None
    number, rest = int(match[1]), match[3]
    is_spaced = match[2].isspace()
    end = end_of(f" {rest}", least=2 if is_spaced else 1, plain_only=True)
    is_slugline = _SLUGLINE.match(rest) is not None and end is not None and not is_spaced
    is_certain = end is End.SETTING or is_slugline
    is_short = end is End.TITLE and len(rest) <= _MAX_ITEM_CHARS and not re.search("[，,：:]", rest)
    if not is_certain and (not is_short or is_spaced):
        return None
    return Heading(Kind.SCENE, str(number), Form.ITEM, is_certain, (number,))


_LETTERED = re.compile(r"[Ss]([0-9]{1,4})([A-Za-z]?)(?![A-Za-z0-9])(.*)", re.DOTALL)


def _read_lettered(core: str, is_marked: bool) -> Heading | None:
    match = _LETTERED.match(core)
    if match is None:
        return None
    rest = match[3].lstrip(BLANKS)
    end = end_of(match[3])
    if end is None or (end is End.TITLE and not (is_marked or rest.startswith(("|", "｜")))):
        return None
    is_certain = is_marked or end is not End.BARE
    number = int(match[1])
    name = f"S{number:02}{match[2].upper()}"
    return Heading(Kind.SCENE, name, Form.LETTERED, is_certain, (number,))


_ASTERISM = re.compile(
    r"※[ \t\u3000]*([^-－—–|｜·]+)[-－—–|｜·]+[ \t\u3000]*([^-－—–|｜·]+)", re.DOTALL
)


def _read_asterism(core: str, is_marked: bool) -> Heading | None:
    inner = read_heading(core.lstrip("※"))
    if inner is not None and inner.is_certain:
        return inner
    match = _ASTERISM.fullmatch(core)
    if match is None or re.search("[。！？!?；;]", core) or not is_time_like(match[2]):
        return None
    return Heading(Kind.SCENE, "", Form.SETTING)


_SETTING = re.compile(
    r"(?:内外景|内/外景|内景|外景|内|外)[ \t\u3000.。．、:：·,，]+(.+)", re.DOTALL
)


def _read_setting(core: str, is_marked: bool) -> Heading | None:
    match = _SETTING.match(core)
    if match is None or len(core) > _MAX_TITLE_CHARS:
        return None
    if end_of(f" {match[1].replace('。', ' ')}", times_only=True) is not End.SETTING:
        return None
    return Heading(Kind.SCENE, "", Form.SETTING)


def _read_bare_setting(core: str, is_marked: bool) -> Heading | None:
    """``夜 外 江边``: a heading without a number, or a line below one that has it."""
    if len(core) > _MAX_TITLE_CHARS or not is_setting(core):
        return None
    return Heading(Kind.SCENE, "", Form.SETTING, False)


_WORD = re.compile(
    rf"(序幕|序章|楔子|引子|尾声|终章|大结局|番外篇?[ \t\u3000]?(?:{NUMERAL}(?![\u4e00-\u9fff]))?)"
    r"(?P<title>.*)",
    re.DOTALL,
)


def _read_word(core: str, is_marked: bool) -> Heading | None:
    """``序幕``, ``番外一：海边``: an episode that has a word for its number."""
    match = _WORD.match(core)
    if match is None:
        return None
    rest = match["title"]
    title = rest.strip(_TITLE_STARTS)
    if title and (rest[0] not in _TITLE_STARTS or len(title) > _MAX_ITEM_CHARS):
        return None
    if re.search("[，,。！？!?；;]", title):
        return None
    return Heading(Kind.EPISODE, "".join(match[1].split()), Form.EPISODE)


_Reader = Callable[[str, bool], Heading | None]
_BY_FIRST: dict[str, tuple[_Reader, ...]] = {
    "第": (_read_episode, _read_counted, _read_pair),
    "场": (_read_pair, _read_counted, _read_place),
    "S": (_read_lettered, _read_pair, read_english),
    "s": (_read_lettered,),
    "E": (read_english,),
    "A": (read_english,),
    "※": (_read_asterism,),
    "内": (_read_setting,),
    "外": (_read_setting,),
}
_WORDS = dict.fromkeys("序楔引尾番", (_read_word,))
_SETTINGS = dict.fromkeys("日夜昏凌拂黎上正下傍入深半白次翌清早黄晨晚午中", (_read_bare_setting,))
_NUMBERED: tuple[_Reader, ...] = (_read_pair, _read_item)
_READERS: dict[str, tuple[_Reader, ...]] = {
    **_BY_FIRST,
    **_WORDS,
    **_SETTINGS,
    "终": (_read_word,),
    "大": (_read_word,),
    **dict.fromkeys("0123456789０１２３４５６７８９", _NUMBERED),
}
_STARTS = MARKS | frozenset(_READERS) | frozenset("場內") | frozenset(BLANKS)
