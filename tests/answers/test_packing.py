"""Kept answers as bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.packing import pack, unpack
from gateway.kept import Kept
from gateway.schema import Target

from .asked import kept

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
KEPT = st.builds(
    Kept,
    made_s=st.floats(0, 4e9),
    stream=st.booleans(),
    body=st.binary(max_size=50),
    target=st.builds(Target, TEXT, TEXT, TEXT, rehearsal=st.booleans()),
    finish_reason=st.none() | TEXT,
    chunks=st.integers(0, 10**6),
    currency=st.sampled_from([None, "CNY", "USD"]),
    list_cost_nano=st.integers(0, 10**15),
    dropped=st.lists(TEXT, max_size=3).map(tuple),
)


@given(KEPT)
def test_an_answer_comes_back_as_it_was(answer: Kept) -> None:
    assert unpack(pack(answer)) == answer


@given(st.binary(max_size=60))
def test_bytes_that_are_no_answer_are_none(data: bytes) -> None:
    assert unpack(data) is None


@pytest.mark.parametrize("cut", [0, 1, 20, 60])
def test_an_answer_that_lost_its_end_is_none(cut: int) -> None:
    assert unpack(pack(kept())[:cut]) is None
