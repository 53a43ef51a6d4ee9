"""A stream that is kept for a client who wanted a whole answer."""

import orjson
import pytest

from gateway.errors import CallError, Outcome
from gateway.folded import FoldingClient


def chunk(text):
    return (
        b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) + b"\n\n"
    )


def test_events_may_come_in_any_pieces():
    folding = FoldingClient(1000)
    for piece in (chunk("雨") + b": comment\n", b"\n", chunk("夜")):
        assert folding.write(piece)
    assert orjson.loads(folding.answer())["choices"][0]["message"]["content"] == "雨夜"


def test_more_than_its_room_is_refused_then_and_at_the_end():
    folding = FoldingClient(100)
    folding.write(chunk("x"))
    with pytest.raises(CallError) as failure:
        folding.write(chunk("x" * 100))
    assert failure.value.outcome is Outcome.UPSTREAM_GARBLED
    with pytest.raises(CallError):
        folding.answer()
