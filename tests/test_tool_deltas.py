"""Tool calls of upstreams with an accent, put together by the SDK that most clients use."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from gateway.errors import CallError, Outcome
from gateway.tool_deltas import MAX_CALLS, ToolDeltas


def put_together(pieces, cumulative=False):
    """What openai-python makes of the pieces once they are mended."""
    deltas, calls = ToolDeltas("c1", cumulative), {}
    for piece in pieces:
        deltas.mend(piece)
        calls = accumulate_delta(calls, {"tool_calls": [piece]})
    return [
        (call["id"], call["type"], call["function"]["name"], call["function"]["arguments"])
        for call in calls.get("tool_calls", [])
    ]


def piece(arguments=None, **fields):
    function = {"name": fields.pop("name")} if "name" in fields else {}
    if arguments is not None:
        function["arguments"] = arguments
    return {**fields, "function": function}


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["weather", "daylight"]),
        st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), max_size=3).map(json.dumps),
    ),
    min_size=1,
    max_size=4,
)
CUTS = st.lists(st.integers(1, 30), min_size=1, max_size=4)
ACCENTS = st.fixed_dictionaries(
    {
        "index": st.sampled_from(["right", "from one", "none"]),
        "repeats": st.booleans(),
        "cumulative": st.booleans(),
    }
)


def spoken(calls, cuts, accent):
    """The deltas of an upstream with an accent."""
    for number, (name, arguments) in enumerate(calls):
        edges = [0, *sorted(cut % (len(arguments) + 1) for cut in cuts), len(arguments)]
        for step, (start, end) in enumerate(itertools.pairwise(edges)):
            said = arguments[:end] if accent["cumulative"] else arguments[start:end]
            yield {
                **({} if accent["index"] == "none" else {"index": number + _first(accent)}),
                **({"id": f"call_{number}", "type": "function"} if _tells(step, accent) else {}),
                "function": {
                    **({"name": name} if _tells(step, accent) else {}),
                    "arguments": said,
                },
            }


def _first(accent):
    return 1 if accent["index"] == "from one" else 0


def _tells(step, accent):
    return step == 0 or accent["repeats"]


@given(CALLS, CUTS, ACCENTS)
def test_calls_come_out_as_they_were_meant(calls, cuts, accent):
    pieces = list(spoken(calls, cuts, accent))
    assert put_together(pieces, accent["cumulative"]) == [
        (f"call_{number}", "function", name, arguments)
        for number, (name, arguments) in enumerate(calls)
    ]


@given(CALLS, CUTS)
def test_pieces_that_are_right_are_not_touched(calls, cuts):
    deltas = ToolDeltas("c1", cumulative=False)
    accent = {"index": "right", "repeats": False, "cumulative": False}
    changed = [deltas.mend(said) for said in spoken(calls, cuts, accent)]
    assert not any(changed)


def test_a_call_without_an_id_gets_one_of_its_own():
    said = [piece("{}", name="weather"), piece("{}", name="weather"), piece("", name="daylight")]
    assert [call[0] for call in put_together(said)] == ["call_c1_0", "call_c1_1", "call_c1_2"]


def test_arguments_that_are_no_text_become_some():
    assert put_together([piece({"city": "上海"}, name="weather", id="a")]) == [
        ("a", "function", "weather", '{"city":"上海"}')
    ]


def test_a_new_id_with_each_piece_is_dropped():
    said = [piece('{"a":', index=0, id="x", name="weather"), piece("1}", index=0, id="y")]
    assert put_together(said) == [("x", "function", "weather", '{"a":1}')]


def test_a_name_in_pieces_is_one_name():
    said = [piece("", index=0, id="x", name="wea"), piece("{}", index=0, name="ther")]
    assert put_together(said) == [("x", "function", "weather", "{}")]


def test_calls_without_end_are_refused():
    said = [piece("{}", id=str(number), name="weather") for number in range(MAX_CALLS + 1)]
    with pytest.raises(CallError) as failure:
        put_together(said)
    assert failure.value.outcome is Outcome.UPSTREAM_GARBLED
