"""Any JSON that is to be quoted is read into calls, or refused by entry and field."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallError, Outcome
from gateway.quote import Asked
from gateway.schema import Caller
from gateway.server.calls import Arrival
from gateway.server.quote_entries import ENDPOINTS, ENVELOPE, asked, read_entries

ARRIVAL = Arrival("call", 1_795_348_800.0, 0.0)
CHAT = {"model": "draft", "messages": [{"role": "user", "content": "雨夜"}]}


def read(document: Any, caller: Caller | None = None, task: str | None = None) -> list[Asked]:
    return asked(read_entries(document), caller or Caller("k1"), task, ARRIVAL)


numbers = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
words = [*ENVELOPE, "model", "messages", "input", "prompt", "voice", "body", "metadata", "user"]
entries = st.dictionaries(st.sampled_from(words), json_values, max_size=6).flatmap(
    lambda fields: st.sampled_from([fields, {**CHAT, **fields}, {"body": CHAT, **fields}])
)


@given(st.one_of(json_values, entries, st.lists(entries, min_size=1, max_size=3)))
def test_any_document_becomes_calls_or_a_refusal(document: Any) -> None:
    with suppress(CallError):
        for entry in read(document):
            assert entry.call.body_bytes == len(orjson.dumps(entry.call.body))
            assert entry.copies > 0


@given(st.lists(st.just(CHAT), max_size=3), entries)
def test_a_refusal_names_an_entry_of_the_list(before: list[Any], entry: Any) -> None:
    try:
        read([*before, entry])
    except CallError as error:
        named = error
    else:
        return
    assert named.outcome is Outcome.INVALID_REQUEST
    assert str(named.param).startswith(f"requests[{len(before)}]")


def test_words_beside_a_body_are_not_part_of_it() -> None:
    (entry,) = read({**CHAT, "count": 2, "custom_id": "a", "scene": "4", "task": "polish"})
    assert entry.call.body == CHAT
    assert (entry.copies, entry.custom_id) == (2, "a")
    assert (entry.call.caller.scene, entry.call.task_hint) == ("4", "polish")


def test_an_entry_says_its_place_better_than_metadata_and_that_better_than_the_quote() -> None:
    caller = Caller("k1", project="p", season="s", episode="e")
    metadata = {"season": "s2", "episode": "e2", "mood": "dark"}
    (entry,) = read({**CHAT, "metadata": metadata, "episode": "e3"}, caller)
    placed = entry.call.caller
    assert (placed.project, placed.season, placed.episode) == ("p", "s2", "e3")
    assert entry.call.body["metadata"] == metadata


def test_the_metadata_of_a_batch_line_is_its_place_and_stays_out_of_the_body() -> None:
    (entry,) = read({"body": CHAT, "url": "/v1/chat/completions", "metadata": {"scene": "4"}})
    assert entry.call.caller.scene == "4"
    assert entry.call.body == CHAT


@pytest.mark.parametrize("said", ENDPOINTS)
def test_an_endpoint_may_be_named_or_given_as_a_path(said: str) -> None:
    bodies = {
        "chat": CHAT,
        "embeddings": {"model": "m", "input": "x"},
        "images": {"model": "m", "prompt": "x"},
        "video": {"model": "m", "prompt": "x"},
        "speech": {"model": "m", "input": "x"},
    }
    body = bodies[ENDPOINTS[said]]
    urls = [said, f"/v1/{said}", f"https://gateway.example/v1/{said}/"]
    read_as = {read({"url": url, "body": body})[0].call.endpoint for url in urls}
    assert read_as == {ENDPOINTS[said]}


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(CallError, match=r"requests\[0\].url is '//\['"):
        read([{**CHAT, "url": "//["}])
