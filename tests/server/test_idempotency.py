"""``Idempotency-Key``, as a client of the gateway sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from .conftest import CUT, House
from .kept import COST, MESSAGES, another_key, ask, ledger, reply, stream

BODY = {"model": "writer", "messages": MESSAGES}
KEYED = {"Idempotency-Key": "order-7"}


async def text_of(house: House, **body: Any) -> tuple[int, bytes]:
    async with house.post(json={**BODY, **body}, headers=KEYED) as response:
        return response.status, await response.read()


async def test_the_sdk_gets_the_same_answer_again_and_pays_once(house: House) -> None:
    house.upstream.script = reply()
    first, answer = await ask(house, KEYED)
    again, same = await ask(house, KEYED)
    assert len(house.upstream.requests) == 1
    assert same == answer
    assert "x-daobo-idempotency" not in first.headers
    assert again.headers["x-daobo-idempotency"] == "replayed"
    costs = [one.headers["x-daobo-cost"] for one in (first, again)]
    assert costs == [COST, "0.000000000"]


async def test_fifty_twins_have_one_call_one_charge_and_one_body(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.script = [gate, *reply()]
    calls = [asyncio.ensure_future(text_of(house)) for _ in range(50)]
    async with asyncio.timeout(10):
        while house.gateway.permanent.in_flight.total < 50:
            await asyncio.sleep(0.005)
    gate.set()
    found = await asyncio.gather(*calls)
    assert len(house.upstream.requests) == 1
    assert len(set(found)) == 1
    assert found[0][0] == 200
    await house.gateway.close()
    assert ledger(house, "SELECT SUM(cost_nano) FROM attempts") == [(2_000_000,)]
    rows = ledger(house, "SELECT replayed, COUNT(*) FROM requests GROUP BY replayed ORDER BY 1")
    assert rows == [("", 1), ("idempotency", 49)]


async def test_a_stream_is_replayed_whole(house: House) -> None:
    house.upstream.script = stream()
    _, first = await text_of(house, stream=True)
    _, again = await text_of(house, stream=True)
    assert len(house.upstream.requests) == 1
    assert again.partition(b": cost")[0] == first.partition(b": cost")[0]
    assert again.endswith(b": cost 0.000000000 USD\n\ndata: [DONE]\n\n")


async def test_another_body_with_the_same_key_is_a_409_that_says_so(house: House) -> None:
    house.upstream.script = reply()
    await ask(house, KEYED)
    with pytest.raises(openai.ConflictError) as refused:
        await ask(house, KEYED, temperature=1)
    assert refused.value.code == "idempotency_key_reused"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(house.upstream.requests) == 1


async def test_embeddings_have_keys_too(house: House) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
    house.upstream.script = reply(object="list", data=[vector], usage={"prompt_tokens": 3})
    body = {"model": "gauge", "input": "a scene"}
    for _ in range(2):
        async with house.post("/v1/embeddings", json=body, headers=KEYED) as response:
            assert response.status == 200
    assert len(house.upstream.requests) == 1


async def test_a_client_that_leaves_finds_its_answer_when_it_comes_back(house: House) -> None:
    gate = asyncio.Event()
    house.upstream.script = [gate, *reply()]
    first = asyncio.ensure_future(text_of(house))
    await house.upstream.arrived.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.ensure_future(text_of(house))
    gate.set()
    status, _ = await second
    assert (status, len(house.upstream.requests)) == (200, 1)
    assert sorted(record.replayed for record in house.records) == ["", "idempotency"]


async def test_a_call_that_was_refused_for_nothing_gives_its_key_back(house: House) -> None:
    house.upstream.script = reply(status="500 Oops", error={"message": "overheated"})
    assert (await text_of(house))[0] == 502
    sent = len(house.upstream.requests)
    house.upstream.script = reply()
    assert (await text_of(house))[0] == 200
    assert len(house.upstream.requests) == sent + 1


async def test_a_call_that_broke_off_and_is_charged_is_not_sent_again(house: House) -> None:
    house.upstream.script = [stream()[0][:400], CUT]
    status, text = await text_of(house, stream=True)
    assert status == 200
    assert b"upstream_cut" in text
    sent = len(house.upstream.requests)
    status, text = await text_of(house, stream=True)
    assert (status, b"idempotency_call_failed" in text) == (409, True)
    assert len(house.upstream.requests) == sent


async def test_a_call_without_a_client_that_is_cut_at_the_end_is_charged_and_not_sent_again(
    house: House,
) -> None:
    house.upstream.script = [asyncio.Event()]
    first = asyncio.ensure_future(text_of(house))
    await house.upstream.arrived.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await house.gateway.close()
    assert ledger(house, "SELECT fate FROM idempotency") == [("charged",)]
    assert ledger(house, "SELECT COUNT(*) FROM holds") == [(0,)]


BAD_KEYS = {"empty": " ", "too long": "x" * 256, "not ASCII": "雨夜", "a tab": "a\tb"}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_a_key_is_refused_that_is(house: House, key: str) -> None:
    status, error = await house.refusal(json=BODY, headers={"Idempotency-Key": key})
    assert status == 400
    assert error["message"].startswith("the header Idempotency-Key must be 1 to 255")
    assert house.upstream.requests == []


async def test_a_key_of_one_client_means_nothing_to_another(house: House) -> None:
    house.upstream.script = reply()
    await ask(house, KEYED)
    await ask(house, KEYED, another_key(house))
    assert len(house.upstream.requests) == 2
