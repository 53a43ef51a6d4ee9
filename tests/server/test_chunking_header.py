"""``X-Daobo-Chunking``: what a client says of parts reaches the room that cuts, and the quotes."""

import pytest

from gateway.errors import CallError, Outcome
from gateway.server.chunking import asked_chunking
from tests.long_scripts.scenes import written

from .conftest import KEY

SCRIPT = written(15).text
CHAT = {"model": "writer", "messages": [{"role": "user", "content": SCRIPT}]}


@pytest.mark.parametrize(
    ("value", "word"), [("auto", "auto"), (" OFF ", "off"), ("Force", "force")]
)
def test_three_words_are_known_in_any_case(value: str, word: str) -> None:
    assert asked_chunking({"X-Daobo-Chunking": value}) == word


def test_nothing_said_is_auto() -> None:
    assert asked_chunking({}) == "auto"


def test_another_word_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(CallError, match="it must be auto, off or force") as caught:
        asked_chunking({"X-Daobo-Chunking": "please"})
    assert caught.value.outcome is Outcome.INVALID_REQUEST


async def test_it_is_refused_before_anything_is_sent(house) -> None:
    status, error = await house.refusal(json=CHAT, headers={"X-Daobo-Chunking": "please"})
    assert status == 400
    assert "X-Daobo-Chunking" in error["message"]
    assert house.upstream.requests == []


async def test_a_call_without_a_task_is_refused_with_the_header_that_would_cut_it(house) -> None:
    status, error = await house.refusal(json=CHAT)
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "X-Daobo-Chunking: force" in error["message"]
    assert house.upstream.requests == []


async def test_a_quote_is_cut_like_the_call_that_it_is_for(house) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with house.session.post(f"{house.url}/v1/quotes", json=CHAT, headers=headers) as whole:
        assert whole.status == 400
    forced = {**headers, "X-Daobo-Chunking": "force"}
    async with house.session.post(f"{house.url}/v1/quotes", json=CHAT, headers=forced) as cut:
        assert cut.status == 200, await cut.text()


async def test_the_listing_says_which_tasks_cut(house) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with house.session.get(f"{house.url}/v1/models", headers=headers) as response:
        models = {model["id"]: model["daobo"] for model in (await response.json())["data"]}
    assert models["draft"]["chunking"] == "off"
