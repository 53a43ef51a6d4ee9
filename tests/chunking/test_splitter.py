"""Where a script is cut: whole scenes first, and never over the budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind, Piece, Script, Seam, Span
from gateway.chunking.splitter import split

from .counting import PlainCounter, dearer_together, utf8_bytes
from .scripts import STYLES, write_with_headings


def script(*spans: tuple[Kind, str]) -> Script:
    """A script as a parser would see it, without one."""
    found, at = [], 0
    for kind, text in spans:
        found.append(Span(kind, at, at + len(text)))
        at += len(text)
    return Script("".join(text for _, text in spans), tuple(found))


def text_alone(text: str) -> Script:
    return script((Kind.FRONT, text))


def scene(name: str, *blocks: str, kind: Kind = Kind.ACTION) -> list[tuple[Kind, str]]:
    return [(Kind.SCENE, f"{name}\n"), *((kind, block) for block in blocks)]


def cut(source: Script, budget: int, counter: PlainCounter | None = None) -> list[str]:
    """The texts of the pieces, by a character a token."""
    return [text for text, _ in seams(source, budget, counter)]


def seams(
    source: Script, budget: int, counter: PlainCounter | None = None
) -> list[tuple[str, Seam]]:
    pieces = split(source, 0, len(source.text), budget, counter or PlainCounter())
    check(source, pieces, budget)
    return [(source.text[piece.start : piece.end], piece.seam) for piece in pieces]


def check(
    source: Script, pieces: list[Piece], budget: int, start: int = 0, end: int | None = None
) -> None:
    """What holds for every split."""
    end = len(source.text) if end is None else end
    bounds = [start, *(piece.end for piece in pieces)]
    assert [piece.start for piece in pieces] == bounds[:-1]
    assert bounds[-1] == end
    assert all(p.start < p.end and (p.tokens <= budget or p.end - p.start == 1) for p in pieces)
    assert [p.seam is Seam.END for p in pieces] == [False] * (len(pieces) - 1) + [True] * bool(
        pieces
    )


EPISODE = (Kind.EPISODE, "第1集\n")


def test_what_fits_is_one_piece() -> None:
    source = script(EPISODE, *scene("1-1", "△雨。\n"))
    assert seams(source, 100) == [(source.text, Seam.END)]


def test_nothing_makes_no_piece() -> None:
    assert split(text_alone("雨"), 1, 1, 100, PlainCounter()) == []


def test_whole_scenes_are_packed_together() -> None:
    four = [scene(f"1-{number}", "△" + "雨" * 24 + "\n") for number in range(1, 5)]
    source = script(*(span for each in four for span in each))
    assert [text.count("1-") for text in cut(source, 65)] == [2, 2]


def test_an_episodes_heading_goes_with_its_first_scene() -> None:
    source = script(
        *scene("1-1", "△" + "雨" * 84 + "\n"),
        (Kind.EPISODE, "第2集\n"),
        *scene("2-1", "△" + "雨" * 84 + "\n"),
    )
    assert seams(source, 100)[0][1] is Seam.EPISODE
    assert cut(source, 100)[1].startswith("第2集")


def test_a_season_its_episode_and_the_first_scene_stay_together() -> None:
    source = script(
        *scene("1-1", "△" + "雨" * 84 + "\n"),
        (Kind.EPISODE, "第二季\n"),
        (Kind.EPISODE, "第1集\n"),
        *scene("1-1", "△" + "雨" * 60 + "\n"),
    )
    assert cut(source, 100)[1].startswith("第二季\n第1集\n1-1")


def test_a_piece_rather_ends_with_its_episode_if_that_costs_little_room() -> None:
    episode = [
        span
        for name in ("1-1", "1-2", "1-3", "1-4")
        for span in scene(name, "△" + "雨" * 24 + "\n")
    ]
    source = script(EPISODE, *episode, (Kind.EPISODE, "第2集\n"), *episode)
    assert [seam for _, seam in seams(source, 160)] == [Seam.EPISODE, Seam.END]


def test_much_room_is_not_given_up_for_an_episode() -> None:
    source = script(
        EPISODE,
        *scene("1-1", "△" + "雨" * 24 + "\n"),
        (Kind.EPISODE, "第2集\n"),
        *(span for name in ("2-1", "2-2", "2-3") for span in scene(name, "△" + "雨" * 24 + "\n")),
    )
    assert [seam for _, seam in seams(source, 105)] == [Seam.SCENE, Seam.END]


def test_the_last_two_pieces_share_what_would_leave_a_crumb() -> None:
    ten = [span for n in range(10) for span in scene(f"1-{n}", "△雨雨雨雨\n")]
    assert [text.count("1-") for text in cut(script(*ten), 90)] == [5, 5]


def test_a_scene_that_is_too_large_is_cut_before_its_actions() -> None:
    source = script(*scene("1-1", *["△" + "雨" * 38 + "\n"] * 6))
    found = seams(source, 100)
    assert [seam for _, seam in found] == [Seam.ACTION] * (len(found) - 1) + [Seam.END]
    assert all(text.startswith("△") for text, _ in found[1:])


def test_dialogue_without_action_is_cut_at_its_blank_lines() -> None:
    block = "林溪：雨。\n陈默：雨。\n" * 3 + "\n"
    source = script(*scene("1-1", block * 6, kind=Kind.DIALOGUE))
    assert {seam for _, seam in seams(source, 100)} == {Seam.ACTION, Seam.END}
    assert all(text.endswith("\n\n") for text in cut(source, 100))


def test_without_blank_lines_it_is_cut_between_turns() -> None:
    source = script(*scene("1-1", *["林溪：" + "雨" * 20 + "\n"] * 12, kind=Kind.DIALOGUE))
    assert {seam for _, seam in seams(source, 100)} == {Seam.TURN, Seam.END}


def test_a_cue_is_not_parted_from_what_is_said() -> None:
    turns = [(Kind.CUE, "MARA\n"), (Kind.DIALOGUE, "It rains again. It rains.\n\n")] * 12
    source = script((Kind.SCENE, "INT. LIFT - NIGHT\n\n"), *turns)
    assert all(text.startswith(("INT.", "MARA")) for text in cut(source, 80))


def test_a_heading_is_not_left_alone_at_the_end_of_a_piece() -> None:
    spans = [span for n in range(9) for span in scene(f"1-{n}", "△" + "雨" * 70 + "\n" * 2)]
    for budget in range(76, 160, 7):
        assert not any(
            text.endswith(f"1-{n}\n") for text in cut(script(*spans), budget) for n in "0123456789"
        )


def test_a_long_line_is_cut_behind_sentences_and_their_quotes() -> None:
    source = script(*scene("1-1", "△他说：“雨停了……”她没有说话！？“走吧。”" * 20 + "\n"))
    found = seams(source, 60)
    assert {seam for _, seam in found} == {Seam.SENTENCE, Seam.END}
    assert all(text[-1] in "”！？…" for text, _ in found[:-1])


def test_a_line_without_sentences_is_cut_between_characters() -> None:
    assert {seam for _, seam in seams(text_alone("雨" * 1000), 64)} == {Seam.CHARACTER, Seam.END}


def test_words_are_spared_where_there_are_no_sentences() -> None:
    source = text_alone("rain falls on every silver lift " * 40)
    assert all(text.endswith(" ") for text in cut(source, 300))


@pytest.mark.parametrize(
    "whole", ["e\u0301", "👩\u200d👩\u200d👧", "👍🏽", "\r\n", "🇨🇳", "✈\ufe0f"]
)
def test_what_is_seen_as_one_character_is_not_cut(whole: str) -> None:
    unit = "雨雨雨" + whole
    source = text_alone(unit * 200)
    for budget in (40, 50, 64):
        pieces = split(source, 0, len(source.text), budget, PlainCounter())
        assert all(piece.start % len(unit) <= 3 for piece in pieces)


def test_a_character_that_is_too_large_by_itself_is_a_piece() -> None:
    assert cut(text_alone("雨水"), 2, PlainCounter(utf8_bytes)) == ["雨", "水"]


def test_a_cut_scene_shares_a_piece_with_its_neighbours() -> None:
    large = scene("1-2", *["△" + "雨" * 18 + "\n"] * 6)
    source = script(*scene("1-1", "△雨\n"), *large, *scene("1-3", "△雨\n"))
    texts = cut(source, 100)
    assert len(texts) == 2
    assert texts[0].startswith("1-1")
    assert texts[1].endswith("1-3\n△雨\n")


def test_a_range_is_split_as_the_whole_would_be() -> None:
    source = script(*(span for n in range(9) for span in scene(f"1-{n}", "△" + "雨" * 24 + "\n")))
    start, end = 10, len(source.text) - 10
    pieces = split(source, start, end, 60, PlainCounter())
    check(source, pieces, 60, start, end)
    assert all(source.text[piece.start :].startswith("1-") for piece in pieces[1:])


def test_what_counts_more_than_it_weighs_is_cut_again() -> None:
    source = script(*(span for n in range(40) for span in scene(f"{n}-1", "△雨。\n" * 9)))
    counter = PlainCounter(dearer_together)
    check(source, split(source, 0, len(source.text), 600, counter), 600)


ANYTHING = st.text(
    st.sampled_from("雨林：△。！？…”“ \t\r\n\u3000\u200d\u0301👍🏽a1-第集场.!?'\""), max_size=400
)


@given(ANYTHING, st.integers(1, 120), st.sampled_from([len, utf8_bytes, dearer_together]))
def test_pieces_of_anything_join_to_it_and_fit(text, budget, measure) -> None:  # type: ignore[no-untyped-def]
    source = parse(text)
    check(source, split(source, 0, len(text), budget, PlainCounter(measure)), budget)


@given(ANYTHING, st.integers(1, 60), st.data())
def test_so_do_those_of_any_range(text: str, budget: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    source = parse(text)
    check(source, split(source, start, end, budget, PlainCounter()), budget, start, end)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("budget", [800, 4000])
def test_every_scene_of_every_style_is_whole_in_one_piece(style: str, budget: int) -> None:
    text, headings = write_with_headings(style, episodes=6, scenes=6)
    source = parse(text)
    texts = cut(source, budget)
    starts = [piece[: piece.find("\n")].strip() for piece in texts[1:]]
    lines = {heading.line for heading in headings}
    assert [line for line in starts if line not in lines] == []
    assert "".join(texts) == text
