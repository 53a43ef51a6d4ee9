"""Where a sentence ends, and what is never cut."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.chunking.splitting.sentences import harmless_cut, sentence_ends


def sentences(text: str) -> list[str]:
    bounds = [0, *sentence_ends(text, 0, len(text)), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


@pytest.mark.parametrize(
    "parts",
    [
        ["雨停了。", "她没有说话。"],
        ["“雨停了。”", "她没有说话……", "“走吧！？”", "门关上了。"],
        ["（轻声。）", "走吧。"],
        ["「雨停了。」\r\n", "她走了。\r\n"],
        ["涨了3.5元。", "他笑了。"],
        ["It rains. ", "Mr. Lin counts $3.5 million. ", '"Twice!" ', "She leaves."],
        ["走吧!", "她转身."],
        ["第3.2节没有句号，只有逗号"],
    ],
)
def test_sentences_end_where_readers_end_them(parts: list[str]) -> None:
    assert sentences("".join(parts)) == parts


def test_a_sentence_ends_where_a_window_of_the_search_ends() -> None:
    parts = ["雨" * 16_382 + "。”", "雨" * 20_000 + "！", "雨。"]
    assert sentences("".join(parts)) == parts


def test_a_run_of_stops_longer_than_a_window_ends_no_sentence_within_itself() -> None:
    text = "…" * 40_000 + "雨。"
    assert "".join(sentences(text)) == text
    assert len(sentences(text)) <= 3


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("雨夜，林溪走进病房", 5, 3),
        ("the silver lift", 13, 11),
        ("雨夜林溪", 2, 2),
        ("雨\r\n夜", 2, 1),
        ("雨e\u0301夜", 2, 1),
        ("雨🇨🇳夜", 2, 1),
        ("e" + "\u0301" * 60, 50, 50),
    ],
)
def test_a_cut_spares_words_and_what_is_seen_as_one_character(
    text: str, at: int, expected: int
) -> None:
    assert harmless_cut(text, 0, at) == expected
