"""Which lines are headings, and which only look like some."""

import pytest

from gateway.chunking.parsing.forms import unwrap
from gateway.chunking.parsing.headings import read_heading
from gateway.chunking.parsing.numerals import number_of
from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind

from .script_words import hanzi

EPISODES = [
    ("第3集", "3"),
    ("第３集", "3"),
    ("第003集", "3"),
    ("第三集", "3"),
    ("第 3 集", "3"),
    ("　　第三集", "3"),
    ("\ufeff第3集", "3"),
    ("\u200b第3集\u200b", "3"),
    ("第十集", "10"),
    ("第十二集", "12"),
    ("第二十集", "20"),
    ("第一百零二集", "102"),
    ("第一〇二集", "102"),
    ("第两百集", "200"),
    ("第3集 重逢", "3"),
    ("第3集：重逢", "3"),
    ("第3集：", "3"),
    ("第3集:你是谁？", "3"),
    ("第3集《雨夜来客》", "3"),
    ("第3集（大结局）", "3"),
    ("第3集 · 她回来了", "3"),
    ("第3集——真相", "3"),
    ("**第3集**", "3"),
    ("**第3集 重逢**", "3"),
    ("**第3集** 重逢", "3"),
    ("# 第3集", "3"),
    ("### 第三集：重逢", "3"),
    ("# **第3集**", "3"),
    ("【第3集】", "3"),
    ("【第三集】重逢", "3"),
    ("《第3集》", "3"),
    ("——第3集——", "3"),
    ("===== 第3集 =====", "3"),
    ("◆第3集", "3"),
    ("第一季第3集", "3"),
    ("第3话", "3"),
    ("第三章 归来", "3"),
    ("第二幕", "2"),
    ("第三話", "3"),
    ("EPISODE 3", "3"),
    ("Episode 3", "3"),
    ("EPISODE THREE", "3"),
    ("EP03", "3"),
    ("Ep. 3: The Lift", "3"),
    ("EPISODE 3 - THE LIFT", "3"),
    ("# Episode 3: The Lift", "3"),
    ("ACT TWO", "2"),
    ("EP3 重逢", "3"),
]

SCENES = [
    ("1-1 日 内 地点", "1-1"),
    ("1-1日 内", "1-1"),
    ("1-1日内 医院", "1-1"),
    ("1-1 医院走廊，日", "1-1"),
    ("1-1 医院走廊 夜/内", "1-1"),
    ("1-1、医院走廊 夜 内", "1-1"),
    ("1-1. 医院走廊 夜 内", "1-1"),
    ("1-1：医院走廊 夜 内", "1-1"),
    ("1-1，夜，内，医院走廊", "1-1"),
    ("1-1 内景 医院走廊 夜", "1-1"),
    ("1-1 医院走廊 日（闪回）", "1-1"),
    ("1-1 医院走廊 日 内 闪回", "1-1"),
    ("1-1 夜晚 室内 医院走廊", "1-1"),
    ("1.1 日 内 医院走廊", "1-1"),
    ("Scene 1-1 日 内", "1-1"),
    ("1-1 日 內 醫院走廊", "1-1"),
    ("第二場 醫院走廊 夜 外", "2"),
    ("場景一", "1"),
    ("1-1 医院走廊（夜）", "1-1"),
    ("1-1 傍晚 外 天台", "1-1"),
    ("1-1 INT. LIFT - NIGHT", "1-1"),
    ("01-02 日 内 地点", "1-2"),
    ("１－１ 日 内 地点", "1-1"),
    ("1－1 日 内 地点", "1-1"),
    ("1—1 日 内 地点", "1-1"),
    ("1–1 日 内 地点", "1-1"),
    ("1 - 1 日 内 地点", "1-1"),
    ("1-1A 日 内 地点", "1-1A"),
    ("12-30 天台 日 外", "12-30"),
    ("**1-1 日 内 地点**", "1-1"),
    ("**1-1** 日 内 地点", "1-1"),
    ("**1-1**", "1-1"),
    ("## 1-1 医院走廊", "1-1"),
    ("【1-1 日 内 地点】", "1-1"),
    ("【1-1】日 内 地点", "1-1"),
    ("场1-1 日 内", "1-1"),
    ("场次：1-1 日 内", "1-1"),
    ("第1-1场 医院 日 内", "1-1"),
    ("第3集 第2场", "3-2"),
    ("第三集第二场 医院 日 内", "3-2"),
    ("3-15 日 内 商场", "3-15"),
    ("场景1", "1"),
    ("场景一", "1"),
    ("场景 12", "12"),
    ("场景1：医院走廊", "1"),
    ("场景一：医院走廊 日 内", "1"),
    ("**场景一**：医院走廊", "1"),
    ("【场景一】医院走廊 日 内", "1"),
    ("场景一 医院走廊", "1"),
    ("场次1 医院走廊 日 内", "1"),
    ("第1场", "1"),
    ("第一场", "1"),
    ("第十二场 医院走廊 日 内", "12"),
    ("第1场：医院走廊", "1"),
    ("第1场内景 医院走廊", "1"),
    ("第1场日内 医院走廊", "1"),
    ("※ 天台 - 夜", ""),
    ("※ 天台 — 三年后", ""),
    ("※ 1-1 日 内 天台", "1-1"),
    ("## S01 | 内景 · 医院走廊 | 夜", "S01"),
    ("S01 | 内景 · 医院走廊 | 夜", "S01"),
    ("S1 医院走廊 夜 内", "S01"),
    ("s12｜外景｜日", "S12"),
    ("S102A | 天台 | 夜", "S102A"),
    ("20、卫生间 内 夜", "20"),
    ("20.卫生间 内 夜", "20"),
    ("20．卫生间，夜，内", "20"),
    ("20 卫生间 内 夜", "20"),
    ("12场 客厅 内 夜", "12"),
    ("20. INT. LIFT - NIGHT", "20"),
    ("内景 医院走廊 夜", ""),
    ("外景。天台。日", ""),
    ("内 医院走廊 夜", ""),
    ("SCENE 12", "12"),
    ("Scene 12: The kitchen", "12"),
    ("SCENE 12 - INT. LIFT - NIGHT", "12"),
    ("SCENE 12A", "12A"),
    ("SCENE ONE", "1"),
]

