"""A text that stops before its source does, with a finish reason that says it was whole."""

import pytest

from gateway.chunking.checking.endings import cut_short
from gateway.chunking.verify import FaultKind

from .answers_to_parts import Asked, missing, open_faults

HEAD = "1-1 夜 内 傅氏顶楼\n"
LINES = (
    "△落地窗外的城市灯火通明，傅司寒背对着门站着。",
    "林晚：合同我已经签好了，放在你桌上。",
    "傅司寒：你就这么想离开傅家？",
    "林晚（别过头）：三年了，我从来不是这里的人。",
    "△傅司寒的手指收紧，酒杯出现一道裂痕。",
    "傅司寒：林晚，你欠我一个解释。",
)
SCENE = HEAD + "\n".join(LINES) + "\n"
POLISHED = SCENE.replace("我已经", "我早已").replace("你就这么想", "你当真这么想")


@pytest.mark.parametrize("lost", [4, 12, 30, 60])
def test_a_scene_that_ends_in_the_middle_of_a_sentence_is_asked_for_again(lost: int) -> None:
    checked = Asked(SCENE).check(POLISHED.rstrip()[:-lost].rstrip("。？，：\n"))
    assert missing(checked) == [0]
    assert open_faults(checked) == [(FaultKind.TRUNCATED, 0)]


def test_so_is_one_that_ends_with_a_cue() -> None:
    assert cut_short(SCENE, POLISHED[: POLISHED.rindex("林晚，")])


@pytest.mark.parametrize("lines", [3, 4])
def test_so_is_one_that_follows_the_source_and_lacks_its_last_lines(lines: int) -> None:
    half = "\n".join(POLISHED.splitlines()[: 1 + lines]) + "\n"
    checked = Asked(SCENE).check(half)
    assert missing(checked) == [0]


HONEST = {
    "polished": POLISHED,
    "without the last full stop": POLISHED.rstrip("\n。"),
    "without any full stop": POLISHED.replace("。\n", "\n"),
    "with a line less in its middle": POLISHED.replace(LINES[4] + "\n", ""),
    "with two lines in one": POLISHED.replace("。\n△", "。△"),
    "with western signs": POLISHED.replace("。", ".").replace("：", ": "),
    "with a subtitle at its end": POLISHED.rstrip() + "\n【黑屏】\n",
}


@pytest.mark.parametrize("answer", HONEST.values(), ids=HONEST)
def test_what_an_honest_model_does_is_no_sign(answer: str) -> None:
    assert Asked(SCENE).check(answer).faults == ()


def test_a_source_that_ends_in_the_middle_of_a_sentence_tells_nothing() -> None:
    assert cut_short(SCENE.rstrip("。\n"), POLISHED[:-8]) == ""


def test_an_english_scene_too() -> None:
    source = (
        "INT. HALL - DAY\n\nMARA\nYou never sent a single letter, did you?\n\n"
        "OLLIE\nI had no idea where you lived.\n"
    )
    assert Asked(source).check(source.replace("a single", "one single")[:-14]).texts == (None,)
