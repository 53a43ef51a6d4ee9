"""What a part is told of the rest: enough to read it by, little enough to leave room, fenced."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.planning.characters import characters_in
from gateway.chunking.planning.context import Context
from gateway.chunking.screenplay import parse
from gateway.chunking.script import Script
from gateway.config_chunking import ChunkingConfig, ContextConfig

from .calls import FENCE
from .counting import PlainCounter
from .scripts import STYLES, write_script

CHARACTERS = """《夜航》

人物表
林晚：急诊科医生，三十岁。
沈砚（男，34岁）：律师，她的前夫。
  不肯认错。
- 周叔 门房

1. 小满：林晚的女儿。

"""
PLOT = "梗概：" + "雨夜里两个人在医院走廊里重逢。" * 40 + "\n\n"
SCENES = (
    "第1集\n1-1 日 内 医院走廊\n△雨点敲着玻璃。\n林晚：你来了。\n沈砚：嗯。\n",
    "1-2 夜 外 天台\n△风。\n小满：妈妈！\n△她跑过去。\n",
    "第2集\n2-1 日 内 律所\n沈砚：证据呢？\n",
)
BODY = "".join(SCENES)


def context_of(script: str, budget_tokens: int = 4000, **more: Any) -> Context:
    """One token is one character."""
    settings = {"mode": "map", **more}
    return Context(parse(script), ChunkingConfig(**settings), PlainCounter(), budget_tokens, FENCE)


def block(context: Context, start: str, end: str | None = None, before: str | None = None) -> str:
    """That of the part which begins and ends with these words."""
    text = context.script.text
    stop = len(text) if end is None else text.index(end)
    return context.block(text.index(start), stop, before)


def fenced(text: str) -> str:
    [inside] = re.findall(rf"<reference-{FENCE}>\n(.*)\n</reference-{FENCE}>$", text, re.S)
    return str(inside)


# What is there


def test_rules_come_first_and_reference_material_stands_between_marks_to_the_very_end() -> None:
    told = block(context_of(CHARACTERS + BODY), "1-2")
    assert told.index("其中的一份") < told.index(f"<reference-{FENCE}>\n")
    assert told.endswith(f"</reference-{FENCE}>")


def test_the_lines_before_the_part_and_the_next_heading_are_there() -> None:
    told = fenced(block(context_of(BODY), "1-2", "第2集"))
    assert "林晚：你来了。\n沈砚：嗯。" in told
    assert told.endswith("第2集")
    assert "△风。" not in told


def test_so_many_lines_as_the_task_says() -> None:
    told = block(context_of(BODY, context=ContextConfig(last_lines=1)), "1-2")
    assert "沈砚：嗯。" in told
    assert "你来了" not in told


def test_none_at_all_if_the_task_says_so() -> None:
    bare = ContextConfig(bible=False, last_lines=0, next_heading=False)
    assert "<reference" not in block(context_of(BODY, context=bare), "1-2", "第2集")


def test_in_sequence_the_answer_before_stands_in_for_the_source() -> None:
    told = fenced(block(context_of(BODY), "1-2", before="林晚：你终于来了。\n"))
    assert "你终于来了" in told
    assert "你来了" not in told


def test_a_part_from_the_middle_of_a_scene_is_told_which() -> None:
    told = fenced(block(context_of(BODY), "小满：妈妈"))
    assert "不要再写它的标题】\n1-2 夜 外 天台" in told


def test_a_short_opening_goes_with_every_part_but_the_first_which_has_it_itself() -> None:
    context = context_of("请把对白改得更短：\n\n" + BODY)
    assert "请把对白改得更短" in fenced(block(context, "1-2"))
    assert "请把对白改得更短" not in context.block(0, 40, None)


def test_of_a_long_opening_the_first_paragraph_goes() -> None:
    told = fenced(block(context_of("请把对白改得更短：\n\n" + PLOT + BODY), "第2集"))
    assert "请把对白改得更短" in told
    assert "雨夜里" not in told


def test_of_a_long_opening_what_it_asks_for_goes_wherever_it_stands() -> None:
    told = fenced(
        block(context_of("《夜航》\n\n" + PLOT + "请润色下面的正文。\n\n" + BODY), "第2集")
    )
    assert "请润色下面的正文。" in told
    assert "雨夜里" not in told


def test_what_is_asked_for_behind_the_script_goes_with_every_part_but_the_last() -> None:
    wish = "请按以上要求润色全文。"
    context = context_of(f"{BODY}\n{wish}\n")
    assert wish in fenced(block(context, "第1集", "1-2"))
    assert wish not in block(context, "第2集")
    assert wish in context.for_join(is_last=True)


def test_what_parts_are_sent_with_begins_alike() -> None:
    """Up to what the part itself decides: providers charge less for it."""
    context = context_of("请把对白改得更短：\n\n" + BODY)
    one, other = block(context, "1-2", "第2集"), block(context, "第2集")
    opening = "请把对白改得更短："
    assert one[: one.index(opening) + len(opening)] == other[: other.index(opening) + len(opening)]


def test_of_a_text_without_headings_too() -> None:
    text = "译成英文：\n\n" + "雨夜里两个人在走廊里重逢。\n" * 50
    context = context_of(text)
    assert "译成英文" in fenced(context.block(300, 500, None))


# The characters of the script's own list


def test_the_list_is_found_and_further_lines_belong_to_the_entry_above() -> None:
    found = characters_in(CHARACTERS)
    assert [c.name for c in found] == ["林晚", "沈砚", "小满"]
    assert found[1].line == "沈砚（男，34岁）：律师，她的前夫。 不肯认错。 - 周叔 门房"


@pytest.mark.parametrize(
    "title",
    ["人物表", "【主要人物】", "## 角色介绍", "**人物小传：**", "Characters:", "CAST", "角色"],
)
def test_whatever_its_title(title: str) -> None:
    assert [c.name for c in characters_in(f"剧名\n\n{title}\nMEI: a nurse\n")] == ["MEI"]


def test_a_script_without_one_has_no_characters() -> None:
    assert characters_in("《夜航》\n林晚：急诊科医生。\n") == []


def test_only_those_in_the_part_are_told() -> None:
    told = fenced(block(context_of(CHARACTERS + PLOT + BODY), "1-2", "第2集"))
    assert "小满：林晚的女儿。" in told
    assert "律师" not in told


def test_a_western_first_name_is_enough() -> None:
    [mei] = characters_in("Cast\nMei Chen - a nurse\n")
    assert mei.is_in("mei: you came.")
    assert not mei.is_in("chen waits.")


@given(st.text(max_size=400))
def test_any_text_can_be_looked_through(front: str) -> None:
    characters_in("人物表\n" + front)


# What a model is asked for


def test_the_rules_ask_for_headings_only_where_the_answer_has_them() -> None:
    assert "场次标题一字不改" in block(context_of(BODY), "1-2")
    assert "标题一字不改" not in block(context_of(BODY, answer="text"), "1-2")
    assert "合成一份" in block(context_of(BODY, mode="reduce"), "1-2")


def test_an_english_script_is_spoken_of_in_english() -> None:
    english = "INT. HOSPITAL - NIGHT\n\nRain.\n\nMEI\nYou came.\n\n" * 3
    context = context_of(english)
    told = context.block(20, 40, None)
    assert "one of them" in told
    assert told.isascii()
    assert context.for_join(is_last=True).isascii()


def test_a_join_has_the_answers_in_order_and_what_the_opening_asks_for() -> None:
    context = context_of("列出所有道具：\n\n" + BODY, mode="reduce")
    assert "列出所有道具" in fenced(context.for_join(is_last=True))
    answers = context.answers(["雨伞", "戒指"])
    assert answers == "【第 1 份的回答】\n雨伞\n\n【第 2 份的回答】\n戒指"


# How much


@given(
    st.sampled_from(STYLES),
    st.sampled_from([50, 200, 800, 4000]),
    st.integers(0, 3000),
    st.integers(1, 2000),
    st.one_of(st.none(), st.text(max_size=2000)),
)
def test_no_context_has_more_than_was_reckoned_with(
    style: str, budget_tokens: int, start: int, length: int, before: str | None
) -> None:
    context = context_of(CHARACTERS + _SCRIPTS[style], budget_tokens)
    start = min(start, len(context.script.text) - 1)
    end = min(start + length, len(context.script.text))
    told = context.block(start, end, before)
    assert len(told) <= context.most_tokens


_SCRIPTS = {style: write_script(style) for style in STYLES}


def test_the_nearest_lines_win_where_the_allowance_is_small() -> None:
    lines = "".join(f"林晚：这是第{n}句话。\n" for n in range(9))
    context = context_of(f"第1集\n1-1 日 内 医院\n{lines}1-2 夜 外 天台\n△风。\n", 200)
    told = fenced(block(context, "1-2"))
    assert "第8句" in told
    assert "第0句" not in told


def test_of_a_line_that_is_too_long_the_end_is_told() -> None:
    line = "△" + "雨" * 500 + "停了。\n"
    told = fenced(block(context_of(f"第1集\n1-1 日 内 医院\n{line}1-2 夜 外\n△风。\n", 400), "1-2"))
    assert "雨停了。" in told
    assert len(told) < 100


def test_a_script_without_spans_has_no_context_but_the_rules() -> None:
    context = Context(Script("", ()), ChunkingConfig(mode="map"), PlainCounter(), 4000, FENCE)
    assert "<reference" not in context.block(0, 0, None)
