"""What models wrap around an answer is taken off, unless the source has it, too."""

import pytest

from gateway.chunking.checking.faults import FaultKind
from gateway.chunking.checking.mending import unwrapped

SOURCE = """第1集
1-1 日 内 便利店
△ 自动门开了，王芳走进来。
李明：欢迎光临。
"""
ANSWER = SOURCE.replace("走进来", "推门而入").rstrip()

PREAMBLES = [
    "好的，以下是润色后的剧本：\n\n",
    "好的！以下是根据您的要求修改后的版本。\n\n---\n\n",
    "好的\n\n以下是润色后的剧本：\n",
    "当然可以！下面是优化后的内容，我保留了所有场次：\n\n",
    "没问题，这是改写后的剧本：\n\n",
    "**润色后的剧本：**\n\n",
    "### 润色版本\n\n",
    "根据您的要求，我对剧本进行了润色：\n\n",
    "Sure! Here is the polished version:\n\n",
    "Here's the revised script:\n\n---\n\n",
    "Certainly. Below is the rewritten scene.\n\n",
    "Polished script:\n\n",
    "Of course!\n\nI've polished the dialogue in this scene:\n\n",
]
EPILOGUES = [
    "\n\n---\n\n以上是润色后的剧本，希望对你有帮助！",
    "\n\n以上就是修改后的完整内容，如需调整请随时告诉我。",
    "\n\n希望这个版本能满足您的需求！如果还有其他要求，请告诉我。",
    "\n\n如果您还需要进一步修改，请随时告知。",
    "\n\n需要我继续润色下一集吗？",
    "\n\nLet me know if you'd like any changes!",
    "\n\n---\n\nI hope this helps! Feel free to ask for more.",
    "\n\nWould you like me to polish the next scene?",
    "\n\n---\n\n**修改说明：**\n1. 动作更具体\n2. 台词更口语化\n",
    "\n\n### 主要改动\n- 动作更具体\n",
    "\n\n**Changes made:**\n- Tightened the action line\n\nLet me know what you think!",
]


@pytest.mark.parametrize("preamble", PREAMBLES)
def test_words_in_front_are_taken_off(preamble):
    text, faults = unwrapped(preamble + ANSWER, SOURCE)
    assert text.strip() == ANSWER
    assert {fault.kind for fault in faults} == {FaultKind.PREAMBLE}


@pytest.mark.parametrize("epilogue", EPILOGUES)
def test_words_behind_are_taken_off(epilogue):
    text, faults = unwrapped(ANSWER + epilogue, SOURCE)
    assert text.strip() == ANSWER
    assert {fault.kind for fault in faults} == {FaultKind.EPILOGUE}


@pytest.mark.parametrize("words", [*PREAMBLES, *EPILOGUES])
def test_words_that_the_source_has_are_text(words):
    for source in (words + SOURCE, SOURCE + words):
        answer = source.replace("走进来", "推门而入")
        assert unwrapped(answer, source) == (answer, ())


@pytest.mark.parametrize(
    "wrapped",
    [
        "```\n{}\n```",
        "```markdown\n{}\n```\n",
        "~~~text\n{}\n~~~",
        "Here is the polished script:\n\n```\n{}\n```\n\nLet me know what you think!",
        "```\n{}",
        "```\n{}```",
        "{}\n```",
        "<answer>\n{}\n</answer>",
        "<result>{}</result>\n",
    ],
)
def test_a_fence_around_all_is_taken_off(wrapped):
    text, faults = unwrapped(wrapped.replace("{}", ANSWER), SOURCE)
    assert text.strip() == ANSWER
    assert FaultKind.FENCED in {fault.kind for fault in faults}
    assert all(fault.is_mended for fault in faults)


def test_a_fence_within_the_source_is_text():
    source = SOURCE + "```\n短信：今晚八点\n```\n"
    answer = source.replace("走进来", "推门而入")
    assert unwrapped(answer, source) == (answer, ())
    assert unwrapped(f"```\n{answer}\n```", source).text.strip() == answer.strip()


@pytest.mark.parametrize(
    "thinking",
    [
        "<think>\n先看人物。\n</think>\n\n",
        "\n<think></think>",
        "先看人物。\n</think>\n",
        "<thinking>The user wants …</thinking>\n",
        "◁think▷先看人物。◁/think▷",
    ],
)
def test_thinking_is_taken_off(thinking):
    text, faults = unwrapped(thinking + ANSWER, SOURCE)
    assert text.strip() == ANSWER
    assert [fault.kind for fault in faults] == [FaultKind.THINKING]


def test_thinking_may_quote_a_source_that_has_tags():
    source = SOURCE + "李明：</think> 是什么？\n"
    text, _ = unwrapped(f"<think>{source}</think>\n{source}", source)
    assert text == "\n" + source


def test_tags_of_the_source_are_text():
    source = "<think>她想起了那个雨夜。</think>\n" + SOURCE
    answer = source.replace("走进来", "推门而入")
    assert unwrapped(answer, source) == (answer, ())


def test_thinking_without_an_end_leaves_nothing():
    text, faults = unwrapped("<think>先看人物。\n" + ANSWER, SOURCE)
    assert text == ""
    assert [(fault.kind, fault.is_mended) for fault in faults] == [(FaultKind.THINKING, False)]


@pytest.mark.parametrize(
    "line",
    [
        "好的。",
        "李明：好的，以下是我的证词：",
        "以上是我要说的。",
        "希望还在。",
        "王芳：如果你需要我，请告诉我。",
    ],
)
def test_lines_of_a_script_are_no_words_to_the_user(line):
    for answer in (f"{line}\n{ANSWER}", f"{ANSWER}\n{line}"):
        assert unwrapped(answer, SOURCE) == (answer, ())
