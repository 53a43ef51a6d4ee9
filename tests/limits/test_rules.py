"""Which rules concern a call, whose bucket that is, and what is taken of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config_limits import LimitRule
from gateway.limits.buckets import Bucket
from gateway.limits.reserve import Reserve
from gateway.limits.rules import MAX_KNOWN, Rules
from gateway.schema import Call, Caller, Part, Plan, Target

TARGET = Target("openai", "gpt-9", "writer")
RESERVED = 123


def rules(*texts: dict[str, Any]) -> Rules:
    return Rules([LimitRule(**text) for text in texts], lambda call, plan: RESERVED)


def call(**caller: str) -> Call:
    body = {"model": "writer", "messages": [{"role": "user", "content": "写"}]}
    return Call(
        "req_1", "chat", Caller(**{"key_id": "k_1", **caller}), "writer", body, 60, 0.0, 0.0
    )


def plan(task: str | None = None) -> Plan:
    return Plan((TARGET,), {}, "model", task)


def names(found: Any) -> list[str]:
    return [bucket.name for bucket, _ in found]


def test_without_rules_nothing_is_taken() -> None:
    none = rules()
    assert none.at_admission(call(), plan()) == ()
    assert none.at_target(call(), plan(), TARGET) == ()
    assert none.of_target(TARGET, 10) == ()


def test_a_rule_becomes_a_bucket_for_each_of_its_limits() -> None:
    limited = rules(
        {"key": "*", "requests_per_minute": 10, "burst_requests": 3, "tokens_per_minute": 500,
         "concurrency": 2}
    )  # fmt: skip
    about = ("rules[0]", "key k_1")
    assert limited.at_admission(call(), plan()) == [
        (Bucket("key=*k_1 requests", "requests", 3, 10, *about), 1),
        (Bucket("key=*k_1 concurrency", "concurrency", 2, 0, *about), 1),
        (Bucket("key=*k_1 tokens", "tokens", 500, 500, *about), RESERVED),
    ]


@pytest.mark.parametrize(
    ("rule", "concerned"),
    [
        ({}, True),
        ({"key": "k_1"}, True),
        ({"key": "k_2"}, False),
        ({"project": "*"}, True),
        ({"user": "*"}, False),  # the call names none
        ({"project": "ya", "task": "draft"}, True),
        ({"project": "ya", "task": "polish"}, False),
        ({"tenant": "studio"}, True),
    ],
)
def test_a_rule_concerns_the_calls_that_match_all_of_it(
    rule: dict[str, Any], concerned: bool
) -> None:
    found = rules({**rule, "concurrency": 1}).at_admission(
        call(project="ya", tenant="studio"), plan("draft")
    )
    assert bool(found) is concerned


def test_each_value_of_a_star_has_a_bucket_of_its_own_and_a_name_has_another() -> None:
    limited = rules({"user": "*", "concurrency": 1}, {"user": "ann", "concurrency": 2})
    assert names(limited.at_admission(call(user="ann"), plan())) == [
        "user=*ann concurrency",
        "user=ann concurrency",
    ]
    assert names(limited.at_admission(call(user="bo"), plan())) == ["user=*bo concurrency"]


def test_a_name_cannot_pass_for_another_subject() -> None:
    limited = rules({"project": "*", "user": "*", "concurrency": 1})
    one = limited.at_admission(call(project="a user=*b", user="c"), plan())
    other = limited.at_admission(call(project="a", user="b user=*c"), plan())
    assert names(one) != names(other)
    assert " user=*b" not in names(one)[0].removesuffix(" user=*c concurrency")


def test_rules_are_asked_where_all_their_subjects_are_known() -> None:
    limited = rules(
        {"key": "*", "requests_per_minute": 1},
        {"key": "*", "model": "writer", "requests_per_minute": 2},
        {"task": "draft", "target": "openai/gpt-9", "requests_per_minute": 3},
        {"model": "*", "requests_per_minute": 4},
        {"target": "openai/gpt-9", "tokens_per_minute": 5},
    )
    asked = call(), plan("draft")
    assert names(limited.at_admission(*asked)) == ["key=*k_1 requests"]
    assert names(limited.at_target(*asked, TARGET)) == [
        "key=*k_1 model=writer requests",
        "task=draft target=openai%2Fgpt-9 requests",
    ]
    assert [(bucket.name, amount) for bucket, amount in limited.of_target(TARGET, 77)] == [
        ("model=*writer requests", 1),
        ("target=openai%2Fgpt-9 tokens", 77),
    ]


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    limited = rules({"user": "*", "concurrency": 1})
    for number in range(MAX_KNOWN + 10):
        limited.at_admission(call(user=f"u{number}"), plan())
    assert len(limited._at_admission._known) <= MAX_KNOWN


def test_names_that_no_rule_asks_for_are_not_remembered() -> None:
    limited = rules({"project": "*", "concurrency": 1})
    for number in range(50):
        limited.at_admission(call(user=f"u{number}", project="ya"), plan())
    assert len(limited._at_admission._known) == 1


# What is reserved


def reserved(body: dict[str, Any], body_bytes: int, cap: int | None, endpoint: str = "chat") -> int:
    asked = call()._replace(body=body, body_bytes=body_bytes, endpoint=endpoint)
    return Reserve(lambda body: 1111).tokens(asked, plan()._replace(max_output_tokens=cap))


def test_a_reserve_is_the_body_s_size_and_the_cap() -> None:
    assert reserved({}, 400, 1000) == 101 + 1000


def test_a_reserve_without_a_cap_is_a_round_figure() -> None:
    assert reserved({}, 400, None) == 101 + 1024


def test_each_answer_that_is_asked_for_counts() -> None:
    assert reserved({"n": 3}, 400, 100) == 101 + 300


def test_a_large_body_is_counted() -> None:
    assert reserved({}, 1_000_000, 100) == 1111 + 100


def test_embeddings_have_no_answer_to_reserve_for() -> None:
    assert reserved({}, 4000, 100, "embeddings") == 1001


EVERYTHING = {
    "key": "*", "requests_per_minute": 10, "tokens_per_minute": 500, "concurrency": 2,
}  # fmt: skip


def kinds(found: Any) -> list[str]:
    return [bucket.kind for bucket, _ in found]


def test_a_call_that_is_cut_takes_its_place_and_each_part_a_request_and_tokens() -> None:
    limited, part = rules(EVERYTHING), plan()._replace(part=1)
    whole = plan()._replace(parts=(Part(call(), part), Part(call(), part._replace(part=2))))
    assert kinds(limited.at_admission(call(), whole)) == ["concurrency"]
    taken = limited.at_admission(call(), part)
    assert kinds(taken) == ["requests", "tokens"]
    assert [amount for _, amount in taken] == [1, RESERVED]


def test_a_part_is_counted_in_the_same_buckets_as_any_call() -> None:
    limited = rules(EVERYTHING)
    ordinary = names(limited.at_admission(call(), plan()))
    part = names(limited.at_admission(call(), plan()._replace(part=1)))
    assert part == [name for name in ordinary if "concurrency" not in name]


def test_a_part_takes_of_the_limits_on_its_target_what_any_call_takes() -> None:
    limited = rules({**EVERYTHING, "model": "writer"})
    part = plan()._replace(part=1)
    assert limited.at_target(call(), part, TARGET) == limited.at_target(call(), plan(), TARGET)
