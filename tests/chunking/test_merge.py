"""Texts come out in the order of the script, whatever the order in which they are decided."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.merge import Ordering, pieces_of


async def read(ordering: Ordering) -> list[str]:
    texts = []
    while (text := await ordering.next()) is not None:
        texts.append(text)
    return texts


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_any_order_of_deciding_gives_the_order_of_the_script(lengths: list[int], random) -> None:  # type: ignore[no-untyped-def]
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    stretches = list(zip(starts, lengths, strict=True))
    shuffled = random.sample(stretches, len(stretches))

    async def run() -> list[str]:
        ordering = Ordering(sum(lengths))
        reading = asyncio.ensure_future(read(ordering))
        for start, length in shuffled:
            ordering.decide(start, start + length, str(start))
            await asyncio.sleep(0)
        return await reading

    assert asyncio.run(run()) == [str(start) for start in starts]


async def test_what_is_decided_leaves_while_what_is_behind_it_is_open() -> None:
    ordering = Ordering(30)
    ordering.decide(20, 30, "third")
    ordering.decide(0, 10, "first")
    assert await ordering.next() == "first"
    second = asyncio.ensure_future(ordering.next())
    await asyncio.sleep(0)
    assert not second.done()
    ordering.decide(10, 20, "second")
    assert [await second, await ordering.next(), await ordering.next()] == ["second", "third", None]


@given(st.text(), st.integers(1, 7))
def test_pieces_join_to_the_text(text: str, size: int) -> None:
    pieces = list(pieces_of(text, size))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)
