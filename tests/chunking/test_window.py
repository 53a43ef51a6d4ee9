"""The context window: what fits goes, what is close goes where it may fit, what surely does not fit
is cut if it may be, and refused with every count if it may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.screenplay import parse
from gateway.chunking.tokens import (
    IMAGE_TOKENS,
    count_chat,
    counter_for,
    estimate_chat_tokens,
    estimate_tokens,
)
from gateway.errors import CallError, Outcome
from gateway.schema import Call, Plan, Target

from .calls import call, call_with, fit, room, target
from .scripts import write_script

ENGLISH = "The detective opens the door and finds the room empty. "
CHINESE = "侦探推开门，发现房间里空无一人，只有桌上的茶还冒着热气。"
SCRIPT = write_script("mixed", episodes=6, scenes=6)


def names(plan: Plan) -> str:
    return "".join(t.model for t in plan.targets)


def least_of(asked: Call) -> int:
    """Tokens of a call, as many as it has for sure."""
    count = count_chat(asked.body, counter_for(target("a", None)))
    return min(estimate_chat_tokens(asked.body), count)


def refused(*args: Any, **more: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        fit(*args, **more)
    assert caught.value.outcome is Outcome.CONTEXT_LENGTH_EXCEEDED
    return caught.value


# Without a task that cuts


def test_a_small_call_goes_everywhere() -> None:
    plan = fit(call("hello"), target("a", 1000), target("b", None))
    assert names(plan) == "ab"
    assert plan.skipped == ()


def test_a_target_that_is_too_small_is_left_out_and_named() -> None:
    plan = fit(call(ENGLISH * 100), target("a", 500), target("b", 8000))
    assert names(plan) == "b"
    assert plan.skipped == ("studio/a takes 500 tokens",)


def test_a_call_that_fits_nowhere_is_refused_with_every_count() -> None:
    asked = call(ENGLISH * 100, max_tokens=50)
    error = refused(asked, target("a", 500), target("b", 600), cap=50)
    assert error.param == "messages"
    count = count_chat(asked.body, counter_for(target("a", 500)))
    for name, context_tokens in ("a", 500), ("b", 600):
        assert (
            f"studio/{name} takes {context_tokens} tokens, the call has {count} there and reserves "
            "50 for the answer" in error.message
        )


def test_the_answer_that_a_client_asks_for_has_to_fit_too() -> None:
    asked = call(ENGLISH * 100, max_tokens=100)
    count = least_of(asked)
    assert names(fit(asked, target("a", count + 100), cap=100)) == "a"
    refused(asked, target("a", count + 99), cap=100)


def test_a_cap_that_no_client_asked_for_is_lowered_to_what_the_window_leaves() -> None:
    plan = fit(call("hello"), target("a", 8192), task="draft", cap=16384)
    assert plan.max_output_tokens is not None
    assert 8000 < plan.max_output_tokens < 8192
    assert "max_tokens lowered from 16384" in plan.warnings[0]


def test_no_more_room_is_kept_than_the_target_can_write() -> None:
    plan = fit(call("hello"), target("a", 8192, 4096), cap=8192)
    assert plan.max_output_tokens == 8192


def test_an_unknown_window_takes_everything() -> None:
    assert names(fit(call(ENGLISH * 10_000), target("a", 500), target("b", None))) == "b"


def test_embeddings_are_left_to_the_upstream() -> None:
    asked = call_with({"model": "m", "input": ENGLISH * 1000}, "embeddings")
    assert names(fit(asked, target("a", 10))) == "a"


def test_bytes_alone_refuse_nothing() -> None:
    """Chinese has three bytes a character and less than one token."""
    asked = call(CHINESE * 10)
    assert asked.body_bytes > 700
    assert names(fit(asked, target("a", 300))) == "a"


def test_what_may_fit_is_left_to_the_upstream() -> None:
    """Counts lean to the high side, and the estimate to the low."""
    asked = call(CHINESE * 100)
    least = estimate_chat_tokens(asked.body)
    most = count_chat(asked.body, counter_for(target("a", None)))
    assert least < most
    assert names(fit(asked, target("a", least))) == "a"
    assert names(fit(asked, target("a", least), target("b", most))) == "b"


@given(st.text(max_size=300), st.integers(1, 400), st.integers(0, 100))
def test_what_surely_does_not_fit_is_refused_and_nothing_else(
    text: str, context_tokens: int, cap: int
) -> None:
    asked = call(text, max_tokens=cap)
    needed = least_of(asked) + cap
    try:
        fit(asked, target("a", context_tokens), cap=cap)
    except CallError:
        fits = False
    else:
        fits = True
    assert fits == (needed <= context_tokens)


# Who may be cut, and what the others are told


def test_a_script_that_is_too_long_is_cut_if_its_task_says_so() -> None:
    assert len(fit(call(SCRIPT), target("a", 4000), task="polish").parts) > 1


def test_a_later_model_with_the_room_is_asked_before_anything_is_cut() -> None:
    plan = fit(call(SCRIPT), target("a", 4000), target("b", 100_000), task="polish")
    assert (names(plan), plan.parts) == ("b", ())


def test_a_stand_in_with_the_room_keeps_no_live_model_from_being_asked_in_parts() -> None:
    stand_in = Target("stage", "s", "m", context_tokens=None, rehearsal=True)
    plan = fit(call(SCRIPT), target("a", 4000), stand_in, task="polish")
    assert names(plan) == "as"
    assert plan.parts


def test_a_script_whose_answer_is_longer_than_the_model_may_write_is_cut() -> None:
    plan = fit(call(SCRIPT), target("a", 1_000_000, 2000), task="polish")
    assert len(plan.parts) > 1
    assert all(part.plan.max_output_tokens <= 2000 for part in plan.parts)


def test_unless_the_client_itself_said_how_long_it_may_be() -> None:
    own = fit(call(SCRIPT, max_tokens=1000), target("a", 1_000_000), task="polish", cap=1000)
    of_the_task = fit(call(SCRIPT), target("a", 1_000_000), task="polish", cap=1000)
    assert (own.parts, len(of_the_task.parts) > 1) == ((), True)


def test_or_the_answer_is_no_script() -> None:
    assert fit(call(SCRIPT), target("a", 1_000_000, 2000), task="review").parts == ()


def test_without_a_task_the_refusal_names_the_headers_that_would_allow_it() -> None:
    message = refused(call(SCRIPT * 3), target("a", 4000)).message
    assert "send X-Daobo-Task: polish (or another task that cuts: review, storyboard)" in message
    assert "X-Daobo-Chunking: force" in message


def test_a_task_that_does_not_cut_says_so() -> None:
    message = refused(call(SCRIPT * 3), target("a", 4000), task="draft").message
    assert "The task draft does not cut scripts into parts; X-Daobo-Chunking: force does" in message


def test_off_never_cuts() -> None:
    asked = call(SCRIPT * 3)._replace(chunking="off")
    assert (
        "X-Daobo-Chunking is off; without it, the task polish has it cut"
        in refused(asked, target("a", 4000), task="polish").message
    )


def test_off_without_a_task_says_that_the_task_alone_would_not_do() -> None:
    asked = call(SCRIPT * 3)._replace(chunking="off")
    message = refused(asked, target("a", 4000)).message
    assert "X-Daobo-Chunking is off. To have it cut" in message
    assert "in its place, or X-Daobo-Chunking: force" in message


@pytest.mark.parametrize("task", ["polish", "draft", None])
def test_force_cuts_what_would_fit(task: str | None) -> None:
    asked = call(SCRIPT)._replace(chunking="force")
    plan = fit(asked, target("a", 1_000_000), task=task)
    assert len(plan.parts) > 1
    assert plan.cut.mode == "map"


def test_force_sends_what_makes_one_part_as_it_is() -> None:
    asked = call("第1集\n1-1 日 内 医院\n△雨。\n")._replace(chunking="force")
    plan = fit(asked, target("a", 1_000_000), task="polish")
    assert (plan.parts, plan.cut, plan.body) == ((), None, asked.body)


WHOLE = {
    "n": 2,
    "tools": [{"type": "function", "function": {"name": "save"}}],
    "logprobs": True,
    "modalities": ["text", "audio"],
    "response_format": {"type": "json_object"},
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_put_together_is_not_cut_and_says_why(name: str) -> None:
    asked = call(SCRIPT * 3, **{name: WHOLE[name]})
    assert name in refused(asked, target("a", 4000), task="polish").message


def test_nor_by_force() -> None:
    with pytest.raises(CallError, match="n is more than 1") as caught:
        fit(call(SCRIPT, n=2)._replace(chunking="force"), target("a", 4000), task="polish")
    assert caught.value.outcome is Outcome.INVALID_REQUEST


def test_answers_that_a_model_makes_into_one_may_be_json() -> None:
    asked = call(SCRIPT * 3, response_format={"type": "json_object"})
    assert fit(asked, target("a", 4000), task="review").parts


def test_where_the_frame_leaves_no_room_the_figures_are_told() -> None:
    messages = [
        {"role": "system", "content": ENGLISH * 290},
        {"role": "user", "content": SCRIPT * 3},
    ]
    error = refused(
        call_with({"model": "m", "messages": messages}), target("a", 4000), task="polish"
    )
    assert "studio/a takes 4000 tokens" in error.message
    assert "no room for 50 tokens" in error.message


# After an upstream has said that it is too long


async def test_what_an_upstream_says_is_too_long_is_cut_to_half_of_it() -> None:
    short = write_script("mixed", episodes=1, scenes=3)  # within the budget of one part
    asked = call(short)
    plan = Plan((target("a", 1_000_000),), asked.body, "model", task="polish")
    cut = await room().cut_after(_too_long(), asked, plan)
    whole = counter_for(plan.targets[0]).count(short)
    assert len(cut.parts) > 1
    assert all(piece.tokens <= whole // 2 for piece in cut.cut.pieces)


async def test_without_a_task_its_error_is_passed_on_with_the_header_that_would_help() -> None:
    asked, told = call(SCRIPT), _too_long()
    plan = Plan((target("a", 1_000_000),), asked.body, "model")
    with pytest.raises(CallError) as caught:
        await room().cut_after(told, asked, plan)
    assert caught.value is told
    assert told.message.startswith("too long, said the upstream. ")
    assert "X-Daobo-Task: polish" in told.message


def _too_long() -> CallError:
    return CallError(Outcome.CONTEXT_LENGTH_EXCEEDED, "too long, said the upstream.")


async def test_counting_is_done_off_the_loop() -> None:
    asked = call(SCRIPT)
    plan = Plan((target("a", 4000),), asked.body, "model", task="polish")
    assert (await room().fit(asked, plan)).parts


# The estimate


@pytest.mark.parametrize(("text", "low", "high"), [(ENGLISH, 0.25, 0.30), (CHINESE, 0.60, 0.86)])
def test_the_estimate_by_character_is_that_of_the_script(
    text: str, low: float, high: float
) -> None:
    assert low <= estimate_tokens(text * 10) / len(text * 10) <= high


def test_mixed_text_is_counted_by_its_shares() -> None:
    mixed = estimate_tokens(ENGLISH + CHINESE)
    assert abs(mixed - estimate_tokens(ENGLISH) - estimate_tokens(CHINESE)) <= 1


@given(st.text())
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert 1 <= estimate_tokens(text) <= len(text.encode("utf-8", "replace")) + 1


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert estimate_tokens(text + more) >= estimate_tokens(text)


CONTENTS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=20)),
            st.just({"type": "image_url", "image_url": {"url": "u"}}),
            st.just({"type": "something_new", "text": None}),
        ),
        max_size=3,
    ),
)


@given(st.lists(st.fixed_dictionaries({"role": st.just("user")}, optional={"content": CONTENTS})))
def test_every_message_that_passes_the_door_can_be_counted(messages: list[dict[str, Any]]) -> None:
    count = estimate_chat_tokens({"messages": messages})
    assert count >= 4 * len(messages)
    parts = [m["content"] for m in messages if isinstance(m.get("content"), list)]
    not_text = sum(part["type"] != "text" for content in parts for part in content)
    assert count >= IMAGE_TOKENS * not_text


def test_a_script_in_several_messages_is_not_answered_by_halves() -> None:
    script = write_script("tight", episodes=6)
    half = next(s.start for s in parse(script).sections if s.name == "4")
    said = [
        {"role": "user", "content": text} for text in ("请润色：", script[:half], script[half:])
    ]
    with pytest.raises(CallError, match="several messages"):
        fit(call_with({"model": "m", "messages": said}), target("small", 1000), task="polish")


def test_a_sample_or_an_earlier_turn_beside_it_is_none_of_it() -> None:
    script = write_script("tight", episodes=6)
    sample = {"role": "user", "content": script[:400]}
    turn = [{"role": "user", "content": script[400:900]}, {"role": "assistant", "content": "好。"}]
    now = {"role": "user", "content": script}
    for said in ([sample, now], [*turn, now]):
        asked = call_with({"model": "m", "messages": said})
        assert len(fit(asked, target("small", 3000), task="polish").parts) > 1
