"""The context window: what surely does not fit is refused here, what is close goes through."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.tokens import IMAGE_TOKENS, estimate_chat_tokens, estimate_tokens
from gateway.chunking.window import Window
from gateway.errors import CallError, Outcome
from gateway.schema import Call, Caller, Plan, Target

ENGLISH = "The detective opens the door and finds the room empty. "
CHINESE = "侦探推开门，发现房间里空无一人，只有桌上的茶还冒着热气。"


def target(name: str, context_tokens: int | None, max_output_tokens: int | None = None) -> Target:
    return Target(
        "studio", name, "m", context_tokens=context_tokens, max_output_tokens=max_output_tokens
    )


def call(text: str, endpoint: str = "chat") -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    if endpoint == "embeddings":
        body = {"model": "m", "input": text}
    size = len(orjson.dumps(body))
    return Call("req_1", endpoint, Caller("key_1"), "m", body, size, started_at_s=0, received_s=0)


def fit(asked: Call, *targets: Target, max_output_tokens: int | None = None) -> Plan:
    plan = Plan(targets, asked.body, "model", max_output_tokens=max_output_tokens)
    return Window().fit(asked, plan)


def names(plan: Plan) -> str:
    return "".join(t.model for t in plan.targets)


def test_a_small_call_goes_everywhere() -> None:
    plan = fit(call("hello"), target("a", 1000), target("b", None))
    assert names(plan) == "ab"
    assert plan.skipped == ()


def test_a_target_that_is_too_small_is_left_out_and_named() -> None:
    plan = fit(call(ENGLISH * 100), target("a", 500), target("b", 8000))
    assert names(plan) == "b"
    assert plan.skipped == ("studio/a takes 500 tokens",)


def test_a_call_that_fits_nowhere_is_refused_with_every_count() -> None:
    with pytest.raises(CallError) as caught:
        fit(call(ENGLISH * 100), target("a", 500), target("b", 600), max_output_tokens=50)
    error = caught.value
    assert error.outcome is Outcome.CONTEXT_LENGTH_EXCEEDED
    assert error.param == "messages"
    assert "reserves 50 for the answer" in error.message
    assert "studio/a takes 500 tokens; studio/b takes 600 tokens" in error.message


def test_room_for_the_answer_is_part_of_the_sum() -> None:
    asked = call(ENGLISH * 100)
    count = estimate_chat_tokens(asked.body)
    assert names(fit(asked, target("a", count + 100), max_output_tokens=100)) == "a"
    with pytest.raises(CallError):
        fit(asked, target("a", count + 99), max_output_tokens=100)


def test_no_more_room_is_kept_than_the_target_can_write() -> None:
    asked = call("hello")
    assert names(fit(asked, target("a", 8192, 4096), max_output_tokens=8192)) == "a"


def test_an_unknown_window_takes_everything() -> None:
    assert names(fit(call(ENGLISH * 10_000), target("a", 500), target("b", None))) == "b"


def test_embeddings_are_left_to_the_upstream() -> None:
    assert names(fit(call(ENGLISH * 1000, "embeddings"), target("a", 10))) == "a"


def test_bytes_alone_refuse_nothing() -> None:
    """Chinese has three bytes a character and less than one token."""
    asked = call(CHINESE * 10)
    assert asked.body_bytes > 700
    assert names(fit(asked, target("a", 300))) == "a"


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


@given(st.text(max_size=300), st.integers(1, 400), st.integers(0, 100))
def test_a_call_goes_through_only_where_the_estimate_fits(
    text: str, context_tokens: int, reserve: int
) -> None:
    asked = call(text)
    needed = estimate_chat_tokens(asked.body) + reserve
    try:
        fit(asked, target("a", context_tokens), max_output_tokens=reserve)
    except CallError:
        fits = False
    else:
        fits = True
    assert fits == (needed <= context_tokens)
