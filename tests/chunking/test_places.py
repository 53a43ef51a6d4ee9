"""Places for parts: bounded for the process, and shared in turn."""

from __future__ import annotations

import asyncio

import pytest

from gateway.chunking.answering.places import Places
from gateway.errors import CallError, Outcome


class Hall:
    """Parts that come in and stay until they are told to leave."""

    def __init__(self, places: int) -> None:
        self.places = Places(places)
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}

    async def part(self, call: str, name: str) -> None:
        door = self.doors[name] = asyncio.Event()
        async with self.places.one_of(call, 60.0):
            self.inside.append(name)
            await door.wait()

    async def let_out(self, name: str) -> None:
        self.doors[name].set()
        await settle()


async def settle() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_parts_are_under_way_than_there_are_places() -> None:
    hall = Hall(2)
    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(hall.part("one", name))
        await settle()
        assert hall.inside == ["a", "b"]
        await hall.let_out("a")
        assert hall.inside == ["a", "b", "c"]
        await hall.let_out("b")
        await hall.let_out("c")


async def test_calls_that_wait_get_places_in_turn() -> None:
    hall = Hall(1)
    async with asyncio.TaskGroup() as group:
        for name in ("a1", "a2", "a3", "a4"):
            group.create_task(hall.part("a", name))
        await settle()
        for name in ("b1", "b2"):
            group.create_task(hall.part("b", name))
        await settle()
        for name in ("a1", "a2", "b1", "a3", "b2", "a4"):
            assert hall.inside[-1] == name
            await hall.let_out(name)
    assert hall.inside == ["a1", "a2", "b1", "a3", "b2", "a4"]


async def test_a_part_that_leaves_the_queue_leaves_no_hole() -> None:
    hall = Hall(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(hall.part("a", "first"))
        await settle()
        gone = group.create_task(hall.part("a", "gone"))
        await settle()
        gone.cancel()
        group.create_task(hall.part("b", "last"))
        await settle()
        await hall.let_out("first")
        assert hall.inside == ["first", "last"]
        await hall.let_out("last")


@pytest.mark.parametrize("steps", range(6))
async def test_a_place_given_to_one_who_leaves_at_that_moment_is_passed_on(steps: int) -> None:
    hall = Hall(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(hall.part("a", "first"))
        await settle()
        gone = group.create_task(hall.part("b", "gone"))
        await settle()
        group.create_task(hall.part("c", "last"))
        await settle()
        hall.doors["first"].set()
        for _ in range(steps):
            await asyncio.sleep(0)
        gone.cancel()
        await settle()
        assert hall.inside[-1] == "last"
        await hall.let_out("last")


async def test_a_call_whose_time_is_over_waits_no_longer() -> None:
    places = Places(1)
    async with places.one_of("first", 60.0):
        with pytest.raises(CallError) as refused:
            async with places.one_of("second", 0.01):
                pass
        assert refused.value.outcome is Outcome.OVERLOADED
    async with asyncio.timeout(1), places.one_of("third", 60.0):
        """The place did not go to the one that had left."""
