"""A call that asks again for what was answered pays only for what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answer_archive import PartArchive
from gateway.answers.memory import MemoryKeeper
from gateway.chunking.answering.kept_parts import KeptPart, Text, pack, unpack
from gateway.config_chunking import ChunkingConfig
from gateway.errors import CallError, Outcome
from gateway.schema import PartCounts, Target

from .part_house import BUDGET_TOKENS, FIRST, Asked, House, Said, echo
from .scripts import write_script

SCRIPT = write_script("mixed", episodes=2)


@st.composite
def texts(draw: st.DrawFn) -> tuple[Text, ...]:
    points = sorted(draw(st.sets(st.integers(0, 100), max_size=12)))
    pairs = zip(points[::2], points[1::2], strict=False)
    return tuple((start, end, draw(st.text())) for start, end in pairs)


@given(texts())
def test_what_is_kept_comes_back_as_it_was(found: tuple[Text, ...]) -> None:
    part = KeptPart(Target("studio", "m-1", "m"), "m-1-real", found)
    assert unpack(pack(part), 100) == part


@given(st.binary() | st.text().map(str.encode))
def test_bytes_that_are_something_else_are_nothing(value: bytes) -> None:
    assert unpack(value, 100) is None


def test_texts_that_do_not_fit_the_part_are_nothing() -> None:
    part = KeptPart(FIRST, "", ((0, 10, "a"), (5, 20, "b")))
    assert unpack(pack(part), 100) is None
    assert unpack(pack(part._replace(texts=((0, 10, "a"),))), 9) is None


class Archive:
    """A keeper as a process has it, for a test."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.keeper = MemoryKeeper(lambda: self.now_s, 1 << 20)
        self.store = PartArchive(self.keeper, lambda: 0.0)

    def house(self, **more: object) -> House:
        return House(store=self.store, **more)  # type: ignore[arg-type]


async def test_the_same_script_again_is_answered_without_sending_anything() -> None:
    archive = Archive()
    await archive.house().answer(SCRIPT)
    again = archive.house()
    reader = await again.answer(SCRIPT, stream=True, include_usage=True)
    assert (reader.text, again.asked) == (SCRIPT, [])
    assert reader.journey is not None
    assert reader.journey.parts == PartCounts(kept=len(reader.facts["parts"]))
    assert reader.journey.target is not None
    assert reader.journey.target.name == FIRST.name
    assert reader.chunks[0]["model"] == "m-1-real"
    assert reader.chunks[-1]["usage"]["total_tokens"] == 0


async def test_what_had_no_answer_is_asked_for_and_nothing_else() -> None:
    def fails(asked: Asked) -> Said | CallError:
        failed = CallError(Outcome.UPSTREAM_FAILED, "500")
        return failed if asked.number == 2 else echo(asked)

    archive = Archive()
    first = await archive.house(model=fails).answer(SCRIPT)
    assert first.facts["flagged"]
    again = archive.house()
    reader = await again.answer(SCRIPT)
    assert [asked.number for asked in again.asked] == [2]
    assert reader.facts["flagged"] == []
    assert reader.journey is not None
    assert reader.journey.parts == PartCounts(kept=len(reader.facts["parts"]) - 1, answered=1)


async def test_of_a_part_that_was_answered_in_part_only_the_rest_is_asked_for() -> None:
    tried: list[str] = []

    def cut_short(asked: Asked) -> Said | CallError:
        tried.append(asked.text)
        if len(tried) == 1:
            return Said(asked.text[: len(asked.text) // 2], "length")
        return CallError(Outcome.UPSTREAM_FAILED, "500")

    config = ChunkingConfig(mode="map", budget_tokens=4000)
    archive = Archive()
    script = write_script("mixed", episodes=2, scene_chars=150)
    await archive.house(model=cut_short, config=config).answer(script)
    again = archive.house(config=config)
    reader = await again.answer(script)
    assert reader.text == script
    assert len(again.asked) == 1
    assert script.endswith(again.asked[0].text)
    assert len(again.asked[0].text) < len(script)


async def test_words_in_front_that_an_answer_leaves_out_are_kept_as_left_out() -> None:
    front = "请润色下面的剧本，对白更短。"

    def without_front(asked: Asked) -> Said:
        return Said(asked.text.removeprefix(front).lstrip("\n"))

    archive = Archive()
    script = f"{front}\n\n{SCRIPT[SCRIPT.index('第1集') :]}"
    first = await archive.house(model=without_front).answer(script)
    assert first.text.startswith("第1集")
    again = archive.house()
    reader = await again.answer(script)
    assert (reader.text, again.asked) == (first.text, [])


async def test_a_client_that_wants_nothing_kept_gets_nothing_kept() -> None:
    archive = Archive()
    await archive.house().answer(SCRIPT, cache=False)
    assert len(archive.keeper) == 0
    await archive.house().answer(SCRIPT)
    again = archive.house()
    await again.answer(SCRIPT, cache=False)
    assert again.asked


@pytest.mark.parametrize(
    "change",
    [
        {"targets": (Target("studio", "m-9", "m", context_tokens=8192),)},
        {"config": ChunkingConfig(mode="map", budget_tokens=BUDGET_TOKENS + 50)},
    ],
    ids=["other targets", "other cuts"],
)
async def test_what_asks_something_else_finds_nothing(change: dict[str, object]) -> None:
    archive = Archive()
    await archive.house().answer(SCRIPT)
    other = archive.house(**change)
    reader = await other.answer(SCRIPT)
    assert len(other.asked) >= len(reader.facts["parts"]) - 1


async def test_another_tenant_finds_nothing() -> None:
    archive = Archive()
    await archive.house().answer(SCRIPT)
    other = archive.house()
    caller = other.cut(SCRIPT).call.caller._replace(tenant="rival")
    reader = await other.answer(SCRIPT, caller=caller)
    assert len(other.asked) == len(reader.facts["parts"])


async def test_nothing_is_kept_longer_than_it_may_be() -> None:
    archive = Archive()
    await archive.house().answer(SCRIPT)
    archive.now_s = 3600.0
    again = archive.house()
    await again.answer(SCRIPT)
    assert again.asked


async def test_what_a_stand_in_wrote_is_not_kept() -> None:
    archive = Archive()
    stand_in = Target("rehearsal", "echo", "m", context_tokens=8192, rehearsal=True)
    await archive.house(targets=(stand_in,)).answer(SCRIPT)
    assert len(archive.keeper) == 0


class Broken:
    """A store that fails."""

    async def get(self, key: str) -> bytes | None:
        raise OSError("no such store")

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        raise OSError("no such store")


async def test_a_store_that_fails_fails_no_call_and_is_reported() -> None:
    house = House(store=Broken())
    reader = await house.answer(SCRIPT)
    assert reader.text == SCRIPT
    assert set(house.problems) == {
        "an answer to a part could not be looked for",
        "an answer to a part could not be kept",
    }
