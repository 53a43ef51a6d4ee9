"""With a model that gives back what it gets, a script that was cut is the script: byte for byte."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from tests.chunking import scripts
from tests.chunking.scripts import STYLES

from .stage import BUDGETS, POOLS, Stage, echo_task

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATE_S = 0.004
ENGLISH = {"english", "fountain", "numbered fountain"}
PROSE = "她说那年的雪下得很早，屋檐下的灯一直亮到天明。没有人知道信是谁寄来的，也没有人问。\n"


@dataclass(frozen=True)
class Way:
    """How a script is cut and asked for."""

    budget_tokens: int
    with_context: bool
    pool: int
    stream: bool

    def __str__(self) -> str:
        task = echo_task(self.budget_tokens, self.with_context, self.pool)
        return f"{task}-{'stream' if self.stream else 'json'}"


WAYS = [Way(*each) for each in itertools.product(BUDGETS, (True, False), POOLS, (True, False))]


def write_script(style: str, newline: str = "\n") -> str:
    """Of some 6,000 tokens: more than the largest budget."""
    chars = 1200 if style in ENGLISH else 320
    return scripts.write_script(style, episodes=4, scenes=6, scene_chars=chars, newline=newline)


SCRIPTS: dict[str, str] = {
    **{style: write_script(style) for style in STYLES},
    "windows newlines": write_script("spaced", newline="\r\n"),
    "old newlines": write_script("spaced", newline="\r"),
    "byte order mark": "\ufeff" + write_script("bold"),
    "no final newline": write_script("hanzi").rstrip("\n"),
    "blank lines at both ends": f"\n\n  \n{write_script('tight')}\n\n\t\n",
    "odd characters": write_script("comma").replace("，", "，\u200b\u3000𠮷🎬\t", 40),
    "no script": PROSE * 150,
    "one line": PROSE.strip() * (100_000 // len(PROSE)),
}
LONG = {"one line"}


def covering() -> list[tuple[str, Way]]:
    """Each script in one way, and each way with some script."""
    long = [way for way in WAYS if way.budget_tokens == max(BUDGETS)]
    turns = itertools.cycle(WAYS)
    return [(name, long[0] if name in LONG else next(turns)) for name in SCRIPTS]


def others() -> list[tuple[str, Way]]:
    chosen = set(covering())
    return [each for each in itertools.product(SCRIPTS, WAYS) if each not in chosen]


def cases() -> list[object]:
    return [
        *(pytest.param(name, way, id=f"{name}-{way}") for name, way in covering()),
        *(
            pytest.param(name, way, id=f"{name}-{way}", marks=pytest.mark.soak)
            for name, way in others()
        ),
    ]


@pytest.mark.parametrize(("name", "way"), cases())
async def test_an_echo_comes_back_whole(name: str, way: Way, stage: Stage) -> None:
    script = SCRIPTS[name]
    stage.upstream.answer_late(seed=len(name), up_to_s=LATE_S)
    reply = await stage.ask(
        script,
        model=echo_task(way.budget_tokens, way.with_context, way.pool),
        stream=way.stream,
        headers={"x-daobo-chunking": "force"},
    )
    assert reply.error is None
    assert reply.text == script
    assert reply.finish_reason == "stop"
    assert set(reply.results) == {"answered"}
    assert reply.flagged == []
    assert len(reply.parts) == len(stage.upstream.asked) > 1
    assert stage.upstream.most_at_once <= way.pool
    assert sum(len(asked.text) for asked in stage.upstream.asked) == len(script)


async def test_every_way_of_cutting_is_tried_in_the_short_run() -> None:
    assert {way for _, way in covering()} == set(WAYS)