NO_HEADINGS = [
    "我昨天看到第3集",
    "林晚：第3集你看了吗？",
    "“第3集还没播呢。”",
    "△电视里放着第3集。",
    "第3集里他死了，观众都哭了。",
    "第3集的结尾太狠了",
    "第3集：林晚发现合同是假的，决定当众揭穿他。",
    "第3集，他死了，观众都哭了",
    "第3集 完",
    "第3集（完）",
    "【第3集 完】",
    "——第3集终——",
    "第三集团军",
    "第三集团军的旧徽章掉在地上",
    "第三集中营",
    "第一回见面，他就说了谎。",
    "第二天",
    "第3次",
    "第一场雨",
    "第1场雨落下来了",
    "第一场比赛，我们输了",
    "第1场，他们踢平了",
    "第1场结束",
    "第1-3集大纲",
    "第1集-第3集",
    "第1集至第3集 剧本",
    "第3集？你也看？",
    "第一集我就看哭了",
    "第一回合",
    "比分是1-1",
    "1-1，平局了",
    "1-1，晚上，他们又踢了一场",
    "1-1平了",
    "1-1！",
    "3-2赢了，全场沸腾",
    "2024-1-1",
    "2024-1-1 日",
    "24-1-1 日 内",
    "3-15晚会",
    "1-2年内还清",
    "3-5个人冲进来",
    "10-20万",
    "1-1/2 杯水",
    "138-1234-5678",
    "010-12345678",
    "9-5=4",
    "1-2-3，跳！",
    "1、买菜，做饭，接孩子",
    "1、晚上去买菜",
    "1.5 亿",
    "1.1 晚上涨了",
    "20年前",
    "20 年前的那场火",
    "3.14",
    "12:30 夜",
    "场景一片混乱",
    "场景一片混乱，没有人听见她的喊声",
    "场景十分感人",
    "场面失控",
    "※ 本剧纯属虚构",
    "※ 注 - 本剧纯属虚构，请勿模仿。",
    "【字幕：三年后】",
    "【闪回】",
    "【黑屏】",
    "【1】",
    "S级任务",
    "S24 手机摔在地上",
    "内 容",
    "内心独白：我不甘心。",
    "外 婆",
    "外面下着雨。夜很深了，她还在等",
    "Episode 3 was the best so far.",
    "Episode 3, he thought, was a lie.",
    "Scene 12 is cut.",
    "EPISODES",
    "SCENERY",
    "Act 3 begins tomorrow, said the man.",
    "scene 12",
    "S",
    "第",
    "",
    "**",
    "【】",
    "#",
]


