"""Which requests are the same: what must change a key, and what must not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.keys import NOT_OF_THE_ANSWER, answer_key, claim_of, is_deterministic
from gateway.schema import Call, Caller, Plan

from .asked import ASKED, SECOND, WRITER, call, plan_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["messages", "temperature", "seed", "tools", "max_tokens", "x", "stop"])
BODIES = st.dictionaries(NAMES, JSON, min_size=1)
CALLERS = st.builds(
    Caller, st.sampled_from(["k1", "k2", "studio"]), tenant=st.sampled_from([None, "k1", "studio"])
)


def key(asked: Call, *targets: Any, **more: Any) -> str:
    return answer_key(asked, plan_for(asked, *targets, **more))


def owner(caller: Caller) -> tuple[str, str]:
    """Whose answers a caller may have."""
    if caller.tenant is None:
        return "key", caller.key_id
    return "tenant", caller.tenant


@given(BODIES, BODIES, CALLERS, CALLERS)
def test_an_answer_is_found_by_the_same_tenant_for_the_same_body_only(
    one: dict[str, Any], other: dict[str, Any], mine: Caller, theirs: Caller
) -> None:
    # 1 and True are equal in Python and not in JSON.
    same = repr(sorted(one.items())) == repr(sorted(other.items()))
    keys_match = key(call(one, mine)) == key(call(other, theirs))
    assert keys_match == (same and owner(mine) == owner(theirs))


@given(BODIES, st.randoms(), st.sampled_from(sorted(NOT_OF_THE_ANSWER - {"stream_options"})), JSON)
def test_neither_the_order_of_fields_nor_who_asks_is_part_of_the_key(
    body: dict[str, Any], random: Any, name: str, value: Any
) -> None:
    fields = [*body.items(), (name, value)]
    random.shuffle(fields)
    assert key(call(dict(fields))) == key(call(body))


def test_the_order_within_a_field_is_part_of_the_key() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    turned = {"type": "object", "properties": {"b": {}, "a": {}}}
    assert key(call({"response_format": schema})) != key(call({"response_format": turned}))


@pytest.mark.parametrize(
    "other",
    [
        key(call(), SECOND),
        key(call(), WRITER, SECOND),
        key(call(), max_output_tokens=5),
        key(call(endpoint="embeddings")),
        key(call(stream=True)),
        key(call(caller=Caller("k1", tenant="k1"))),
    ],
    ids=["another target", "a longer route", "a cap", "endpoint", "a stream", "a tenant"],
)
def test_another_route_form_or_tenant_is_another_answer(other: str) -> None:
    assert key(call()) != other


def test_a_turned_route_is_another_answer() -> None:
    assert key(call(), WRITER, SECOND) != key(call(), SECOND, WRITER)


def test_projects_and_users_of_one_tenant_share_answers() -> None:
    lin = Caller("k1", "market", "lin", "studio", episode="3")
    assert key(call(caller=lin)) == key(call(caller=Caller("k2", "harbour", tenant="studio")))


def test_what_a_task_fills_in_is_part_of_the_key() -> None:
    asked = call()
    filled = Plan((WRITER,), {**ASKED, "temperature": 0}, "task")
    assert answer_key(asked, filled) != answer_key(asked, plan_for(asked))


def test_a_stream_with_its_usage_is_another_form() -> None:
    plain, told = call(stream=True), {**ASKED, "stream_options": {"include_usage": True}}
    assert key(call(told, stream=True)) != key(plain)
    silent = {**ASKED, "stream_options": {"include_usage": False}}
    assert key(call(silent, stream=True)) == key(plain)


def test_what_a_stream_does_without_is_part_of_its_form() -> None:
    bare = {**ASKED, "stream_options": {"include_obfuscation": False}}
    assert key(call(bare, stream=True)) != key(call(stream=True))


@given(BODIES, BODIES)
def test_a_claim_is_for_one_body_to_the_last_field(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    mine, theirs = (claim_of(call(body, idempotency_key="a")) for body in (one, other))
    assert mine.id == theirs.id
    same = repr(sorted(one.items())) == repr(sorted(other.items()))
    assert (mine.request == theirs.request) == same


def test_a_key_of_one_tenant_means_nothing_to_another() -> None:
    mine = claim_of(call(idempotency_key="a", caller=Caller("k1", tenant="one")))
    theirs = claim_of(call(idempotency_key="a", caller=Caller("k1", tenant="two")))
    assert mine.id != theirs.id


def test_a_claim_also_tells_users_apart() -> None:
    lin, mei = ({**ASKED, "user": user} for user in ("lin", "mei"))
    assert claim_of(call(lin)).request != claim_of(call(mei)).request


@pytest.mark.parametrize("body", [{"temperature": 0}, {"temperature": 0.0}, {"seed": 7}])
def test_a_fixed_temperature_or_a_seed_wants_the_same_answer_each_time(body: Any) -> None:
    assert is_deterministic(body)


@pytest.mark.parametrize("body", [{}, {"temperature": 0.1}, {"temperature": None}, {"seed": None}])
def test_anything_else_does_not(body: Any) -> None:
    assert not is_deterministic(body)
