"""Front matter is kept, an instruction in front of a script is not part of the answer."""

import pytest

from gateway.chunking.checking.front import (
    asks_elsewhere_for_translation,
    asks_for_translation,
    closing_start,
    without_instructions,
)
from gateway.chunking.verify import FaultKind, check

from .answers_to_parts import FENCE, Asked, mended, missing, open_faults

MATTER = (
    "《雨夜来客》\n人物：\n李明：三十二岁，便利店店员，左手有一道旧疤。\n王芳：失踪三年的记者。\n\n"
)
SCENES = """第1集
1-1 日 内 便利店
△ 自动门开了，王芳浑身湿透地走进来，把伞靠在冰柜旁边。
李明：欢迎光临。
"""
INSTRUCTIONS = [
    "请润色下面的剧本：\n\n",
    "帮我把这个剧本的对白改得更口语化一些。\n",
    "你是一位资深编剧。请润色以下剧本，要求：\n1. 不改变剧情\n2. 保留所有场次\n\n剧本如下：\n\n",
    "Please polish the dialogue in the following script:\n\n",
    "Rewrite this script to be funnier.\n\n",
    "润色以下剧本\n\n",
    "以下是剧本内容：\n",
]


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_an_instruction_that_the_answer_leaves_out_is_left_out(instruction):
    asked = Asked(instruction + SCENES)
    checked = asked.check(SCENES.replace("浑身湿透地", "湿淋淋地"))
    assert "".join(checked.texts) == SCENES.replace("浑身湿透地", "湿淋淋地")
    assert checked.faults == ()


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_front_matter_behind_an_instruction_is_kept(instruction):
    asked = Asked(instruction + MATTER + SCENES)
    checked = asked.check(MATTER + SCENES)
    assert "".join(checked.texts) == MATTER + SCENES
    assert checked.faults == ()


@pytest.mark.parametrize("instruction", ["", *INSTRUCTIONS])
def test_front_matter_that_is_missing_is_the_sources(instruction):
    asked = Asked(instruction + MATTER + SCENES)
    checked = asked.check(SCENES)
    assert "".join(checked.texts) == MATTER + SCENES
    assert mended(checked) == [FaultKind.FRONT]
    assert open_faults(checked) == []


def test_front_matter_that_is_missing_in_part_is_the_sources():
    matter = (
        MATTER
        + "梗概："
        + "三年前的一个雨夜，她把录音笔留在便利店，从此再没有人见过她。" * 4
        + "\n\n"
    )
    checked = Asked(matter + SCENES).check("《雨夜来客》\n\n" + SCENES)
    assert "".join(checked.texts) == matter + SCENES
    assert mended(checked) == [FaultKind.FRONT]


def test_front_matter_that_was_polished_is_taken():
    polished = MATTER.replace("左手有一道旧疤", "左手留着一道旧疤")
    checked = Asked("请润色：\n" + MATTER + SCENES).check(polished + SCENES)
    assert "".join(checked.texts) == polished + SCENES
    assert checked.faults == ()


def test_words_to_the_user_do_not_take_the_place_of_an_instruction():
    checked = Asked("请润色下面的剧本：\n\n" + SCENES).check("都在这里了\n\n" + SCENES)
    assert "".join(checked.texts) == SCENES
    assert mended(checked) == [FaultKind.PREAMBLE]


def test_an_instruction_that_is_repeated_is_the_sources():
    text = "请润色下面的剧本：\n\n" + SCENES
    assert "".join(Asked(text).check(text.replace("欢迎", "您好，欢迎")).texts) == text.replace(
        "欢迎", "您好，欢迎"
    )


def test_a_front_that_is_a_part_by_itself_is_asked_again_if_it_is_lost():
    asked = Asked(MATTER * 6 + SCENES, 0, len(MATTER) * 6)
    checked = asked.check("《雨夜来客》")
    assert missing(checked) == [0]
    assert open_faults(checked) == [(FaultKind.SHORT, 0)]


