"""A model that gives its part back gives the part back: byte for byte, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.screenplay import parse
from gateway.chunking.verify import sections_of

from .answers_to_parts import Asked
from .scripts import STYLES, write_script

NASTY = [
    "好的，以下是润色后的剧本：",
    "以上是润色后的剧本，希望对你有帮助！",
    "Sure! Here is the polished version:",
    "Let me know if you need changes.",
    "```",
    "```markdown",
    "~~~",
    "---",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "（未完待续）",
    "（此处省略一百字）",
    "[...]",
    "(rest unchanged)",
    "对不起，我无法协助完成这个请求。",
    "I'm sorry, but I can't help with that request.",
    "请润色下面的剧本：",
    "要求：",
    "1. 保持原意",
    "**修改说明：**",
    "第3集",
    "第三集 重逢",
    "1-1 日 内 客厅",
    "**1-1 日 内 客厅**",
    "1-2 夜 外 天台",
    "场景1",
    "场景1",
    "【场景：客厅 日 内】",
    "INT. HOUSE - DAY",
    "SCENE 2: ROOF",
    "李明：好的。",
    "李明：我昨天看到第3集。",
    "△ 他付了３，０００，０００元。",
    "△ 他付了三百万。",
    "他一遍遍地说他没有做错。" * 8,
    "\u3000\u3000空白的开头",
    "\t",
    " ",
    "",
    "",
    "\u200b\U0001f469\u200d\U0001f467 \U00020bb7野家",
    "a\u2028b\x0bc\x85d",
]
NEWLINES = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"])
NASTY_TEXTS = st.tuples(
    st.sampled_from(["", "\ufeff", "\n\n"]),
    st.lists(st.tuples(st.sampled_from(NASTY), NEWLINES), max_size=25),
    st.sampled_from(["", "第9集", "完"]),
).map(lambda parts: parts[0] + "".join(line + end for line, end in parts[1]) + parts[2])
SCRIPTS = st.builds(
    write_script,
    st.sampled_from(STYLES),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 50),
    st.just(80),
    st.sampled_from(["\n", "\r\n"]),
)
TEXTS = st.one_of(NASTY_TEXTS, SCRIPTS, st.text(max_size=60))
CUTS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
CONTEXTS = st.sampled_from(["", "\n".join(NASTY)])


def asked_of(text: str, cuts: list[float]) -> Asked:
    return Asked(text, int(cuts[0] * len(text)), int(cuts[1] * len(text)))


@given(TEXTS, CUTS)
def test_the_sections_of_a_stretch_join_to_it(text, cuts):
    asked = asked_of(text, cuts)
    assert "".join(asked.texts()) == asked.source
    assert all(s.start <= s.heading_end <= s.end for s in asked.sections)


@given(TEXTS, CUTS, CONTEXTS, st.booleans())
def test_an_echo_is_the_source(text, cuts, context, keeps_scenes):
    asked = asked_of(text, cuts)
    checked = asked.check(asked.source, context=context, keeps_scenes=keeps_scenes)
    assert "".join(checked.texts) == asked.source
    assert checked.faults == ()


@given(TEXTS, CUTS, CONTEXTS)
def test_white_space_and_line_ends_come_from_the_source(text, cuts, context):
    asked = asked_of(text, cuts)
    answer = "\n".join(line.strip() for line in asked.source.splitlines() if line.strip())
    checked = asked.check(answer, context=context)
    assert "".join(checked.texts) == asked.source
    assert checked.faults == ()


WRAPPINGS = [
    "```\n{}\n```",
    "```markdown\n{}\n```\n",
    "<think>想一想。\n{}</think>\n\n{}",
    "<think>\n\n</think>{}",
    "好的，以下是润色后的剧本：\n\n{}",
    "好的！\n\n以下是润色后的剧本：\n\n---\n\n{}\n\n---\n\n以上是润色后的剧本，希望对你有所帮助！",
    "Sure! Here is the polished script:\n\n```\n{}\n```\n\nLet me know if you need anything else!",
    "<think>\nHm.\n</think>\n\n当然，以下是修改后的版本：\n\n```text\n{}\n```",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(text=SCRIPTS, cuts=CUTS)
def test_a_wrapped_echo_is_the_source(wrapping, text, cuts):
    asked = asked_of(text, cuts)
    checked = asked.check(wrapping.replace("{}", asked.source))
    if asked.source.strip():
        assert "".join(text for text in checked.texts if text is not None) == asked.source
        assert all(fault.is_mended for fault in checked.faults)
        assert checked.faults


@given(SCRIPTS, st.data())
def test_one_scene_that_is_changed_leaves_all_others_as_they_are(text, data):
    asked = Asked(text)
    texts = asked.texts()
    changed = data.draw(st.integers(0, len(texts) - 1))
    section = asked.sections[changed]
    heading = section.heading_end - section.start
    line = "△ 雨停了，灯还亮着，没有人说话。\n"
    answer = [*texts[:changed], texts[changed][:heading] + line, *texts[changed + 1 :]]
    if len(texts[changed]) - heading < 60:
        answer[changed] = texts[changed].rstrip() + "\n" + line
    else:
        answer[changed] = texts[changed].rstrip() + "\n" + line + "\n"
    checked = asked.check("".join(answer))
    same = [new == old for new, old in zip(checked.texts, texts, strict=True)]
    assert same == [index != changed for index in range(len(texts))]
    assert checked.texts[changed] is not None
    assert line.strip() in checked.texts[changed]


@given(NASTY_TEXTS, CUTS, st.data())
def test_any_answer_is_judged_without_an_error(text, cuts, data):
    asked = asked_of(text, cuts)
    answer = data.draw(NASTY_TEXTS)
    reason = data.draw(st.sampled_from(["stop", "length", "content_filter", None]))
    checked = asked.check(answer, reason, context=text)
    assert len(checked.texts) == len(asked.sections)
    refused = [index for index, new in enumerate(checked.texts) if new is None]
    named = [fault for fault in checked.faults if not fault.is_mended]
    assert bool(named) or not refused


def test_a_stretch_is_clipped_at_both_ends():
    text = "第1集\n1-1 日 内 客厅\n△ 甲。\n1-2 夜 外 天台\n△ 乙。\n"
    script = parse(text)
    start, end = text.index("△ 甲") + 1, text.index("△ 乙") + 1
    first, last = sections_of(script, start, end)
    assert (first.start, first.heading_end, first.name) == (start, start, "1-1")
    assert (last.end, last.name) == (end, "1-2")
