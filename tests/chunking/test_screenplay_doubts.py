"""What a line alone does not tell, the whole script decides."""

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind, Section

from .reading import kinds, names, read_lossless


def scenes(*headings, between="△她坐下。\n林晚：走。\n"):
    return "".join(f"{heading}\n{between}" for heading in headings)


def test_bare_numbers_count_if_they_go_on():
    assert names(scenes("1-1", "1-2", "1-3", "2-1")) == ["1-1", "1-2", "1-3", "2-1"]
    assert names(scenes("1-1 客厅", "1-2 街", "2-1 车里")) == ["1-1", "1-2", "2-1"]


def test_scores_do_not_go_on():
    assert names(scenes("1-1", "3-0", "0-2", "1-1")) == []
    assert names(scenes("1-1 日 内", "1-1", "5-0", "1-2 夜 外")) == ["1-1", "1-2"]


def test_one_heading_of_many_may_lack_its_setting():
    assert names(scenes("1-1 日 内", "1-2 街", "1-3 夜 外")) == ["1-1", "1-2", "1-3"]
    assert names(scenes("1-1", "1-2 夜 外", "1-3 夜 外")) == ["1-1", "1-2", "1-3"]


def test_items_count_if_nothing_else_does():
    items = ("1、客厅", "2、卫生间", "3、天台", "4、街")
    assert names(scenes(*items)) == ["1", "2", "3", "4"]
    assert names(scenes("第1集", *items[:2], "第2集", *items[:2])) == ["1", "1", "2", "2", "1", "2"]
    assert names(scenes("第1场", *items)) == ["1"]
    assert names("".join(f"{n}、买菜\n" for n in range(1, 9))) == []


def test_items_with_a_setting_are_not_joined_by_lists():
    text = scenes(
        "1、客厅 内 日", "1、买菜", "2、做饭", "2、卫生间 内 夜", "3、天台", "4、街 外 夜"
    )
    assert names(text) == ["1", "2", "3", "4"]


def test_titles_right_behind_the_number_count_if_they_go_on():
    assert names(scenes("第1集逃出生天", "第2集狭路相逢", "第3集水落石出")) == ["1", "2", "3"]
    assert names(scenes("第1集", "第3集逃出生天", "第2集", "第3集")) == ["1", "2", "3"]


def test_a_place_below_a_heading_belongs_to_it():
    assert names(scenes("1-1 日 内\n场景：客厅", "1-2 夜 外\n时间：夜\n场景：街")) == ["1-1", "1-2"]
    assert names(scenes("1-1\n场景：客厅", "1-2\n场景：街", "1-3\n场景：车")) == [
        "1-1",
        "1-2",
        "1-3",
    ]
    assert names(scenes("第1集\n场景：客厅", "场景：街", "【场景：车里】")) == ["1", "", "", ""]


def test_a_list_of_episodes_in_front_is_front_matter():
    listed = "目录\n第1集 重逢\n第2集 真相\n第3集 说谎\n\n"
    text = listed + scenes("第1集 重逢", "第2集 真相", "第3集 说谎")
    script = read_lossless(text)
    assert [s.name for s in script.sections] == ["", "1", "2", "3"]
    assert script.sections[0].kind is Kind.FRONT
    assert script.sections[0].end == len(listed)
    first_part = text[: script.sections[2].start]
    assert parse(first_part, script.conventions).sections == script.sections[:2]


def test_an_outline_in_sentences_is_front_matter():
    text = "第1集：林晚回来了，没人认得她。\n第2集：真相大白。\n" + scenes("第1集", "第2集")
    assert names(text) == ["1", "2"]


def test_text_without_headings_is_one_front():
    text = "她说：走。\n△他走了。\n"
    assert parse(text).sections == (Section(0, 0, len(text), Kind.FRONT, ""),)
    assert kinds(text) == [(Kind.DIALOGUE, "她说"), (Kind.ACTION, "")]