@pytest.mark.parametrize(("line", "name"), EPISODES)
def test_an_episode_begins(line, name):
    heading = read_heading(line)
    assert heading is not None
    assert (heading.kind, heading.name, heading.is_certain) == (Kind.EPISODE, name, True)


@pytest.mark.parametrize(("line", "name"), SCENES)
def test_a_scene_begins(line, name):
    heading = read_heading(line)
    assert heading is not None
    assert (heading.kind, heading.name, heading.is_certain) == (Kind.SCENE, name, True)


WORDS = [
    ("序幕", "序幕"),
    ("楔子：雨夜", "楔子"),
    ("# 引子", "引子"),
    ("【尾声】", "尾声"),
    ("**终章 归来**", "终章"),
    ("番外一", "番外一"),
    ("番外 2：海边的约定", "番外2"),
    ("番外篇", "番外篇"),
    ("大结局", "大结局"),
]
NO_WORDS = [
    "序幕拉开了。",
    "序幕才刚刚开始",
    "尾声里他又提起那场雨，没有人接话。",
    "番外：林晚回头一笑，把伞递给他。",
    "大结局是什么？",
    "番外一起看吧",
    "林晚：尾声",
    "引子弹上膛",
]


@pytest.mark.parametrize(("line", "name"), WORDS)
def test_an_episode_may_have_a_word_for_its_number(line, name):
    heading = read_heading(line)
    assert heading is not None
    assert (heading.kind, heading.name, heading.is_certain) == (Kind.EPISODE, name, True)
    assert [s.kind for s in parse(f"第1集\n△雨。\n\n{line}\n△风。\n").sections] == [
        Kind.EPISODE
    ] * 2


@pytest.mark.parametrize("line", NO_WORDS)
def test_a_sentence_with_such_a_word_is_none(line):
    assert len(parse(f"第1集\n△雨。\n\n{line}\n△风。\n").sections) == 1


BARE_SETTINGS = [
    "夜 外 江边",
    "日 内 医院病房",
    "清晨 外 老街口",
    "深夜　内　出租屋",
    "日/内/教室",
    "夜 外景 高架桥下",
]


@pytest.mark.parametrize("line", BARE_SETTINGS)
def test_a_scene_may_have_no_number(line):
    sections = parse(f"序幕\n{line}\n△雨。\n\n{line}二\n△风。\n").sections
    assert [s.kind for s in sections] == [Kind.EPISODE, Kind.SCENE, Kind.SCENE]


@pytest.mark.parametrize("line", BARE_SETTINGS)
def test_but_belongs_to_the_number_that_stands_above_it(line):
    sections = parse(f"第1集\n场景1\n{line}\n人物：林晚\n△雨。\n场景2\n{line}\n△风。\n").sections
    assert [s.name for s in sections] == ["1", "1", "2"]


@pytest.mark.parametrize(
    "line", ["日 内 他没有回来。", "夜 外 谁？", "日内瓦 外 街", "晚上 外面 下雨", "日 内"]
)
def test_a_sentence_about_day_and_night_is_no_scene(line):
    assert len(parse(f"第1集\n△雨。\n{line}\n△风。\n").sections) == 1


@pytest.mark.parametrize("line", NO_HEADINGS)
def test_no_heading(line):
    heading = read_heading(line)
    assert heading is None or not heading.is_certain


@pytest.mark.parametrize("line", NO_HEADINGS)
def test_a_line_that_looks_like_a_heading_is_text_of_its_scene(line):
    text = f"第9集\n9-1 日 内 客厅\n△她坐下。\n{line}\n△她起来。\n9-2 夜 外 街\n△车来了。\n"
    assert [section.name for section in parse(text).sections] == ["9", "9-1", "9-2"]


@pytest.mark.parametrize("number", [*range(1, 121), 200, 202, 220, 999])
def test_numbers_are_the_same_however_written(number):
    full = str(number).translate({ord(d): ord(d) + 0xFEE0 for d in "0123456789"})
    assert number_of(hanzi(number)) == number_of(full) == number_of(f"{number:03}") == number


@pytest.mark.parametrize(
    ("line", "core", "is_marked"),
    [
        ("## **第3集** ##", "第3集", True),
        ("【第3集】重逢", "第3集 重逢", False),
        ("第3集", "第3集", False),
        ("**第3集** 重逢", "第3集 重逢", False),
        ("——第3集——", "第3集", True),
        ("", "", False),
    ],
)
def test_mark_up_is_taken_off(line, core, is_marked):
    assert unwrap(line) == (core, is_marked)
