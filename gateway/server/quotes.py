"""``/v1/quotes``: what calls will cost, and the money for all of them set aside at once.

A quote belongs to the key that asked for it. Admitting it makes one hold of the sum of its maxima,
or none; calls that name that hold draw from it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson
from aiohttp import web

from gateway.errors import CallError, Outcome
from gateway.ledger import MICRO, Closing, HoldRequest, Refused, Verdict
from gateway.quote import Asked, Quote, QuoteRow
from gateway.schema import Caller

from .attribution import attributed
from .bodies import BodyLimits, read_body
from .calls import TASK, Arrival
from .chunking import asked_chunking
from .paths import Match
from .quote_answer import hold_object, quote_text, terms_text
from .quote_entries import asked, read_entries
from .quote_holds import QUOTE_LIVES_S, hold_for, invalid
from .refusals import json_reply
from .strict_json import parse_json, parse_object


class Quoter(Protocol):
    def quote(self, asked: Sequence[Asked]) -> Quote:
        """Raises CallError for what cannot be priced."""


class QuoteShelf(Protocol):
    """Where quotes are kept. Everything raises CallError(LEDGER_UNAVAILABLE)."""

    async def put(self, row: QuoteRow) -> None: ...

    async def find(self, id_: str, key_id: str) -> tuple[QuoteRow, HoldRequest | None] | None:
        """The quote of this key, and its hold if that stands."""

    async def claim(self, id_: str, hold: str) -> bool:
        """Write down the hold that is about to be made; False if another is written there."""

    async def unclaim(self, id_: str, hold: str) -> None: ...

    async def drop(self, id_: str) -> None: ...


class Ledger(Protocol):
    async def hold(self, request: HoldRequest) -> Verdict: ...

    def close(self, make_closing: Callable[[], Closing]) -> None: ...


class QuoteDesk:
    """Answers everything below ``/v1/quotes``."""

    def __init__(self, shelf: QuoteShelf, ledger: Ledger) -> None:
        self._shelf = shelf
        self._ledger = ledger

    async def answer(
        self,
        request: web.Request,
        matched: Match,
        caller: Caller,
        arrival: Arrival,
        quoter: Quoter,
        limits: BodyLimits,
    ) -> web.Response:
        """Raises CallError."""
        headers = {"x-request-id": arrival.call_id}
        if matched.quote is None:
            raw = await read_body(request, limits)
            placed = attributed(caller, matched, request.headers, {})
            task = request.headers.get(TASK)
            chunking = asked_chunking(request.headers)
            # In a thread: a season's worth of entries takes seconds.
            row = await asyncio.to_thread(_quoted, raw, placed, task, chunking, arrival, quoter)
            await self._shelf.put(row)
            return _answered(_answer_in(row), headers)
        row, standing = await self._find(matched.quote, caller, arrival)
        drawable = _drawable(standing, arrival)
        match matched.endpoint, request.method:
            case "quote_hold", "POST":
                raw = await read_body(request, limits)
                body = await self._admit(row, drawable, caller, arrival, raw)
            case "quote_hold", _:
                body = await self._release(row, standing)
            case _, "DELETE":
                body = await self._drop(row, standing)
            case _:
                return _answered(_shown(row, drawable), headers)
        return json_reply(body, headers=headers)

    async def _find(
        self, id_: str, caller: Caller, arrival: Arrival
    ) -> tuple[QuoteRow, HoldRequest | None]:
        # Not everything that an address can spell can be asked of PostgreSQL.
        found = await self._shelf.find(id_, caller.key_id) if id_.isprintable() else None
        now_us = arrival.started_at_s * MICRO
        if found is None or (found[1] is None and found[0].expires_us <= now_us):
            raise CallError(
                Outcome.UNKNOWN_PATH,
                f"this key has no quote {id_[:100]!r}, or it has expired; POST /v1/quotes makes "
                "another",
                code="quote_not_found",
            )
        return found

    async def _admit(
        self,
        row: QuoteRow,
        standing: HoldRequest | None,
        caller: Caller,
        arrival: Arrival,
        raw: bytes,
    ) -> dict[str, Any]:
        """All of it or nothing; a second time, what the first time made."""
        if standing is not None:
            return hold_object(standing, row.id, row.amount_nano) | {"warnings": []}
        if row.hold is not None:
            raise invalid(
                f"{row.id} was admitted as {row.hold}, which has ended or is only being made; "
                f"DELETE /v1/quotes/{row.id}/admit makes room for another"
            )
        hold = hold_for(row, caller, arrival, parse_object(raw or b"{}")[0])
        if not await self._shelf.claim(row.id, hold.id):
            raise invalid(f"{row.id} is being admitted at this moment; GET it to see its hold")
        try:
            verdict = await self._ledger.hold(hold)
        except BaseException:
            await self._shelf.unclaim(row.id, hold.id)
            raise
        if isinstance(verdict, Refused):
            await self._shelf.unclaim(row.id, hold.id)
            raise _refused(verdict, arrival)
        return hold_object(hold, row.id, row.amount_nano) | {"warnings": list(verdict.warnings)}

    async def _release(self, row: QuoteRow, standing: HoldRequest | None) -> dict[str, Any]:
        """What is left goes back to the budgets; calls under way keep what they drew."""
        if row.hold is None:
            raise invalid(f"{row.id} is not admitted, so there is nothing to release")
        if standing is not None:
            self._ledger.close(lambda: Closing(standing))
        await self._shelf.unclaim(row.id, row.hold)
        return {"id": row.hold, "object": "hold", "quote": row.id, "released": True}

    async def _drop(self, row: QuoteRow, standing: HoldRequest | None) -> dict[str, Any]:
        if standing is not None:
            self._ledger.close(lambda: Closing(standing))
        await self._shelf.drop(row.id)
        return {"id": row.id, "object": "quote", "deleted": True}


def _quoted(
    raw: bytes, caller: Caller, task: str | None, chunking: str, arrival: Arrival, quoter: Quoter
) -> QuoteRow:
    """The row of a new quote. Raises CallError."""
    entries = read_entries(parse_json(raw)[0])
    quote = quoter.quote(asked(entries, caller, task, arrival, chunking))
    made_s = int(arrival.started_at_s)
    id_ = f"quote_{secrets.token_hex(12)}"
    head = {"id": id_, "object": "quote", "created": made_s, "expires_at": made_s + QUOTE_LIVES_S}
    return QuoteRow(
        id=id_,
        key_id=caller.key_id,
        made_us=made_s * MICRO,
        expires_us=(made_s + QUOTE_LIVES_S) * MICRO,
        amount_nano=quote.hold_nano,
        currency=quote.currency,
        hold=None,
        body=f"{terms_text(quote)}\n{quote_text(quote, head)}",
    )


def _drawable(hold: HoldRequest | None, arrival: Arrival) -> HoldRequest | None:
    """The hold, unless it has expired and only waits to be swept."""
    if hold is None or hold.expires_us is None:
        return hold
    return hold if hold.expires_us > arrival.started_at_s * MICRO else None


def _answer_in(row: QuoteRow) -> str:
    return row.body[row.body.index("\n") + 1 :]


def _answered(text: str, headers: dict[str, str]) -> web.Response:
    return web.Response(text=text, content_type="application/json", headers=headers)


def _shown(row: QuoteRow, standing: HoldRequest | None) -> str:
    """The quote as it was answered, and what has become of it. Not parsed: it may be long."""
    hold: dict[str, Any] | None = None
    if standing is not None:
        hold = hold_object(standing, row.id, row.amount_nano)
    elif row.hold is not None:
        hold = {"id": row.hold, "object": "hold", "quote": row.id, "released": True}
    return f'{_answer_in(row)[:-1]},"hold":{orjson.dumps(hold).decode()}}}'


def _refused(verdict: Refused, arrival: Arrival) -> CallError:
    return CallError(
        Outcome.BUDGET_EXHAUSTED,
        f"nothing is held: {verdict.message}",
        retry_after_s=verdict.retry_after_s(arrival.started_at_s),
    )
