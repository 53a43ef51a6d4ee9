"""Sections that are lost, doubled, swapped, merged, cut or renumbered: none is silent."""

import pytest

from gateway.chunking.verify import FaultKind

from .answers_to_parts import Asked, mended, missing, open_faults

SCRIPT = """《雨夜来客》
人物：
李明：男，三十二岁，便利店店员，左手有一道旧疤。
王芳：女，28岁，失踪三年的记者，回来找一支录音笔。

第1集
1-1 日 内 便利店
人物：李明、王芳
△ 自动门开了，王芳浑身湿透地走进来，把伞靠在冰柜旁边。
李明：（头也不抬）欢迎光临。
王芳：我找一支录音笔，三年前放在你这里的。

1-2 夜 外 天台
△ 城市的灯一盏一盏灭下去，只剩对面写字楼的招牌还亮着。
王芳：你以为我是为了钱才回来的吗？
李明：那三百万，你到底还给谁了？

1-3 夜 内 停车场
△ 脚步声从柱子后面传来，两个人同时屏住呼吸，谁也不敢先动。
王芳：车牌是假的，人也是假的。

第2集
2-1 日 内 医院走廊
△ 护士推着空床经过，轮子在瓷砖上发出刺耳的声响。
李明：医生，她还能醒过来吗？
医生：这要看她自己想不想醒。
"""
FRONT, EPISODE_1, SHOP, ROOF, GARAGE, EPISODE_2, HOSPITAL = range(7)


@pytest.fixture
def whole() -> Asked:
    return Asked(SCRIPT)


def test_the_script_has_the_sections_that_the_tests_name(whole):
    assert [section.name for section in whole.sections] == [
        "",
        "1",
        "1-1",
        "1-2",
        "1-3",
        "2",
        "2-1",
    ]


@pytest.mark.parametrize("lost", [SHOP, ROOF, GARAGE, HOSPITAL])
def test_a_lost_section_is_missing_and_the_others_stand(whole, lost):
    texts = whole.texts()
    checked = whole.check("".join(texts[:lost] + texts[lost + 1 :]))
    assert missing(checked) == [lost]
    assert open_faults(checked) == [(FaultKind.MISSING, lost)]


def test_a_lost_heading_with_nothing_under_it_is_put_back(whole):
    texts = whole.texts()
    checked = whole.check("".join(texts[:EPISODE_2] + texts[HOSPITAL:]))
    assert "".join(checked.texts) == SCRIPT
    assert mended(checked) == [FaultKind.MISSING]
    assert open_faults(checked) == []


def test_a_section_that_comes_twice_the_same_is_taken_once(whole):
    texts = whole.texts()
    checked = whole.check("".join([*texts[: ROOF + 1], *texts[ROOF:]]))
    assert "".join(checked.texts) == SCRIPT
    assert mended(checked) == [FaultKind.DOUBLED]


def test_a_whole_answer_that_comes_twice_is_taken_once(whole):
    checked = whole.check(SCRIPT + "".join(whole.texts()[1:]))
    assert "".join(checked.texts) == SCRIPT
    assert open_faults(checked) == []


def test_a_section_that_comes_twice_and_differs_is_asked_again(whole):
    texts = whole.texts()
    other = texts[ROOF].replace("王芳：你以为我是为了钱", "王芳：难道我是为了钱")
    checked = whole.check("".join([*texts[: ROOF + 1], other, *texts[GARAGE:]]))
    assert missing(checked) == [ROOF]
    assert open_faults(checked) == [(FaultKind.DOUBLED, ROOF)]


def test_a_text_that_comes_twice_under_one_heading_is_asked_again(whole):
    texts = whole.texts()
    body = texts[ROOF].split("\n", 1)[1]
    polished = body.replace("一盏一盏灭下去", "一盏接一盏地熄灭").replace("到底还给", "究竟给")
    for more in (body, polished):
        answer = [*texts[:ROOF], texts[ROOF], "润色后：\n", more, *texts[GARAGE:]]
        checked = whole.check("".join(answer))
        assert (FaultKind.DOUBLED, ROOF) in open_faults(checked)
        assert missing(checked) == [ROOF]


