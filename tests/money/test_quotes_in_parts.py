"""Quotes of calls that are cut: what the parts cost together, and what their hold would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from test_quotes import CHEAP, DEAR, YUAN, Desk, chat, in_order

from gateway.money.likely import PART_RULE
from gateway.quote import Asked, QuotedCall
from gateway.schema import Call, Part, Plan, Target

SCENE = "雨夜，便利店。林晚推门而入。"


class CuttingDesk(Desk):
    """Every scene is a part."""

    def plan(self, call: Call) -> Plan:
        plan = super().plan(call)
        scenes = call.body["messages"][0]["content"].split("\n")
        parts = [chat(call.model, scene) for scene in scenes]
        return plan._replace(
            parts=tuple(
                Part(part, plan._replace(body=part.body, part=number))
                for number, part in enumerate(parts, start=1)
            )
        )


def quoted(*scenes: str, route: tuple[Target, ...] = (CHEAP,), cap: int = 2_000) -> QuotedCall:
    desk = CuttingDesk({"draft": route}, cap=cap)
    (call,) = desk.quote(Asked(chat(content="\n".join(scenes)))).calls
    return call


@given(
    scenes=st.lists(st.text("雨夜x", min_size=1, max_size=300), min_size=1, max_size=6),
    route=st.lists(st.sampled_from([CHEAP, DEAR, YUAN]), min_size=1, unique=True).map(tuple),
    cap=st.integers(1, 5_000),
)
def test_the_most_is_the_hold_of_the_cut_call_and_its_lines_add_up(
    scenes: list[str], route: tuple[Target, ...], cap: int
) -> None:
    desk = CuttingDesk({"draft": route}, cap=cap)
    asked = Asked(chat(content="\n".join(scenes)))
    (call,) = desk.quote(asked).calls
    assert call.cost.max_nano == desk.held(asked.call).amount_nano
    for candidate in call.candidates:
        assert in_order(candidate.cost)
        assert sum(line.cost_nano for line in candidate.lines) == candidate.cost.max_nano


def test_every_figure_is_the_sum_over_the_parts() -> None:
    one, three = quoted(SCENE), quoted(SCENE, SCENE, SCENE)
    assert three.cost == one.cost.times(3)


def test_a_part_likely_writes_as_much_as_it_reads() -> None:
    (short,) = quoted(SCENE).candidates
    (long,) = quoted(SCENE * 200).candidates
    assert short.likely_by == PART_RULE
    assert long.cost.likely_nano > 20 * short.cost.likely_nano


def test_the_rule_of_a_cut_call_says_how_many_parts_there_are() -> None:
    (candidate,) = quoted(SCENE, SCENE).candidates
    assert candidate.likely_by.startswith("2 parts, about ")
    assert PART_RULE in candidate.likely_by
