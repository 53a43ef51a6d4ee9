import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing import EventSplitter, parse_event

EVENTS = [
    b'data: {"a":1}\n\n',
    b"data: one\r\ndata: two\r\n\r\n",
    b"event: ping\ndata: {}\n\n",
    b": comment\n\n",
    b"data: cr\r\r",
    b"data:no space\n\n",
    "data: 你好，世界\n\n".encode(),
]


@given(
    st.lists(st.sampled_from(EVENTS), max_size=8),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_events_are_the_same_however_the_bytes_are_cut(events, cuts):
    stream = b"".join(events)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    splitter = EventSplitter()
    got = [
        event
        for start, end in itertools.pairwise(edges)
        for event in splitter.feed(stream[start:end])
    ]
    got += splitter.flush()
    assert [event.data for event in got] == [parse_event(raw).data for raw in events]


def test_an_event_keeps_its_raw_bytes_and_its_name():
    [event] = EventSplitter().feed(b"event: error\ndata: {}\n\n")
    assert event == (b"event: error\ndata: {}\n\n", b"{}", "error")


def test_a_last_event_without_its_blank_line_is_not_lost():
    splitter = EventSplitter()
    assert splitter.feed(b"data: tail") == []
    [event] = splitter.flush()
    assert event.raw == b"data: tail\n\n"
    assert splitter.flush() == []


@pytest.mark.parametrize("raw", [b"data: a\ndata: b\n\n", b"data: a\r\ndata: b\r\n\r\n"])
def test_data_lines_are_joined_with_a_newline(raw):
    assert parse_event(raw).data == b"a\nb"


def test_a_large_event_in_small_pieces_is_not_copied_for_each_of_them():
    event = b"data: " + b"x" * 2_000_000 + b"\n\n"
    splitter = EventSplitter()
    began_s = time.perf_counter()
    got = [e for at in range(0, len(event), 64) for e in splitter.feed(event[at : at + 64])]
    assert time.perf_counter() - began_s < 1.0
    assert [e.raw for e in got] == [event]
