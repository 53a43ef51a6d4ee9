"""The short form of ``make fuzz``: the same entry points, on known inputs and on bent ones."""

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .bending import bend
from .entry_points import ENTRY_POINTS, seeds

known = functools.cache(lambda name: list(seeds(name)))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_known_inputs(name):
    for data in known(name):
        ENTRY_POINTS[name](data)


PARTS = [b"null", b"[]", b"-1", b"1e999", b'"\\ud800"', b"\r", b"\n\n", b"[" * 300, b"\xff"]


@st.composite
def spliced(draw, name):
    """A known input with a piece taken out, doubled, or replaced."""
    data = draw(st.sampled_from(known(name)))
    start = draw(st.integers(0, len(data)))
    end = start + draw(st.integers(0, 12))
    doubled = st.just(data[start:end] * 2)
    middle = draw(st.binary(max_size=6) | doubled | st.sampled_from(PARTS))
    return data[:start] + middle + data[end:]


@st.composite
def bent(draw, name):
    """A known input with values of its JSON changed."""
    data, random = draw(st.sampled_from(known(name))), draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 3))):
        data = bend(data, random)
    return data


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_changed_inputs(name):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bent(name) | spliced(name) | st.binary(max_size=60))
    def check(data):
        ENTRY_POINTS[name](data)

    check()
