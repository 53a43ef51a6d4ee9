"""What a script is read as: spans that join to it, headings, who speaks."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind

from .reading import found, kinds, names, read_lossless
from .scripts import STYLES, write_script, write_with_headings

NASTY = [
    "\n", "\r\n", "\r", "\n\n", "\t", " ", "　", "\u200b", "\ufeff", "\u2028", "\x0b", "\x0c",
    "\x1c", "\x85", "😀", "👨\u200d👩", "𠀀", "𪚥", "e\u0301", "\ud800", "\x00", "第", "集", "场",
    "1-1", "1—1", "第3集", "场景", "：", "日 内", "※", "S01", " | ", "20、", "人物：", "△",
    "林晚（冷笑）：", "（OS）", "【", "】", "【闪回】", "【场景：", "**", "#", "##", "=", "!", "@",
    "~", ">", "<", "INT. ", "EXT.", "I/E ", " - DAY", "#1A#", ".", "...", "MARA", "CUT TO:", "[[",
    "]]", "/*", "*/", "Title:", "(quietly)", "Scene 12", "EPISODE 3", "a", "我昨天看到第3集", "。",
]  # fmt: skip
nasty_texts = st.lists(st.sampled_from(NASTY) | st.characters(), max_size=60).map("".join)


# Nothing is lost


@settings(max_examples=1500, deadline=None)
@given(nasty_texts)
def test_spans_and_sections_join_to_the_text(text):
    read_lossless(text)


@settings(max_examples=300, deadline=None)
@given(nasty_texts)
def test_spans_are_whole_lines_with_the_blank_lines_behind_them(text):
    starts = {0} | {match.end() for match in re.finditer(r"\r\n?|\n", text)}
    for span in read_lossless(text).spans:
        assert span.start in starts


@settings(max_examples=300, deadline=None)
@given(nasty_texts)
def test_a_script_read_by_its_own_conventions_is_the_same(text):
    script = parse(text)
    again = parse(text, script.conventions)
    assert [s for s in again.sections if s.name] == [s for s in script.sections if s.name]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("style", STYLES)
def test_line_ends_change_no_heading(style, newline):
    text, headings = write_with_headings(style, 2, 3, newline=newline)
    script = read_lossless(text)
    assert found(script) == [(h.kind, h.name, h.line) for h in headings]
    clipped = read_lossless(text.rstrip(newline))
    assert [s.name for s in clipped.sections] == [s.name for s in script.sections]


@pytest.mark.parametrize(
    "text", ["", "\n", "\ufeff", "   ", "\r\n\r\n", "第3集", "\ufeff第3集\r\n", "a" * 5000]
)
def test_little_texts(text):
    read_lossless(text)


# Every style


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("style", STYLES)
def test_the_headings_are_those_that_were_written(style, seed):
    episodes = len(STYLES) - 1 if style == "mixed" else 4
    text, headings = write_with_headings(style, episodes, 4, seed)
    assert found(parse(text)) == [(h.kind, h.name, h.line) for h in headings]


def test_sixty_episodes():
    text, headings = write_with_headings("mixed", 60, 6, scene_chars=560)
    assert len(text.encode()) > 500_000
    assert found(read_lossless(text)) == [(h.kind, h.name, h.line) for h in headings]


@pytest.mark.parametrize("style", STYLES)
def test_a_part_of_a_script_has_the_headings_it_had_in_the_whole(style):
    text, _ = write_with_headings(style, 5, 4, seed=1)
    whole = parse(text)
    for first in range(1, len(whole.sections), 5):
        some = whole.sections[first : first + 5]
        part = text[some[0].start : some[-1].end]
        assert [s.name for s in parse(part, whole.conventions).sections] == [s.name for s in some]


# What lines are


def test_the_lines_of_a_scene():
    text = (
        "《楼顶》\n人物：林晚、顾沉\n\n第1集\n1-1 日 内 客厅\n人物：林晚\n△林晚推门。\n"
        "林晚（冷笑）：你来了。\n顾沉（OS）：她知道了。\n【字幕：三年后】\n字幕：三年后\n【闪回】\n顾沉：走。\n【闪回结束】\n门开了。\n"
        "林晚：\n你走吧。\n（转身）\n再也别来。\n\n她哭了。\n**顾沉**（低声）：好。\n【旁白】：十年。\n"
    )
    assert kinds(text) == [
        (Kind.FRONT, ""),
        (Kind.FRONT, ""),
        (Kind.EPISODE, "1"),
        (Kind.SCENE, "1-1"),
        (Kind.NOTE, ""),
        (Kind.ACTION, ""),
        (Kind.DIALOGUE, "林晚"),
        (Kind.DIALOGUE, "顾沉"),
        (Kind.NOTE, ""),
        (Kind.NOTE, ""),
        (Kind.NOTE, ""),
        (Kind.DIALOGUE, "顾沉"),
        (Kind.NOTE, ""),
        (Kind.ACTION, ""),
        (Kind.CUE, "林晚"),
        (Kind.DIALOGUE, "林晚"),
        (Kind.DIALOGUE, "林晚"),
        (Kind.DIALOGUE, "林晚"),
        (Kind.ACTION, ""),
        (Kind.DIALOGUE, "顾沉"),
        (Kind.DIALOGUE, "旁白"),
    ]


def test_scripts_are_the_same_for_the_same_seed():
    assert write_script("mixed", seed=4) == write_script("mixed", seed=4)
    assert write_script("mixed", seed=4) != write_script("mixed", seed=5)


def test_a_title_page_ends_where_the_script_begins():
    text = "剧名：楼顶\n集数：60集\n第1集：重逢\n1-1 日 内\n林晚：走。\n\n1-2 夜 外\n△车来了。\n"
    assert names(text) == ["1", "1-1", "1-2"]


def test_a_script_with_an_outline_in_front_and_uneven_headings():
    text = (
        "剧名：《楼顶》\n人物小传：\n1、苏念：女，24岁\n2、陆霆：男，28岁\n\n分集大纲\n"
        "第一集：苏念被抛弃，在门口遇到陆霆，两人闪婚。\n第二集：苏念发现他是总裁。\n\n"
        "第一集\n1-1 民政局门口 日 外\n人物：苏念、陆霆\n▲人来人往。\n1-1，平了。\n第一集（完）\n\n"
        "第二集\n2-1 陆家客厅 夜 内\n时间：夜\n2-2 卧室 夜 内 【闪回】\n2-3 卧室  夜 内（接上场）\n"
        "（切）\n第3集\n3-1\n日，内，卫生间\n3-2\n外，街\n3-3 夜/外/街\n3-4【夜】【内】卧室\n"
        "3-5 卧室[夜][内]\n3-6、夜，卧室内\n3-7 地点：卧室 时间：夜\n"
    )
    expected = "1 1-1 2 2-1 2-2 2-3 3 3-1 3-2 3-3 3-4 3-5 3-6 3-7"
    assert names(text) == expected.split()


@pytest.mark.parametrize(
    ("line", "speaker"),
    [
        ("苏念 OS：真大。", "苏念"),
        ("苏念os：真大。", "苏念"),
        ("苏念V.O.：真大。", "苏念"),
        ("苏念（OS）：真大。", "苏念"),
        ("苏念（冷笑）（OS）：真大。", "苏念"),
        ("苏念 （VO） ：真大。", "苏念"),
        ("CARLOS: No.", "CARLOS"),
        ("旁白：十年后。", "旁白"),
        ("画外音：十年后。", "画外音"),
        ("苏念、陆霆：走！", "苏念、陆霆"),
        ("人物：苏念", None),
        ("字幕：十年后", None),
        ("12:30 的钟声响了", None),
        ("https://example.org 打不开", None),
        ("她说，“记住：别回头。”", None),
    ],
)
def test_who_speaks(line, speaker):
    kind, name = kinds(f"1-1 日 内\n{line}\n")[1]
    assert (name if kind is Kind.DIALOGUE else None) == speaker


def test_a_text_of_mentions():
    """Letters that begin headings in every line: none of them is one, and it ends."""
    text = "".join(
        f"第{n}次，他说第3集。\n{letter}\n" for n in range(500) for letter in string.ascii_letters
    )
    assert names(text) == []
