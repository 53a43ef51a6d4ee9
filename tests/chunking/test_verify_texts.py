"""The text of a section: lost, swollen, looping, foreign, refused, leaked, with other numbers."""

import pytest

from gateway.chunking.verify import FaultKind

from .answers_to_parts import FENCE, Asked, missing, open_faults

OPENING = "第1集\n1-1 日 内 便利店\n"
SHOP = """△ 自动门开了，王芳浑身湿透地走进来，把伞靠在冰柜旁边，水顺着伞尖流了一地。
李明：（头也不抬）欢迎光临，热饮第二件半价，只有今天。
王芳：我找一支录音笔，三年前的一个雨夜，我把它放在你这里，你还记得吗？
△ 李明的手停在收银机上，屏幕的光映着他的脸，很久没有人说话。
李明：你认错人了，这里三年前还是一家花店，老板姓周，早就搬走了。
"""
ROOF = """1-2 夜 外 天台
△ 城市的灯一盏一盏灭下去，只剩对面写字楼的招牌还亮着。
王芳：那三百万，你到底还给谁了？
李明：12月3日，我全都还清了。
"""
SCRIPT = OPENING + SHOP + ROOF
SCENE = 1
CONTEXT = f"""不要输出下面的内容。
<reference-{FENCE}>
【人物】
周老板：六十五岁，花店的老主人，说话总是慢半拍，记性却比谁都好。
</reference-{FENCE}>"""


@pytest.fixture
def whole() -> Asked:
    return Asked(SCRIPT)


def with_shop(text: str) -> str:
    return OPENING + text + ROOF


OMISSIONS = [
    "（此处省略部分对白）",
    "（以下内容保持不变）",
    "【……】",
    "[...]",
    "(rest of the scene unchanged)",
    "(Remaining dialogue unchanged)",
    "其余内容保持不变",
    "（未完待续）",
    "……（未完待续）",
    "由于篇幅限制，后面的内容请见下一条",
    "如果需要后文，请回复“继续”",
    "The rest of the scene remains unchanged.",
    "To be continued",
]


@pytest.mark.parametrize("words", OMISSIONS)
def test_words_that_stand_for_text_are_no_text(whole, words):
    lines = SHOP.splitlines()
    checked = whole.check(with_shop("\n".join([*lines[:3], words, ""])))
    assert missing(checked) == [SCENE]
    assert (FaultKind.OMITTED, SCENE) in open_faults(checked)


@pytest.mark.parametrize("words", OMISSIONS)
def test_such_words_are_text_if_the_source_has_them(words):
    text = with_shop(SHOP + words + "\n")
    checked = Asked(text).check(text.replace("浑身湿透", "湿淋淋"))
    assert "".join(checked.texts) == text.replace("浑身湿透", "湿淋淋")


@pytest.mark.parametrize(
    "line",
    [
        "李明：其他的话我就不说了。",
        "△ 他脸色不变（强装镇定）。",
        "李明：（略带醉意）好。",
        "王芳：对不起，我不能原谅你。",
        "王芳：作为一个母亲，我无法接受。",
        "李明：……",
        "【字幕：三年后】",
        "王芳：我拒绝。",
    ],
)
def test_what_characters_say_is_no_omission_and_no_refusal(whole, line):
    checked = whole.check(with_shop(SHOP + line + "\n"))
    assert missing(checked) == []


def test_half_a_scene_is_a_scene_that_was_cut(whole):
    checked = whole.check(with_shop(SHOP.split("\n")[1] + "\n"))
    assert open_faults(checked) == [(FaultKind.SHORT, SCENE)]
    assert missing(checked) == [SCENE]


def test_a_scene_of_three_times_its_length_is_another_one(whole):
    added = "".join(
        f"△ 雨声里又响起第{n}种脚步，谁也分不清它从哪一扇门外传来。\n"
        for n in "甲乙丙丁戊己庚辛壬癸子丑"
    )
    checked = whole.check(with_shop(SHOP + added))
    assert open_faults(checked) == [(FaultKind.LONG, SCENE)]


