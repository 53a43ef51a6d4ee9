"""Front matter is kept, an instruction in front of a script is not part of the answer."""

import pytest

from gateway.chunking.checking.front import asks_for_translation, without_instructions
from gateway.chunking.verify import FaultKind

from .answers_to_parts import Asked, mended, missing, open_faults

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
