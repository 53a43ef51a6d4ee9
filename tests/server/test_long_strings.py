"""Long strings are read a slice at a time, and nobody can tell by what comes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CallError
from gateway.server import long_strings, strict_json
from gateway.server.long_strings import STAND_IN, strings_of, without_long_strings
from gateway.server.strict_json import parse_json, parse_object

SLICE = 16
LONG = 24
SNIPPETS = ["雨夜", "é", "🎬", '"', "\\", "\\\\", "\n", "\x00", "a door opens. ", "[{,:", STAND_IN]

texts = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=3), max_size=40).map("".join)
values = st.recursive(
    texts | st.integers(-5, 5) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(autouse=True)
def _small_slices() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "LARGE_BYTES", 0)
        patch.setattr(strict_json, "COUNTED_FROM_BYTES", 0)
        patch.setattr(long_strings, "SLICE_BYTES", SLICE)
        patch.setattr(long_strings, "LONG_BYTES", LONG)
        yield


class Breaths:
    """How often the others had the interpreter."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def written(value: Any, style: str) -> bytes:
    match style:
        case "compact":
            return orjson.dumps(value)
        case "indented":
            return orjson.dumps(value, option=orjson.OPT_INDENT_2)
        case _:
            return json.dumps(value).encode()


def told(raw: bytes) -> str:
    with pytest.raises(CallError) as caught:
        parse_json(raw)
    return caught.value.message


@settings(max_examples=40)
@given(values, st.sampled_from(["compact", "indented", "escaped"]))
def test_what_is_read_and_its_size_are_those_of_a_text_that_is_read_at_once(value, style):
    body, size = parse_json(written(value, style))

    assert body == value
    assert size == len(orjson.dumps(value))


@settings(max_examples=40)
@given(values, st.sampled_from(["compact", "escaped"]), st.data())
def test_a_text_that_is_broken_anywhere_is_refused_in_the_same_words(value, style, data):
    raw = bytearray(written([value, "雨" * LONG], style))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))

    def tried() -> object:
        try:
            return parse_json(bytes(raw))
        except CallError as error:
            return error.message

    in_slices = tried()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "LARGE_BYTES", len(raw))
        at_once = tried()

    assert in_slices == at_once


@settings(max_examples=40)
@given(values, st.sampled_from(["compact", "indented", "escaped"]))
def test_every_string_of_a_text_is_found(value, style):
    raw = written(value, style)

    found = [orjson.loads(raw[start - 1 : stop + 1]) for start, stop in strings_of(raw, Breaths())]

    whole = [orjson.loads(match[0]) for match in long_strings._STRING.finditer(raw)]
    assert found == whole


@pytest.mark.parametrize("style", ["compact", "escaped"])
def test_a_long_string_is_found_and_read_in_slices_with_a_breath_after_each(style):
    breathe = Breaths()
    body = {"script": "a door opens. 🎬\\雨" * 100}
    raw = written(body, style)

    assert parse_object(raw, breathe)[0] == body
    assert breathe.count >= 2 * len(raw) // SLICE


def test_neither_a_character_nor_an_escape_nor_a_pair_of_surrogates_is_parted():
    text = "🎬\\🎬\n雨" * 50
    for style in ("compact", "escaped"):
        for shift in range(SLICE):
            value = ["x" * shift + text]
            assert parse_json(written(value, style))[0] == value


def test_what_stands_in_for_a_long_string_may_stand_in_the_text_itself():
    value = {"a": STAND_IN, "b": "long" * LONG, STAND_IN: "longer" * LONG}

    assert parse_json(orjson.dumps(value)) == (value, len(orjson.dumps(value)))


def test_a_long_key_that_stands_twice_is_found():
    key = b'"%b"' % (b"k" * 2 * LONG)

    assert "stands twice" in told(b"{%b:1,%b:2}" % (key, key))
    assert without_long_strings(b"{%b:1}" % key, Breaths()) is None


def test_a_key_that_stands_twice_beside_a_long_string_is_found():
    assert "'a' stands twice" in told(b'{"a":"%b","a":1}' % (b"x" * 2 * LONG))


def test_half_a_pair_of_surrogates_is_refused_wherever_it_stands():
    for before in range(SLICE):
        raw = b'["%b\\ud83d%b"]' % (b"x" * before, b"y" * LONG)
        assert "not valid JSON" in told(raw)


def test_brackets_and_commas_within_long_strings_count_for_nothing(monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_CONTAINERS", 40)
    monkeypatch.setattr(strict_json, "COUNTED_AT_ONCE", SLICE)
    text = "[{," * 100

    assert parse_json(orjson.dumps([text, "雨"]))[0] == [text, "雨"]
    assert "more than 40 objects" in told(orjson.dumps([text, [[]] * 50]))
    members = {f"key {n}": "value" for n in range(30)}
    assert "more than 40 objects" in told(orjson.dumps({"a": text, **members, "b": [[]] * 50}))


def test_strings_that_no_comma_parts_are_not_counted_to_their_end(monkeypatch):
    monkeypatch.setattr(strict_json, "LARGE_BYTES", 1 << 20)
    monkeypatch.setattr(strict_json, "MAX_CONTAINERS", 40)
    breathe = Breaths()

    with pytest.raises(CallError, match="not valid JSON at"):
        parse_json(b'["%b",%b]' % (b"[" * 50, b'""' * 1000), breathe)
    assert breathe.count < 2000 // SLICE


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"a":["", "%b' % (b'\\"[' * 500), "a[1]"),
        (b'{"a":["" %b' % (b" " * 1500), "a[0]"),
        (b'{"%b" %b' % (b"k" * 2 * LONG, b" " * 1500), "k" * 2 * LONG),
    ],
    ids=["a string", "spaces", "spaces behind a key"],
)
def test_the_place_of_a_fault_is_told_with_a_breath_after_each_slice(monkeypatch, raw, place):
    monkeypatch.setattr(strict_json, "LARGE_BYTES", 1 << 20)
    monkeypatch.setattr(strict_json, "COUNTED_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(strict_json, "COUNTED_AT_ONCE", SLICE)
    breathe = Breaths()

    with pytest.raises(CallError, match=re.escape(f"not valid JSON at {place}: ")):
        parse_json(raw, breathe)
    assert breathe.count >= 1500 // SLICE


def test_a_long_key_far_from_its_colon_is_read_as_it_stands():
    raw = b'{"%b"%b:"%b"}' % (b"k" * LONG, b" " * 300, b"v" * LONG)

    assert parse_json(raw)[0] == {"k" * LONG: "v" * LONG}