@pytest.mark.parametrize(
    "matter",
    [
        MATTER,
        "《请回答1988》\n",
        "请回答1988\n",
        "剧名：《翻译官》\n类型：都市\n",
        "Title: Rewrite\nAuthor: The Editors\n",
        "一句话梗概：她回来了。\n",
        "人物小传：\n1. 李明\n2. 王芳\n",
        "\ufeff《雨》\n",
        "",
    ],
)
def test_front_matter_is_no_instruction(matter):
    assert without_instructions(matter) == matter


@pytest.mark.parametrize(
    ("instruction", "asks"),
    [
        ("请把下面的剧本翻译成英文：\n", True),
        ("Translate the following script into English:\n", True),
        ("请润色下面的剧本：\n", False),
        ("《翻译官》\n", False),
    ],
)
def test_a_wish_for_another_language_is_heard(instruction, asks):
    assert asks_for_translation(instruction) is asks


CLOSINGS = [
    "\n请按以上要求润色全文，谢谢！\n",
    "请把上面剧本的台词改得更口语化。",
    "\n\n要求：\n1. 台词口语化\n2. 不改剧情\n\n请润色上面的剧本。\n",
    "\n---\n润色以上剧本\n",
    "\nPlease polish the dialogue of the script above.\n",
    "\n请根据上面的剧本写一份大纲，五百字以内。\n",
    "\n总结以上内容。\n",
    "\nSummarise the script above in 300 words.\n",
    "\nNow translate the above scenes, and keep the headings.\n",
]


@pytest.mark.parametrize("closing", CLOSINGS)
def test_an_instruction_behind_the_script_that_the_answer_leaves_out_is_left_out(closing):
    asked = Asked(SCENES + closing)
    polished = SCENES.replace("浑身湿透地", "湿淋淋地")
    checked = asked.check(polished)
    assert "".join(checked.texts).rstrip("-\n") == polished.rstrip()
    assert checked.faults == ()


@pytest.mark.parametrize("closing", CLOSINGS)
def test_an_echo_of_it_is_an_echo(closing):
    asked = Asked(SCENES + closing)
    assert "".join(asked.check(SCENES + closing).texts) == SCENES + closing


PROSE_AT_THE_END = [
    "请把门关上。",
    "李明：请把上面的台词改一改。",
    "△她看完剧本，把台词本放回桌上。",
    "我想对你说，那年的雨一直没有停。",
    "我要把这里的一切都改写。",
    "1. 客厅",
    "Now the scene is empty.",
    "Write me a letter, she says, and closes the door of the empty scene dock.",
    "请写下你的名字。",
    "以上就是全部。",
    "（全剧终）",
]


@pytest.mark.parametrize("line", PROSE_AT_THE_END)
def test_the_end_of_a_story_is_no_instruction(line):
    text = f"{SCENES}\n{line}\n"
    assert closing_start(text) == len(text)


def test_a_translation_that_another_message_asks_for_is_none_that_nobody_asked_for():
    asked = Asked(SCENES)
    english = (
        "第1集\n1-1 日 内 便利店\n△ The door slides open and Wang Fang walks in, soaked.\n"
        "Li Ming: Welcome.\n"
    )
    told = asked.script, asked.sections, english, "stop", FENCE, "", True
    assert check(*told).texts[1] is None
    assert "".join(text or "" for text in check(*told, is_translation=True).texts) == english


WISHES = {
    "请把下面的剧本翻译成英文": True,
    "你是专业翻译，逐句输出。": True,
    "Translate the script into Thai.": True,
    "润色对白，不要翻译人名，不要出现英文。": False,
    "Polish it. Do not translate names.": False,
}


@pytest.mark.parametrize("message", WISHES)
def test_a_message_beside_the_script_asks_for_translation_in_so_many_words(message):
    assert asks_elsewhere_for_translation(message) is WISHES[message]


def test_a_part_that_is_nothing_but_an_instruction_adds_nothing():
    closing = "请按以上要求润色全文。\n"
    asked = Asked(SCENES + closing, len(SCENES), len(SCENES + closing))
    checked = asked.check("好的，请提供需要处理的内容。")
    assert "".join(checked.texts) == ""
    assert open_faults(checked) == []
