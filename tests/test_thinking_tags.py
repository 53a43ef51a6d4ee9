"""Thinking in tags: taken out of the text however it is cut, and only where it is thinking."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunk_mending import ChunkMending
from gateway.schema import ChatRequest
from gateway.thinking_tags import MAX_BLANKS, ThinkingSplitter, split_thinking

WORDS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "th", "ink>", "/", "\n", " ", "雨", "a < b"]),
    max_size=12,
).map("".join)
CUTS = st.lists(st.integers(0, 100), max_size=8)


def fed(pieces, opened=False):
    splitter = ThinkingSplitter(opened)
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.flush(), splitter.flush()]
    return "".join(p[0] for p in parts), "".join(p[1] for p in parts)


def pieces_of(text, cuts):
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(WORDS, CUTS, st.booleans())
def test_the_split_is_the_same_however_the_text_is_cut(text, cuts, opened):
    assert fed(pieces_of(text, cuts), opened) == fed([text], opened)


@given(WORDS, st.booleans())
def test_nothing_but_tags_and_blanks_at_their_seams_is_lost(text, opened):
    thinking, visible = fed([text], opened)
    kept = (thinking + visible).replace("<think>", "").replace("</think>", "")
    whole = text.replace("<think>", "").replace("</think>", "")
    assert "".join(kept.split()) == "".join(whole.split())


@given(WORDS)
def test_text_that_does_not_begin_with_the_tag_stays_as_it_is(text):
    if not text.lstrip().startswith("<think>"):
        assert fed([text]) == ("", text)


@given(WORDS, CUTS)
def test_what_follows_the_first_visible_character_is_untouched(text, cuts):
    answer = "<think>先想。</think>雨" + text
    assert fed(pieces_of(answer, cuts)) == ("先想。", "雨" + text)


@pytest.mark.parametrize(
    ("text", "opened", "cut", "parts"),
    [
        ("先想。</think>\n\n雨。", True, False, ("先想。", "雨。")),
        ("先想。</think>雨。", False, False, ("", "先想。</think>雨。")),
        ("雨。", True, False, ("", "雨。")),
        ("先想，再", True, True, ("先想，再", "")),
        ("<think>先想，再", False, True, ("先想，再", "")),
        ("\n<think>\n\n</think>\n\n雨。", False, False, ("", "雨。")),
        ("<think>x</think>", True, False, ("x", "")),
    ],
)
def test_whole_answers(text, opened, cut, parts):
    assert split_thinking(text, opened, cut) == parts


def test_blanks_without_end_are_let_through_and_not_looked_at_again_and_again():
    splitter = ThinkingSplitter()
    visible = "".join(splitter.feed(" ")[1] for _ in range(MAX_BLANKS + 2))
    assert splitter.settled
    assert visible == " " * (MAX_BLANKS + 2)


def test_chunks_are_no_longer_read_once_every_choice_writes_its_text():
    request = ChatRequest("m", {"n": 2}, stream=True)
    mending = ChunkMending(request, True, False)
    for index, text, reads_on in (
        (0, "雨", True),
        (1, "<think>想", True),
        (1, "</think>雪", False),
    ):
        chunk = {"choices": [{"index": index, "delta": {"content": text}}]}
        mending.mend(chunk, b"raw")
        assert mending.reads_all is reads_on
