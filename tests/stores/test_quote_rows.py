"""Quotes are kept for the key that asked, until they expire or their hold ends."""

from __future__ import annotations

from typing import Any

import pytest
from books import DAY_S, MICRO, NOON_S, Bench, hold

from gateway.errors import CallError, Outcome
from gateway.quote import QuoteRow
from gateway.stores.quote_rows import QuoteRows

NOON_US = NOON_S * MICRO


def row(id_: str = "quote_1", **fields: Any) -> QuoteRow:
    known = QuoteRow(id_, "k1", NOON_US, NOON_US + DAY_S * MICRO, 100, "USD", None, '{"a": "雨"}')
    return known._replace(**fields)


@pytest.fixture
def rows(bench: Bench) -> QuoteRows:
    bench.store()
    return QuoteRows(bench.url)


async def test_a_quote_comes_back_as_it_was(rows: QuoteRows) -> None:
    await rows.put(row())
    assert await rows.find("quote_1", "k1") == (row(), None)


async def test_a_quote_is_found_only_by_its_own_key(rows: QuoteRows) -> None:
    await rows.put(row())
    assert await rows.find("quote_1", "k2") is None


async def test_a_quote_has_one_hold_at_a_time(rows: QuoteRows) -> None:
    await rows.put(row())
    assert await rows.claim("quote_1", "hold_1")
    assert not await rows.claim("quote_1", "hold_2")
    await rows.unclaim("quote_1", "hold_2")
    assert not await rows.claim("quote_1", "hold_3")
    await rows.unclaim("quote_1", "hold_1")
    assert await rows.claim("quote_1", "hold_3")


async def test_a_quote_comes_with_the_hold_that_stands(rows: QuoteRows, bench: Bench) -> None:
    admitted = hold(100, expires_us=NOON_US + 1)
    bench.store().commit([admitted], [])
    await rows.put(row(hold=admitted.id))
    found = await rows.find("quote_1", "k1")
    assert found is not None
    assert found[1] is not None
    assert (found[1].id, found[1].amount_nano) == (admitted.id, 100)


async def test_the_next_quote_sweeps_those_that_are_over(rows: QuoteRows, bench: Bench) -> None:
    admitted = hold(100, expires_us=NOON_US + 1)
    bench.store().commit([admitted], [])
    await rows.put(row("over", expires_us=NOON_US))
    await rows.put(row("over-and-released", expires_us=NOON_US, hold="hold_gone"))
    await rows.put(row("over-and-admitted", expires_us=NOON_US, hold=admitted.id))
    await rows.put(row("fresh"))
    assert bench.rows("quotes", "id") == [("fresh",), ("over-and-admitted",)]


async def test_a_dropped_quote_is_gone(rows: QuoteRows) -> None:
    await rows.put(row())
    await rows.drop("quote_1")
    assert await rows.find("quote_1", "k1") is None


async def test_without_a_database_there_are_no_quotes() -> None:
    rows = QuoteRows("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(CallError) as caught:
        await rows.put(row())
    assert caught.value.outcome is Outcome.LEDGER_UNAVAILABLE
