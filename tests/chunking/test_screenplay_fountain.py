"""Fountain: headings behind a blank line, cues in capitals, what is hidden."""

import pytest

from gateway.chunking.screenplay import parse
from gateway.chunking.script import Kind

from .reading import kinds, names


def test_fountain():
    text = (
        "Title: The Lift\nAuthor:\n    A. Writer\n\nFADE IN:\n\nINT. LIFT - NIGHT #1A#\n\n"
        "It hums.\n\nMARA\n(quietly)\nListen: come back.\n\nOLD HENRY (O.S.) ^\nNo.\n\n"
        "@McCole\nWhy?\n\nCUT TO:\n\n> FADE OUT.\n\n!INT. IS WHAT SHE WROTE\n\n= She leaves.\n\n"
        ".ROOFTOP\n\n~la la\n\n[[a note]]\n"
    )
    assert kinds(text) == [
        (Kind.FRONT, ""),
        (Kind.FRONT, ""),
        (Kind.SCENE, "1A"),
        (Kind.ACTION, ""),
        (Kind.CUE, "MARA"),
        (Kind.DIALOGUE, "MARA"),
        (Kind.DIALOGUE, "MARA"),
        (Kind.CUE, "OLD HENRY"),
        (Kind.DIALOGUE, "OLD HENRY"),
        (Kind.CUE, "McCole"),
        (Kind.DIALOGUE, "McCole"),
        (Kind.NOTE, ""),
        (Kind.NOTE, ""),
        (Kind.ACTION, ""),
        (Kind.NOTE, ""),
        (Kind.SCENE, ""),
        (Kind.DIALOGUE, ""),
        (Kind.NOTE, ""),
    ]


SLUGLINES = [
    "INT. LIFT - NIGHT", "EXT. ROOF", "EST. CITY - DAY", "INT./EXT. CAR - DAY", "INT/EXT CAR - DAY",
    "I/E. CAR - DAY", "INT LIFT - DAY", "int. lift - night", "Ext. Joe's diner - day",
    "INT. 医院走廊 - 夜", "## INT. LIFT - NIGHT", "**INT. LIFT - NIGHT**", ".ROOF", ".医院走廊 夜",
]  # fmt: skip


@pytest.mark.parametrize("line", SLUGLINES)
def test_a_slugline_stands_behind_a_blank_line_or_at_the_start(line):
    assert names(f"{line}\n\nIt rains.\n") == [""]
    assert names(f"It rains.\n \t\n{line}\n\nStill.\n") == [""]


@pytest.mark.parametrize("line", [line for line in SLUGLINES if line[0] != "#"])
def test_a_slugline_within_a_paragraph_is_text(line):
    assert names(f"It rains.\n{line}\nStill.\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "Ext. 5 of the switchboard blinks, but nobody answers.", "Extra people come in.", "...and",
        ". ", ".", "Interior lights go out.", "Est. 1990, the shop is older than she is.", "I/O",
        "!INT. LIFT - DAY", "EXTREME CLOSE UP", "Int. is short for interior", "INTO THE WOODS",
    ],
)  # fmt: skip
def test_no_slugline(line):
    assert names(f"It rains.\n\n{line}\n\nStill.\n") == []


@pytest.mark.parametrize(
    "hidden", ["/*\n\nINT. LIFT - DAY\n\n第3集\n\n*/", "[[one\nINT. LIFT - DAY\n第3集\ntwo]]"]
)
def test_what_is_hidden_has_no_headings(hidden):
    assert names(f"EXT. ROOF #1#\n\nRain.\n\n{hidden}\n\nEXT. ROOF #2#\n\nSun.\n") == ["1", "2"]


def test_what_is_not_closed_hides_nothing():
    text = "EXT. ROOF #1#\n\n/* never\n\n[[ never\n\nINT. LIFT #2#\n\n[[ nor\n\nhere ]]\n"
    assert names(text) == ["1", "2"]


def test_acts_stand_among_scenes():
    text = "# ACT\n\nEXT. ROOF #1#\n\nRain.\n\n# The Second\n\n## A part\n\nEXT. ROOF #2#\n\nSun.\n"
    assert names(text) == ["", "1", "", "2"]


def test_sections_alone_make_no_script():
    assert not parse("# Notes\n\nText.\n\n# More\n\nText.\n").is_script