def test_a_heading_that_comes_twice_is_taken_once(whole):
    answer = SCRIPT.replace("1-2 夜 外 天台", "1-2 夜 外 天台\n\n**1-2 夜 外 天台**")
    assert "".join(whole.check(answer).texts) == SCRIPT


def test_swapped_sections_are_put_in_order(whole):
    texts = whole.texts()
    answer = [*texts[:SHOP], texts[ROOF], texts[SHOP], *texts[GARAGE:]]
    checked = whole.check("".join(answer))
    assert "".join(checked.texts) == SCRIPT
    assert mended(checked) == [FaultKind.SWAPPED]
    assert open_faults(checked) == []


def test_reversed_sections_are_put_in_order(whole):
    texts = whole.texts()
    checked = whole.check(texts[0] + "".join(reversed(texts[1:])))
    assert "".join(checked.texts) == SCRIPT
    assert open_faults(checked) == []


def test_merged_sections_are_both_asked_again(whole):
    checked = whole.check(SCRIPT.replace("1-3 夜 内 停车场\n", ""))
    assert missing(checked) == [ROOF, GARAGE]
    assert set(open_faults(checked)) == {(FaultKind.MERGED, ROOF), (FaultKind.MISSING, GARAGE)}


def test_a_merged_section_that_was_rewritten_is_noticed_by_its_growth(whole):
    answer = SCRIPT.replace("1-3 夜 内 停车场\n", "").replace(
        SCRIPT[SCRIPT.index("△ 脚步声") : SCRIPT.index("\n\n第2集")],
        "△ 柱后忽然响起脚步声，二人都停住了呼吸，谁也没敢先动。\n王芳：假车牌，假人。",
    )
    assert missing(whole.check(answer)) == [ROOF, GARAGE]


def test_an_answer_that_was_cut_keeps_what_stands_before_the_cut(whole):
    cut = SCRIPT.index("王芳：你以为") + 6
    checked = whole.check(SCRIPT[:cut], "length")
    lost = [ROOF, GARAGE, EPISODE_2, HOSPITAL]
    assert missing(checked) == lost
    assert "".join(checked.texts[:ROOF]) == SCRIPT[: SCRIPT.index("1-2 夜")]
    assert open_faults(checked) == [(FaultKind.LENGTH, index) for index in lost]


def test_an_answer_that_was_cut_within_a_heading_loses_the_section_before(whole):
    checked = whole.check(SCRIPT[: SCRIPT.index("1-3 夜") + 2], "length")
    assert missing(checked) == [ROOF, GARAGE, EPISODE_2, HOSPITAL]


def test_half_a_line_is_no_heading_even_if_it_looks_like_one():
    text = NAMESAKES.replace("△ 水烧开了", "场景二十一片漆黑，没有人去开灯。\n△ 水烧开了")
    asked = Asked(text)
    for end in ("场景二十一片", "一片漆黑"):
        checked = asked.check(text[: text.index(end) + 3], "length")
        assert missing(checked) == [2, 3, 4, 5]


def test_the_last_section_of_an_answer_that_was_cut_is_never_trusted(whole):
    checked = whole.check(SCRIPT, "length")
    assert missing(checked) == [HOSPITAL]
    assert open_faults(checked) == [(FaultKind.LENGTH, HOSPITAL)]


def test_a_content_filter_cuts_as_a_cap_does(whole):
    checked = whole.check(SCRIPT[: SCRIPT.index("医生，")], "content_filter")
    assert missing(checked) == [HOSPITAL]
    assert open_faults(checked) == [(FaultKind.FILTERED, HOSPITAL)]


def test_what_was_cut_behind_the_last_section_is_no_loss():
    asked = Asked(SCRIPT, SCRIPT.index("1-1"), SCRIPT.index("1-3"))
    checked = asked.check(SCRIPT[SCRIPT.index("1-1") : SCRIPT.index("车牌")], "length")
    assert "".join(checked.texts) == asked.source
    assert open_faults(checked) == []
    assert FaultKind.LENGTH in mended(checked)


def test_headings_come_from_the_source_however_they_are_written(whole):
    answer = (
        SCRIPT.replace("第1集", "# 第一集")
        .replace("1-1 日 内 便利店", "**1-1 日 内 便利店**")
        .replace("1-2 夜 外 天台", "１－２　夜　外　天台")
        .replace("第2集", "### 第二集：醒来")
    )
    checked = whole.check(answer)
    assert "".join(checked.texts) == SCRIPT
    assert checked.faults == ()


