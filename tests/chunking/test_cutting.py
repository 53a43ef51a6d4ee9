"""The requests for the parts of a script: each has its text exactly, and as much as it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.planning.cutting import Cut
from gateway.chunking.planning.frame import Frame, find_script, why_whole
from gateway.chunking.planning.sizes import Sizes
from gateway.chunking.tokens import count_chat
from gateway.config_chunking import ChunkingConfig
from gateway.schema import Caller, Plan, Target

from .calls import FENCE, call, call_with, fit, room, target
from .scripts import STYLES, write_script

SCRIPT = write_script("mixed", episodes=6, scenes=6)
SMALL, LARGE = target("small", 4000), target("large", 1_000_000, 4096)


def cut(
    text: str = SCRIPT, *targets: Target, task: str = "polish", cap: int | None = None, **body: Any
) -> Plan:
    asked = call(text, **body)._replace(chunking="force")
    return fit(asked, *(targets or (SMALL,)), task=task, cap=cap)


def texts(plan: Plan) -> list[str]:
    return [part.call.body["messages"][-1]["content"] for part in plan.parts]


def of(plan: Plan) -> Cut:
    found: Cut = plan.cut
    return found


# Where the script stands


CONTENT = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=30)),
            st.just({"type": "image_url", "image_url": {"url": "u"}}),
        ),
        max_size=3,
    ),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant"])},
        optional={"content": CONTENT},
    ),
    min_size=1,
    max_size=5,
)


@given(MESSAGES, st.text(), st.text(), st.integers(1, 99_999), st.booleans())
def test_a_request_is_filled_exactly_and_its_size_is_known_without_making_it(
    messages: list[dict[str, Any]], text: str, context: str, cap: int, asks_cap: bool
) -> None:
    body = {"model": "m", "messages": messages, "stream": True, "temperature": 1}
    frame = find_script(body | ({"max_tokens": 7} if asks_cap else {}))
    if frame is None:
        return
    filled = frame.filled(text, context, cap)
    assert frame.bytes_of(text, context, cap) == len(orjson.dumps(filled))
    assert frame.texts_of(filled) == (text, context)
    assert filled.get("max_tokens") == (cap if asks_cap else None)
    assert "stream" not in filled


@given(MESSAGES)
def test_the_frame_is_left_as_it_is(messages: list[dict[str, Any]]) -> None:
    body = {"model": "m", "messages": messages}
    before = orjson.dumps(body)
    if (frame := find_script(body)) is not None:
        frame.filled("text", "context", 5)
    assert orjson.dumps(body) == before


def test_the_script_is_the_longest_text_of_a_user() -> None:
    image = {"type": "image_url", "image_url": {"url": "u"}}
    frame = find_script(
        {
            "messages": [
                {"role": "user", "content": "改一下。"},
                {"role": "assistant", "content": "好" * 100},
                {"role": "user", "content": [image, {"type": "text", "text": "第1集" * 9}]},
            ]
        }
    )
    assert frame is not None
    assert (frame.message, frame.item, frame.script) == (2, 1, "第1集" * 9)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_context_stands_at_the_end_of_the_first_system_message(role: str) -> None:
    messages = [
        {"role": role, "content": "你是编辑。"},
        {"role": "system", "content": "二"},
        {"role": "user", "content": SCRIPT},
    ]
    filled = _frame(messages).filled("part", "context", 1)["messages"]
    assert filled[0] == {"role": role, "content": "你是编辑。\n\ncontext"}
    assert filled[1:] == [messages[1], {"role": "user", "content": "part"}]


def test_or_in_one_of_its_own() -> None:
    filled = _frame([{"role": "user", "content": SCRIPT}]).filled("part", "context", 1)["messages"]
    assert filled[0] == {"role": "system", "content": "context"}


def _frame(messages: list[dict[str, Any]]) -> Frame:
    frame = find_script({"messages": messages})
    assert frame is not None
    return frame


def test_text_alone_is_no_reason_not_to_cut() -> None:
    body = {"n": 1, "tools": [], "modalities": ["text"], "response_format": {"type": "text"}}
    assert why_whole(body, one_answer=False) == ""


# The parts


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_texts_of_all_parts_join_to_the_script(style: str, newline: str) -> None:
    script = write_script(style, episodes=4, scenes=5, newline=newline)
    assert "".join(texts(cut(script))) == script


def test_a_part_is_within_the_budget_and_its_request_within_the_window() -> None:
    plan = cut()
    counter = of(plan).counter
    for piece, part in zip(of(plan).pieces, plan.parts, strict=True):
        assert piece.tokens <= of(plan).budget_tokens
        assert part.plan.max_output_tokens is not None
        needed = count_chat(part.call.body, counter) + part.plan.max_output_tokens
        assert needed <= 4000
        assert part.plan.max_output_tokens >= 1.3 * piece.tokens


def test_a_part_is_asked_for_as_a_stream_and_never_kept_as_a_whole_answer() -> None:
    asked = call(SCRIPT)._replace(chunking="force", idempotency_key="k", cache=True)
    part = fit(asked, SMALL, task="polish").parts[1]
    assert (part.call.stream, part.call.include_usage) == (True, True)
    assert (part.call.idempotency_key, part.call.cache) == (None, None)
    assert (part.plan.part, part.plan.parts, part.plan.cut) == (2, (), None)
    assert part.call.body == part.plan.body
    assert part.call.body_bytes == len(orjson.dumps(part.call.body))


def test_the_cap_that_a_client_asks_for_is_each_parts() -> None:
    plan = cut(max_tokens=700, cap=700)
    for part in plan.parts:
        assert part.call.asked_output_tokens == part.plan.max_output_tokens
        assert part.plan.cap_for(part.call, SMALL) == part.plan.max_output_tokens
    assert max(part.call.body["max_tokens"] for part in plan.parts) <= 700


def test_no_cap_is_more_than_a_target_can_write() -> None:
    assert all(part.plan.max_output_tokens == 4096 for part in cut(SCRIPT, LARGE).parts[:-1])


def test_a_target_without_room_for_the_parts_of_the_first_is_left_out() -> None:
    plan = cut(SCRIPT, LARGE, target("tiny", 1500))
    assert [t.model for t in plan.targets] == ["large"]
    assert "studio/tiny has room for" in plan.skipped[0]
    assert all(part.plan.targets == plan.targets for part in plan.parts)


def test_a_small_stand_in_takes_nothing_from_the_parts_of_live_models() -> None:
    budget = ChunkingConfig(mode="map", budget_tokens=800)
    asked = call(SCRIPT)._replace(chunking="force")
    stand_in = replace(target("rehearsed", 3000), rehearsal=True)
    alone, backed = (
        fit(asked, *ladder, task="polish", in_room=room(polish=budget))
        for ladder in ((LARGE,), (LARGE, stand_in))
    )
    caps = [[part.plan.max_output_tokens for part in plan.parts] for plan in (alone, backed)]
    assert caps[0] == caps[1]
    assert backed.targets == (LARGE, stand_in)


def test_a_stretch_can_be_asked_for_by_itself_elsewhere_and_later() -> None:
    plan = cut(SCRIPT, SMALL, target("next", 4000))
    piece = of(plan).pieces[1]
    part = of(plan).request(
        piece.start, piece.end, piece.tokens, 2, without=frozenset({"studio/small"}), now_s=5.0
    )
    assert [t.model for t in part.plan.targets] == ["next"]
    assert part.call.received_s == 5.0
    assert part.call.body == plan.parts[1].call.body
    nobody = frozenset({"studio/small", "studio/next"})
    assert of(plan).request(0, 9, 9, 1, without=nobody).plan.targets == ()


def test_smaller_pieces_join_to_the_stretch() -> None:
    plan = cut()
    start, end, tokens, _ = of(plan).pieces[0]
    pieces = of(plan).smaller(start, end)
    assert len(pieces) > 1
    assert [start, *(p.end for p in pieces)] == [*(p.start for p in pieces), end]
    assert max(p.tokens for p in pieces) < tokens


def test_a_line_is_not_made_smaller() -> None:
    assert of(cut()).smaller(0, 10) == []


# What makes two parts the same


def key(plan: Plan, number: int = 1) -> str:
    return of(plan).key(plan.parts[number - 1])


def fenced(fence: str, text: str = SCRIPT, tenant: str | None = None, **body: Any) -> Plan:
    asked = call(text, **body)._replace(chunking="force", caller=Caller("key_1", tenant=tenant))
    return fit(asked, SMALL, task="polish", in_room=room(lambda: fence))


def test_the_key_of_a_part_does_not_know_the_fence_nor_how_the_client_reads() -> None:
    assert key(fenced("a" * 16)) == key(fenced("b" * 16))
    assert key(fenced("a" * 16, stream=True)) == key(fenced("a" * 16))


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "other"},
        {"temperature": 0},
        {"text": "改。" + SCRIPT},
    ],
    ids=["tenant", "parameter", "text"],
)
def test_but_knows_all_that_is_asked_and_for_whom(other: dict[str, Any]) -> None:
    assert key(fenced("a" * 16, **other)) != key(fenced("a" * 16))


def test_and_how_long_its_answer_may_be() -> None:
    part = cut(SCRIPT, SMALL).parts[0]
    longer = part._replace(plan=part.plan._replace(max_output_tokens=99))
    of_plan = of(cut(SCRIPT, SMALL))
    assert of_plan.key(longer) != of_plan.key(part)


def test_and_where_it_may_go() -> None:
    plan = cut(SCRIPT, SMALL, target("next", 4000))
    piece = of(plan).pieces[0]
    elsewhere = of(plan).request(
        piece.start, piece.end, piece.tokens, 1, without=frozenset({"studio/small"})
    )
    assert of(plan).key(elsewhere) != key(plan)


# One answer out of many


def noted(parts: int = 12) -> Plan:
    rules = {"review": ChunkingConfig(mode="reduce", budget_tokens=300)}
    script = write_script("mixed", episodes=parts, scenes=1, scene_chars=400)
    asked = call(script, stream=True)._replace(chunking="force", stream=True)
    return fit(asked, target("s", 3000), task="review", cap=600, in_room=room(**rules))


def test_the_joins_to_come_are_planned_with_the_parts_and_are_as_large_as_they_can_be() -> None:
    plan = noted()
    joins = plan.parts[len(of(plan).pieces) :]
    assert [part.plan.part for part in plan.parts] == [*range(1, len(plan.parts) + 1)]
    answer = "字" * 200
    real = of(plan).join([answer] * 3, 99, is_last=True, stream=False, now_s=1.0)
    assert joins[-1].call.body_bytes > real.call.body_bytes
    assert joins[-1].plan.max_output_tokens == real.plan.max_output_tokens


def test_answers_are_joined_within_the_budget_until_one_is_left() -> None:
    """With answers as long as they may be, in no more requests than were planned."""
    plan = noted()
    found, cap = of(plan), of(plan).sizes.join_cap
    answer = "字" * 10
    while found.counter.count(answer + "字" * 10) < cap:
        answer += "字" * 10
    texts, requests = [answer] * len(found.pieces), 0
    while len(texts) > 1:
        groups = found.joins(texts)
        assert [at for group in groups for at in group] == [*range(len(texts))]
        assert len(groups) < len(texts)
        for group in groups:
            requests += len(group) > 1
            part = found.join([texts[at] for at in group], 9, is_last=False, stream=True, now_s=1)
            assert count_chat(part.call.body, found.counter) + cap <= 3000
        texts = [answer] * len(groups)
    assert requests <= len(plan.parts) - len(found.pieces)


def test_two_answers_go_together_however_long_they_are() -> None:
    assert of(noted()).joins(["字" * 9000] * 3) == [[0, 1], [2]]


def test_the_last_join_is_the_clients_own_and_the_others_are_not() -> None:
    found = of(noted())
    last = found.join(["一", "二"], 13, is_last=True, stream=True, now_s=7.0)
    other = found.join(["一", "二"], 14, is_last=False, stream=True, now_s=7.0)
    assert (last.call.include_usage, other.call.include_usage) == (False, True)
    assert last.call.received_s == 7.0
    assert other.plan.max_output_tokens is not None
    assert last.plan.max_output_tokens is not None
    assert other.plan.max_output_tokens <= last.plan.max_output_tokens
    assert last.call.body["messages"][-1]["content"].index("一") < last.call.body["messages"][-1][
        "content"
    ].index("二")


@given(
    st.integers(50, 20_000), st.integers(600, 2_000_000), st.integers(0, 5000),
    st.integers(64, 40_000), st.integers(1, 500),
)  # fmt: skip
def test_joins_always_come_to_an_end(
    budget: int, window: int, around: int, cap: int, answers: int
) -> None:
    sizes = Sizes(budget, window, around, cap)
    assert 1 <= sizes.joins(answers) <= max(1, answers)


def test_a_part_knows_its_fence() -> None:
    plan = cut()
    assert of(plan).fence == FENCE
    context = of(plan).context_of(*of(plan).pieces[1][:2])
    assert context == plan.parts[1].call.body["messages"][0]["content"]


def test_a_fence_that_stands_in_the_script_is_not_taken() -> None:
    drawn = iter([FENCE, "another"])
    script = SCRIPT + FENCE
    asked = call_with({"model": "m", "messages": [{"role": "user", "content": script}]})
    in_room = room(lambda: next(drawn))
    plan = fit(asked._replace(chunking="force"), SMALL, task="polish", in_room=in_room)
    assert of(plan).fence == "another"


@pytest.mark.parametrize("mode", ["map", "reduce"])
def test_no_part_may_have_a_longer_answer_than_the_client_asks_for(mode: str) -> None:
    plan = fit(
        call(write_script("tight", episodes=3), max_tokens=16),
        target("small", 1000),
        task="x",
        cap=16,
        in_room=room(x=ChunkingConfig(mode=mode, answer="text", budget_tokens=300)),
    )
    assert {part.plan.max_output_tokens for part in plan.parts} == {16}