def test_a_short_scene_may_lose_a_line():
    text = "第1集\n1-1 日 内 便利店\n△ 门开了。\n李明：谁？\n王芳：我，把灯打开吧。\n"
    checked = Asked(text).check(text.replace("李明：谁？\n王芳：我，把灯打开吧。", "王芳：开灯。"))
    assert checked.faults == ()


def test_many_short_scenes_may_not_all_lose_theirs():
    line = "△ 门开了，又轻轻关上，走廊里只剩下脚步声，一下一下数着夜。\n"
    text = "".join(
        f"1-{n} 日 内 走廊{n}号门\n{line}李明：{n}号门也没有人。\n" for n in range(1, 21)
    )
    answer = "".join(f"1-{n} 日 内 走廊{n}号门\n李明：{n}号没人。\n" for n in range(1, 21))
    checked = Asked(text).check(answer)
    assert len(missing(checked)) == 20
    assert {kind for kind, _ in open_faults(checked)} == {FaultKind.SHORT}


def test_an_empty_scene_is_named(whole):
    checked = whole.check(OPENING + ROOF)
    assert open_faults(checked) == [(FaultKind.EMPTY, SCENE)]


@pytest.mark.parametrize("answer", ["", " \n\n", "```\n```", "<think>让我想想</think>"])
def test_an_empty_answer_is_named(whole, answer):
    checked = whole.check(answer)
    assert checked.texts == (None, None, None)
    assert open_faults(checked) == [(FaultKind.EMPTY, None)]


def test_thinking_that_never_ended_is_no_answer(whole):
    checked = whole.check("<think>\n" + SCRIPT)
    assert checked.texts == (None, None, None)
    assert open_faults(checked) == [(FaultKind.THINKING, None)]


@pytest.mark.parametrize(
    "refusal",
    [
        "对不起，我无法协助完成这个请求。",
        "抱歉，我不能为您润色这段内容，因为它包含暴力情节。",
        "作为一个AI语言模型，我无法处理该内容。",
        "你好，这个问题我暂时无法回答，让我们换个话题再聊聊吧。",
        "该内容可能违反相关法规和政策，无法继续。",
        "I'm sorry, but I can't assist with that request.",
        "I cannot help with this script.",
        "I’m sorry, I can’t continue with this.",
    ],
)
def test_a_refusal_is_no_answer(whole, refusal):
    checked = whole.check(refusal)
    assert checked.texts == (None, None, None)
    assert open_faults(checked) == [(FaultKind.REFUSED, None)]


def test_a_refusal_is_no_answer_to_the_middle_of_a_scene_either():
    asked = Asked(SCRIPT, SCRIPT.index("李明：你认错人"), SCRIPT.index("1-2"))
    checked = asked.check("对不起，我无法协助完成这个请求。")
    assert checked.texts == (None,)
    assert open_faults(checked) == [(FaultKind.REFUSED, None)]


def test_a_refusal_in_the_midst_is_named(whole):
    answer = with_shop(SHOP + "抱歉，后续内容我无法继续生成。\n")
    assert (FaultKind.REFUSED, SCENE) in open_faults(whole.check(answer))


def test_another_language_is_named(whole):
    english = (
        "The automatic door opens. Fang walks in, soaked, and leans her umbrella on the fridge.\n"
    )
    checked = whole.check(with_shop(english * 2))
    assert missing(checked) == [SCENE]
    assert (FaultKind.LANGUAGE, SCENE) in open_faults(checked)


def test_a_translation_that_was_asked_for_is_taken():
    text = "请把下面的剧本翻译成英文：\n\n" + SCRIPT
    english = (
        "The automatic door opens. Fang walks in, soaked, and leans her umbrella on the fridge.\n"
    )
    roof = "1-2 夜 外 天台\nThe lights go out one by one until only the office sign still glows.\n"
    checked = Asked(text).check(OPENING + english * 2 + roof)
    assert missing(checked) == []
    assert open_faults(checked) == []