def test_sections_that_were_renumbered_get_their_headings_back():
    asked = Asked(SCRIPT, SCRIPT.index("1-2"), SCRIPT.index("第2集"))
    answer = asked.source.replace("1-2 夜", "3-1 夜").replace("1-3 夜", "3-2 夜")
    checked = asked.check(answer.replace("只剩", "仅剩"))
    assert "".join(checked.texts) == asked.source.replace("只剩", "仅剩")
    assert set(mended(checked)) == {FaultKind.RENUMBERED}


def test_numbers_that_are_one_too_low_do_not_move_texts_under_other_headings():
    asked = Asked(SCRIPT, SCRIPT.index("1-2"), SCRIPT.index("第2集"))
    answer = asked.source.replace("1-2 夜 外", "1-1 夜 外").replace("1-3 夜 内", "1-2 夜 内")
    checked = asked.check(answer.replace("只剩", "仅剩"))
    assert "".join(checked.texts) == asked.source.replace("只剩", "仅剩")


def test_a_text_under_the_heading_of_another_section_is_asked_again(whole):
    texts = whole.texts()
    shop, garage = texts[SHOP].split("\n", 1), texts[GARAGE].split("\n", 1)
    answer = [*texts[:SHOP], f"{shop[0]}\n{texts[ROOF].split(chr(10), 1)[1]}", *texts[ROOF:]]
    answer[ROOF] = texts[ROOF].split("\n", 1)[0] + "\n" + garage[1]
    checked = whole.check("".join(answer))
    assert {SHOP, ROOF} <= set(missing(checked))
    assert (FaultKind.MISPLACED, SHOP) in open_faults(checked)


def test_a_section_of_the_models_own_casts_doubt_on_the_one_before(whole):
    answer = SCRIPT.replace("王芳：车牌", "1-4 夜 外 街口\n王芳：车牌")
    checked = whole.check(answer)
    assert missing(checked) == [GARAGE]
    assert (FaultKind.EXTRA, GARAGE) in open_faults(checked)


NAMESAKES = """第1集
场景1：客厅
△ 窗帘拉着，电视里放着昨夜的新闻，茶已经凉了。
场景2：厨房
△ 水烧开了，没有人去关火，蒸汽爬满了玻璃窗。
第2集
场景1：码头
△ 货轮拉响汽笛，工人们扛着麻袋从跳板上走下来。
场景2：仓库
△ 手电的光扫过成排的木箱，封条上的日期全被涂掉。
"""


@pytest.mark.parametrize("lost", [1, 2, 4, 5])
def test_a_lost_section_is_not_taken_for_its_namesake_in_another_episode(lost):
    asked = Asked(NAMESAKES)
    texts = asked.texts()
    checked = asked.check("".join(texts[:lost] + texts[lost + 1 :]))
    assert missing(checked) == [lost]
    kept = [text for index, text in enumerate(checked.texts) if index != lost]
    assert kept == texts[:lost] + texts[lost + 1 :]


def test_a_text_goes_where_it_belongs_if_its_namesake_is_lost():
    asked = Asked(NAMESAKES)
    texts = asked.texts()
    checked = asked.check("".join([*texts[:2], texts[5]]))
    assert missing(checked) == [2, 3, 4]
    assert checked.texts[5] == texts[5]


def test_swapped_namesakes_are_put_in_order():
    asked = Asked(NAMESAKES)
    texts = asked.texts()
    checked = asked.check("".join([texts[0], texts[2], texts[1], *texts[3:]]))
    assert "".join(checked.texts) == NAMESAKES


def test_the_scene_that_comes_next_is_cut_off():
    end = SCRIPT.index("1-2")
    asked = Asked(SCRIPT, 0, end)
    for further in ("1-2 夜 外 天台", SCRIPT[end : SCRIPT.index("第2集")], SCRIPT[end:]):
        checked = asked.check(SCRIPT[:end] + further)
        assert "".join(checked.texts) == asked.source
        assert mended(checked) == [FaultKind.EXTRA]
        assert open_faults(checked) == []


