"""The catalog: which names there are, which targets they lead to, and what the listing says."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import GatewayConfig
from gateway.routing.catalog import Catalog, Route, build_catalog
from gateway.routing.listing import build_listing
from gateway.routing.strategies import cheapest, priority
from gateway.schema import Capability, Target

STRATEGIES = {"priority": priority, "cheapest": cheapest}
CONFIG: dict[str, Any] = {
    "providers": {"paid": {}, "asleep": {}, "stage": {}},
    "rehearsal_model": "stand-in",
    "auto": {"default_task": "draft"},
    "models": {
        "big": {
            "targets": ["paid/big-1", "asleep/big-2"],
            "context_tokens": 1000,
            "max_output_tokens": 100,
            "capabilities": ["chat", "tools"],
            "weights": {"paid/big-1": 7},
        },
        "small": {"targets": ["paid/small-1"], "strategy": "cheapest"},
        "painter": {"targets": ["asleep/paint-1"], "capabilities": ["image"]},
        "stand-in": {
            "targets": ["stage/writer"],
            "capabilities": ["chat", "tools", "json_object", "embeddings"],
        },
        "understudy": {"targets": ["stage/other"]},
    },
    "tasks": {
        "draft": {
            "models": ["big", "small", "big"],
            "parameters": {"temperature": 1},
            "max_output_tokens": 50,
            "deadline_s": 60,
        },
        "staged": {"models": ["small", "understudy"]},
    },
}


def catalog(rehearsal: str = "fallback", live: tuple[str, ...] = ("paid", "stage")) -> Catalog:
    config = GatewayConfig.model_validate({**CONFIG, "rehearsal": rehearsal})
    return build_catalog(config, live, {"stage"}, STRATEGIES)


def live_names(route: Route) -> list[str]:
    return [target.name for target in route.targets]


def test_a_model_leads_to_its_targets_with_what_is_known_of_them() -> None:
    (target, *_) = catalog("never").models["big"].targets
    assert target == Target(
        "paid",
        "big-1",
        "big",
        frozenset({Capability.CHAT, Capability.TOOLS}),
        context_tokens=1000,
        max_output_tokens=100,
        weight=7,
    )


def test_targets_whose_provider_sleeps_are_kept_apart() -> None:
    route = catalog("never").models["big"]
    assert live_names(route) == ["paid/big-1"]
    assert [target.name for target in route.dormant] == ["asleep/big-2"]
    assert route.dormant[0].weight == 1


def test_a_task_is_the_ladder_of_its_models_without_repetition() -> None:
    assert live_names(catalog("never").tasks["draft"]) == ["paid/big-1", "paid/small-1"]


def test_a_task_has_rules_and_the_catalog_its_default() -> None:
    rules = catalog().rules["draft"]
    assert (rules.max_output_tokens, rules.deadline_s) == (50, 60)
    assert rules.parameters == {"temperature": 1}
    assert catalog().default_task == "draft"


def test_each_route_has_its_own_strategy() -> None:
    assert catalog().models["small"].strategy is cheapest
    assert catalog().models["big"].strategy is priority


def test_an_upstream_id_may_contain_slashes() -> None:
    config = GatewayConfig.model_validate({"models": {"m": {"targets": ["hub/org/model:v1"]}}})
    (target,) = build_catalog(config, {"hub"}, set(), STRATEGIES).models["m"].targets
    assert (target.provider, target.model) == ("hub", "org/model:v1")


# Stand-ins


def test_a_stand_in_comes_behind_every_live_target() -> None:
    route = catalog("fallback").tasks["draft"]
    assert live_names(route) == ["paid/big-1", "paid/small-1", "stage/writer"]


def test_a_task_that_names_its_stand_in_gets_that_one() -> None:
    assert live_names(catalog("fallback").tasks["staged"]) == ["paid/small-1", "stage/other"]


def test_no_stand_in_where_rehearsal_is_switched_off() -> None:
    assert live_names(catalog("never").tasks["staged"]) == ["paid/small-1"]


def test_only_stand_ins_where_everything_is_rehearsed() -> None:
    assert live_names(catalog("always").tasks["draft"]) == ["stage/writer"]


def test_a_stand_in_says_for_whom_and_can_do_no_more() -> None:
    (stand_in,) = catalog("always").models["big"].targets
    assert stand_in.rehearsal
    assert stand_in.stands_for is not None
    assert stand_in.stands_for.name == "paid/big-1"
    assert stand_in.capabilities == {Capability.CHAT, Capability.TOOLS}


def test_nothing_stands_in_for_what_it_cannot_do() -> None:
    assert catalog("always").models["painter"].targets == ()


@pytest.mark.parametrize("rehearsal", ["never", "fallback", "always"])
def test_a_stand_in_asked_for_by_name_answers_for_itself(rehearsal: str) -> None:
    (target,) = catalog(rehearsal).models["stand-in"].targets
    assert target.name == "stage/writer"
    assert target.stands_for is None
    assert Capability.EMBEDDINGS in target.capabilities


# Pinned targets


def test_a_target_may_be_pinned_by_either_of_its_names() -> None:
    targets = catalog("never").targets
    assert live_names(targets["paid/big-1"]) == live_names(targets["paid/big"]) == ["paid/big-1"]


def test_a_pinned_target_may_be_asleep() -> None:
    route = catalog("never").targets["asleep/big-2"]
    assert route.targets == ()
    assert [target.name for target in route.dormant] == ["asleep/big-2"]


def test_every_configured_target_is_known_once() -> None:
    found = sorted(t.name for t in catalog("never").all_targets() if not t.stands_for)
    assert found == [
        "asleep/big-2",
        "asleep/paint-1",
        "paid/big-1",
        "paid/small-1",
        "stage/other",
        "stage/writer",
    ]


# The listing


def listing() -> dict[str, dict[str, Any]]:
    config = GatewayConfig.model_validate(CONFIG)
    found = build_catalog(config, ("paid", "stage"), {"stage"}, STRATEGIES)
    return build_listing(config, found, lambda target: {"of": target.name}, created_s=5)


def test_the_listing_has_tasks_then_models_then_auto() -> None:
    assert list(listing()) == [*CONFIG["tasks"], *CONFIG["models"], "auto"]


def test_an_entry_is_an_openai_model_object() -> None:
    entry = listing()["big"]
    assert {key: entry[key] for key in ("id", "object", "created", "owned_by")} == {
        "id": "big",
        "object": "model",
        "created": 5,
        "owned_by": "daobo",
    }


def test_an_entry_shows_its_ladder_with_what_sleeps_and_what_it_costs() -> None:
    ladder = listing()["big"]["daobo"]["ladder"]
    assert [(step["target"], step["live"], step["rehearsal"]) for step in ladder] == [
        ("paid/big-1", True, False),
        ("stage/writer", True, True),
        ("asleep/big-2", False, False),
    ]
    assert ladder[0]["price"] == {"of": "paid/big-1"}


def test_an_entry_says_what_it_resolves_to_and_can_do() -> None:
    details = listing()["draft"]["daobo"]
    assert details["kind"] == "task"
    assert details["resolves_to"] == "paid/big-1"
    assert details["models"] == ["big", "small", "big"]
    assert details["max_output_tokens"] == 50
    assert details["capabilities"] == ["chat", "tools"]
    assert details["rehearsal"] is False


def test_an_entry_that_nobody_serves_resolves_to_nothing() -> None:
    details = listing()["painter"]["daobo"]
    assert details["resolves_to"] is None
    assert [step["live"] for step in details["ladder"]] == [False]