def test_an_english_scene_that_comes_back_in_chinese_is_named():
    heading = "INT. SHOP - DAY\n\n"
    english = "The automatic door opens. Fang walks in, soaked.\n\nFANG\nI need it back.\n"
    chinese = "自动门开了，芳浑身湿透地走进来，伞尖还在滴水。\n\n芳\n把录音笔还给我。\n"
    checked = Asked(heading + english).check(heading + chinese)
    assert open_faults(checked) == [(FaultKind.LANGUAGE, 0)]


def test_a_loop_is_named(whole):
    checked = whole.check(with_shop(SHOP + "李明：我真的没有拿那支录音笔。\n" * 7))
    assert (FaultKind.LOOPED, SCENE) in open_faults(checked)


def test_a_refrain_of_the_source_is_no_loop():
    text = with_shop(SHOP + "众人：把录音笔交出来！\n" * 9)
    checked = Asked(text).check(text.replace("浑身湿透", "湿淋淋"))
    assert checked.faults == ()


def test_an_echo_of_the_whole_prompt_is_not_merged(whole):
    checked = whole.check(CONTEXT + "\n" + SCRIPT, context=CONTEXT)
    assert checked.texts == (None, None, None)
    assert open_faults(checked) == [(FaultKind.LEAKED, None)]


def test_context_within_a_scene_is_named(whole):
    leaked = "周老板：六十五岁，花店的老主人，说话总是慢半拍，记性却比谁都好。\n"
    checked = whole.check(with_shop(leaked + SHOP), context=CONTEXT)
    assert missing(checked) == [SCENE]
    assert open_faults(checked) == [(FaultKind.LEAKED, SCENE)]


@pytest.mark.parametrize("tag", ["```", "```json", "</think>", "<think>"])
def test_a_stray_mark_within_a_scene_is_named(whole, tag):
    checked = whole.check(with_shop(SHOP.replace("李明：你认错", f"{tag}\n李明：你认错")))
    assert SCENE in missing(checked) or open_faults(checked)


def test_changed_numbers_are_named_and_the_text_is_there(whole):
    answer = SCRIPT.replace("三百万", "200万").replace("12月", "十二月")
    checked = whole.check(answer)
    assert missing(checked) == []
    assert "".join(checked.texts) == answer
    (fault,) = checked.faults
    assert (fault.kind, fault.section, fault.is_mended) == (FaultKind.NUMBERS, 2, False)
    assert fault.detail == "numbers changed: 三百万 → 200万"


def test_an_answer_that_is_no_script_is_taken_as_it_is(whole):
    for answer in ("梗概：她回来了。", "```json\n{}\n```", "好的，以下是大纲：\n1. 开场"):
        assert whole.check(answer, keeps_scenes=False) == ((answer,), ())


def test_an_answer_that_is_no_script_has_no_thinking(whole):
    checked = whole.check("<think>\n先想想。\n</think>\n\n梗概：她回来了。", keeps_scenes=False)
    assert checked.texts == ("\n\n梗概：她回来了。",)
    assert open_faults(checked) == []


@pytest.mark.parametrize(
    ("answer", "reason", "kind"),
    [
        ("", "stop", FaultKind.EMPTY),
        ("梗概：她回来", "length", FaultKind.LENGTH),
        ("<think>先想", "stop", FaultKind.THINKING),
        ("抱歉，我无法提供该内容。", "stop", FaultKind.REFUSED),
        (f"<reference-{FENCE}>", "stop", FaultKind.LEAKED),
    ],
)
def test_an_answer_that_is_no_script_has_to_be_one(whole, answer, reason, kind):
    checked = whole.check(answer, reason, keeps_scenes=False)
    assert set(checked.texts) == {None}
    assert {fault.kind for fault in checked.faults} == {kind}