def test_the_scene_before_is_cut_off():
    start = SCRIPT.index("1-2")
    asked = Asked(SCRIPT, start, SCRIPT.index("第2集"))
    checked = asked.check(SCRIPT[SCRIPT.index("1-1") : asked.end])
    assert "".join(checked.texts) == asked.source
    assert open_faults(checked) == []


def test_text_in_front_of_the_first_heading_is_left_out():
    asked = Asked(SCRIPT, SCRIPT.index("1-2"), SCRIPT.index("第2集"))
    checked = asked.check("《雨夜来客》第一稿\n\n" + asked.source)
    assert "".join(checked.texts) == asked.source
    assert mended(checked) == [FaultKind.PREAMBLE]


CONTINUED = SCRIPT.index("王芳：我找")


def test_text_in_front_of_the_first_heading_belongs_to_the_scene_that_goes_on():
    asked = Asked(SCRIPT, CONTINUED, SCRIPT.index("1-3"))
    answer = asked.source.replace("我找一支录音笔", "我来取那支录音笔")
    checked = asked.check(answer)
    assert checked.texts[0] == "王芳：我来取那支录音笔，三年前放在你这里的。\n\n"
    assert "".join(checked.texts) == answer
    assert checked.faults == ()


def test_a_scene_that_goes_on_may_come_with_its_heading():
    asked = Asked(SCRIPT, CONTINUED, SCRIPT.index("1-3"))
    for front in ("1-1 日 内 便利店\n", "好的：\n\n**1-1 日 内 便利店**\n\n"):
        checked = asked.check(front + asked.source)
        assert "".join(checked.texts) == asked.source
        assert open_faults(checked) == []


def test_lines_before_the_part_that_come_again_are_taken_off():
    asked = Asked(SCRIPT, CONTINUED, SCRIPT.index("1-3"))
    before = SCRIPT[SCRIPT.index("△ 自动门") : CONTINUED]
    checked = asked.check(before + asked.source, context=f"<x>\n{before}</x>")
    assert "".join(checked.texts) == asked.source
    assert mended(checked) == [FaultKind.LEAKED]


def test_a_scene_that_goes_on_and_did_not_come_is_missing():
    asked = Asked(SCRIPT, CONTINUED, SCRIPT.index("1-3"))
    checked = asked.check(SCRIPT[SCRIPT.index("1-2") : asked.end])
    assert missing(checked) == [0]
    assert open_faults(checked) == [(FaultKind.MISSING, 0)]


def test_line_ends_and_the_mark_in_front_come_from_the_source():
    text = "\ufeff" + SCRIPT.replace("\n", "\r\n")
    asked = Asked(text)
    answer = SCRIPT.replace("一盏一盏", "一片一片").rstrip()
    checked = asked.check(answer)
    assert "".join(checked.texts) == text.replace("一盏一盏", "一片一片")


def test_rules_between_sections_are_left_out(whole):
    texts = whole.texts()
    answer = "\n---\n\n".join(texts).replace("一盏一盏", "一片一片")
    assert "".join(whole.check(answer).texts) == SCRIPT.replace("一盏一盏", "一片一片")


def test_a_first_scene_whose_heading_is_gone_is_what_stands_below_its_episodes(whole):
    polished = SCRIPT.replace("浑身湿透地", "湿淋淋地")
    checked = whole.check(polished.replace("1-1 日 内 便利店\n", ""))
    assert "".join(checked.texts) == polished
    assert open_faults(checked) == []
    assert {FaultKind.MISSING, FaultKind.RENUMBERED} == set(mended(checked))


def test_but_not_if_it_has_another_scenes_text(whole):
    lines = SCRIPT.splitlines(keepends=True)
    start = lines.index("1-1 日 内 便利店\n")
    end = lines.index("1-2 夜 外 天台\n")
    checked = whole.check("".join(lines[:start] + lines[end + 1 :]))
    assert SHOP in missing(checked)


def test_words_that_stand_for_scenes_are_not_taken_for_text(whole):
    end = SCRIPT.index("1-3")
    checked = whole.check(SCRIPT[:end] + "后面的场景与原文一致，未作修改。\n")
    assert ROOF in missing(checked)
    assert FaultKind.OMITTED in {kind for kind, _ in open_faults(checked)}
