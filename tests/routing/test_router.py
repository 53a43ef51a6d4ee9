"""The router: from a client's word to an ordered list of targets that can do what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import GatewayConfig
from gateway.contracts import RouteView
from gateway.errors import CallError, Outcome
from gateway.routing.catalog import build_catalog
from gateway.routing.classifier import Classifier
from gateway.routing.router import Router
from gateway.schema import BATCH, INTERACTIVE, Call, Caller, Plan, Target

CONFIG: dict[str, Any] = {
    "providers": {"paid": {}, "asleep": {}, "stage": {}},
    "auto": {"default_task": "draft"},
    "models": {
        "big": {"targets": ["paid/big-1", "paid/big-2"], "strategy": "backwards"},
        "seeing": {"targets": ["paid/eye-1"], "capabilities": ["chat", "vision", "json_object"]},
        "sleeping": {"targets": ["asleep/z"], "capabilities": ["chat", "tools"]},
        "numbers": {"targets": ["paid/emb"], "capabilities": ["embeddings"]},
        "understudy": {
            "targets": ["stage/writer"],
            "capabilities": ["chat", "tools", "json_object", "embeddings"],
        },
    },
    "tasks": {
        "draft": {
            "models": ["understudy", "big"],
            "strategy": "backwards",
            "parameters": {"temperature": 1.0, "top_p": 0.9},
            "max_output_tokens": 500,
            "deadline_s": 60,
        },
        "polish": {"models": ["big", "seeing"]},
        "extract": {
            "models": ["big", "seeing"],
            "parameters": {"response_format": {"type": "json_object"}},
        },
        "search": {"models": ["numbers"], "parameters": {"temperature": 0}, "max_output_tokens": 5},
    },
}
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.test/1.png"}}


class NoView:
    """A view for strategies that look at nothing."""

    def price_nano(self, target: Target) -> int:
        return 0

    def first_token_s(self, target: Target) -> float:
        return 0.0

    def random(self) -> float:
        return Random(1).random()


def backwards(targets: Sequence[Target], view: RouteView) -> list[Target]:
    return list(targets)[::-1]


def as_given(targets: Sequence[Target], view: RouteView) -> list[Target]:
    return list(targets)


def router(**changes: Any) -> Router:
    config = GatewayConfig.model_validate({**CONFIG, **changes})
    strategies = {"priority": as_given, "backwards": backwards}
    catalog = build_catalog(config, {"paid", "stage"}, {"stage"}, strategies)
    polishing = Classifier(["draft", "polish"], 0.6, {"polish": [-400, 400], "<sentence>": [0, 0]})
    return Router(catalog, NoView(), polishing)


def call(model: str, text: str = "hello", **body: Any) -> Call:
    return Call(
        id="req_1",
        endpoint="chat",
        caller=Caller("key_1"),
        model=model,
        body={"model": model, "messages": [{"role": "user", "content": text}], **body},
        body_bytes=100,
        started_at_s=0,
        received_s=0,
    )


def embedding(model: str, **body: Any) -> Call:
    body = {"model": model, "input": "hello", **body}
    return call(model)._replace(endpoint="embeddings", body=body)


def hinted(asked: Call, task: str) -> Call:
    return asked._replace(task_hint=task)


def names(plan: Plan) -> list[str]:
    return [target.name for target in plan.targets]


def refusal(asked: Call, **changes: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        router(**changes).plan(asked)
    return caught.value


# Names


def test_a_task_is_a_name_and_no_strategy_puts_a_stand_in_first() -> None:
    plan = router().plan(call("draft"))
    assert names(plan) == ["paid/big-2", "paid/big-1", "stage/writer"]
    assert (plan.reason, plan.task, plan.confidence) == ("task", "draft", None)


def test_a_model_is_a_name_and_has_its_strategy() -> None:
    plan = router().plan(call("big"))
    assert names(plan) == ["paid/big-2", "paid/big-1"]
    assert (plan.reason, plan.task) == ("model", None)


@pytest.mark.parametrize("name", ["paid/eye-1", "paid/seeing"])
def test_a_target_may_be_pinned(name: str) -> None:
    plan = router().plan(call(name))
    assert names(plan) == ["paid/eye-1"]
    assert plan.reason == "target"


def test_a_name_that_leads_nowhere_is_answered_with_near_ones() -> None:
    error = refusal(call("drift"))
    assert error.outcome is Outcome.UNKNOWN_MODEL
    assert error.param == "model"
    assert "'drift'. Did you mean draft" in error.message


def test_a_name_like_none_is_answered_with_where_to_look() -> None:
    message = refusal(call("x" * 5000)).message
    assert "GET /v1/models lists what there is." in message
    assert len(message) < 300


# Auto


@pytest.mark.parametrize(
    ("asked", "task", "reason"),
    [
        (hinted(call("auto"), "polish"), "polish", "auto-header"),
        (call("auto", metadata={"task": "polish"}), "polish", "auto-metadata"),
        (hinted(call("auto", metadata={"task": "draft"}), "polish"), "polish", "auto-header"),
        (hinted(call("auto", "polish this"), "draft"), "draft", "auto-header"),
        (call("auto", "please polish this."), "polish", "auto-classifier"),
        (call("auto", "what time is it?"), "draft", "auto-default"),
    ],
)
def test_auto_takes_the_surest_word_on_the_task(asked: Call, task: str, reason: str) -> None:
    plan = router().plan(asked)
    assert (plan.task, plan.reason) == (task, reason)


def test_auto_says_how_sure_the_classifier_was() -> None:
    sure = router().plan(call("auto", "please polish this.")).confidence
    unsure = router().plan(call("auto", "what time is it?")).confidence
    assert sure is not None
    assert unsure is not None
    assert 1 >= sure > 0.6 > unsure >= 0


def test_auto_without_a_default_says_what_to_do() -> None:
    error = refusal(call("auto", "what time is it?"), auto={})
    assert error.outcome is Outcome.UNKNOWN_MODEL
    assert "X-Daobo-Task, one of draft, polish" in error.message


def test_auto_asks_no_classifier_about_embeddings() -> None:
    plan = router(auto={"default_task": "search"}).plan(embedding("auto"))
    assert (names(plan), plan.reason, plan.confidence) == (["paid/emb"], "auto-default", None)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (hinted(call("auto"), "nothing"), None),
        (call("auto", metadata={"task": "nothing"}), "metadata.task"),
        (call("auto", metadata={"task": ["draft"]}), "metadata.task"),
        (call("big", metadata={"task": {}}), "metadata.task"),
    ],
)
def test_an_unknown_task_is_never_guessed_over(asked: Call, param: str | None) -> None:
    error = refusal(asked)
    assert (error.outcome, error.param) == (Outcome.INVALID_REQUEST, param)
    assert "there are draft, polish" in error.message


# What a task adds


def test_a_task_fills_in_what_the_client_left_out() -> None:
    plan = router().plan(call("draft", temperature=0.2))
    assert (plan.body["temperature"], plan.body["top_p"]) == (0.2, 0.9)
    assert plan.deadline_s == 60


def test_a_task_may_wait_behind_others_and_the_client_has_the_last_word() -> None:
    tasks = {"night": {"models": ["big"], "priority": "batch"}}
    planning = router(tasks={**CONFIG["tasks"], **tasks})
    assert planning.plan(call("draft")).priority == INTERACTIVE
    assert planning.plan(call("night")).priority == BATCH
    assert planning.plan(call("night")._replace(priority=INTERACTIVE)).priority == INTERACTIVE


def test_a_model_with_a_task_beside_it_stays_and_gets_the_rest() -> None:
    plan = router().plan(hinted(call("big"), "draft"))
    assert names(plan) == ["paid/big-2", "paid/big-1"]
    assert (plan.task, plan.max_output_tokens, plan.body["top_p"]) == ("draft", 500, 0.9)


def test_a_plan_never_changes_the_body_of_its_call() -> None:
    asked = call("draft", metadata={"task": "draft", "mood": "blue"})
    before = repr(asked.body)
    plan = router().plan(asked)
    assert repr(asked.body) == before
    assert plan.body["metadata"] == {"mood": "blue"}


@pytest.mark.parametrize(
    ("body", "cap", "warnings"),
    [
        ({}, 500, 0),
        ({"max_tokens": 20}, 20, 0),
        ({"max_tokens": 500}, 500, 0),
        ({"max_tokens": 501}, 500, 1),
        ({"max_completion_tokens": 9000}, 500, 1),
        ({"max_completion_tokens": 20, "max_tokens": 9000}, 20, 0),
    ],
)
def test_a_cap_lowers_and_says_so(body: Mapping[str, int], cap: int, warnings: int) -> None:
    plan = router().plan(call("draft", **body))
    assert plan.max_output_tokens == cap
    assert len(plan.warnings) == warnings


def test_without_a_task_the_client_decides() -> None:
    assert router().plan(call("big", max_tokens=9000)).max_output_tokens == 9000


def test_a_call_that_names_no_cap_gets_one_where_the_model_has_no_known_limit() -> None:
    assert router().plan(call("big")).max_output_tokens == 8192


def test_what_a_task_adds_to_chat_is_not_added_to_embeddings() -> None:
    plan = router().plan(embedding("search"))
    assert "temperature" not in plan.body
    assert plan.max_output_tokens is None


def test_a_field_of_chat_means_nothing_in_embeddings() -> None:
    plan = router().plan(embedding("search", max_tokens="many"))
    assert plan.max_output_tokens is None


# Capabilities


def test_targets_that_cannot_do_it_are_left_out_and_named() -> None:
    asked = call("polish")
    messages = [{"role": "user", "content": [{"type": "text", "text": "look"}, PICTURE]}]
    plan = router().plan(asked._replace(body={**asked.body, "messages": messages}))
    assert names(plan) == ["paid/eye-1"]
    assert plan.skipped == ("paid/big-1 cannot do vision", "paid/big-2 cannot do vision")


def test_what_a_task_asks_for_by_itself_counts_as_a_need() -> None:
    assert names(router().plan(call("extract"))) == ["paid/eye-1"]


def test_what_no_target_can_do_is_refused_with_those_that_can() -> None:
    error = refusal(call("big", tools=[{"type": "function", "function": {"name": "f"}}]))
    assert error.outcome is Outcome.UNSUPPORTED
    assert "paid/big-1 cannot do tools" in error.message
    assert "These can: understudy" in error.message or "draft" in error.message


def test_chat_with_a_model_for_embeddings_is_refused() -> None:
    error = refusal(call("numbers"))
    assert error.outcome is Outcome.UNSUPPORTED
    assert "paid/emb cannot do chat" in error.message


def test_embeddings_from_a_model_for_chat_are_refused() -> None:
    assert refusal(embedding("big")).outcome is Outcome.UNSUPPORTED


def test_a_sleeping_target_is_named_with_what_it_waits_for() -> None:
    error = refusal(call("sleeping"), rehearsal="never")
    assert error.outcome is Outcome.NO_TARGET
    assert "asleep/z waits for the key of its provider 'asleep'" in error.message


# Whatever is asked


@given(
    model=st.sampled_from(
        [*CONFIG["models"], *CONFIG["tasks"], "auto", "paid/big-1", "nobody", ""]
    ),
    hint=st.none() | st.sampled_from(["draft", "polish", "nothing", ""]),
    metadata=st.none() | st.dictionaries(st.sampled_from(["task", "x"]), st.text() | st.none()),
    tools=st.lists(st.just({}), max_size=1),
    text=st.text(max_size=20),
    is_chat=st.booleans(),
)
def test_a_call_gets_able_targets_or_an_error_that_a_client_understands(
    model: str,
    hint: str | None,
    metadata: dict[str, Any] | None,
    tools: list[Any],
    text: str,
    is_chat: bool,
) -> None:
    asked = call(model, text, metadata=metadata, tools=tools) if is_chat else embedding(model)
    try:
        plan = router().plan(asked._replace(task_hint=hint))
    except CallError as error:
        outcome = error.outcome
    else:
        outcome = Outcome.OK
        need = {"chat"} if is_chat else {"embeddings"}
        assert plan.targets
        assert all(need <= target.capabilities for target in plan.targets)
        order = [target.rehearsal for target in plan.targets]
        assert order == sorted(order)
    assert outcome.status in (200, 400, 404, 503)
