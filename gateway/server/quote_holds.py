"""The hold that admits a quote: how much, where, for how long."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from gateway.errors import CallError, Outcome
from gateway.ledger import MICRO, ExchangeRate, HoldRequest, Place, fault_of_name
from gateway.quote import QuoteRow
from gateway.schema import Caller

from .calls import Arrival
from .quote_entries import PLACE_WORDS

QUOTE_LIVES_S = 86_400
MAX_HOLD_S = 30 * 86_400


def hold_for(row: QuoteRow, caller: Caller, arrival: Arrival, body: dict[str, Any]) -> HoldRequest:
    """The hold that admits a quote. Raises CallError."""
    terms = orjson.loads(row.body.partition("\n")[0])
    if (unserved := terms["first_unserved"]) is not None:
        raise invalid(
            f"requests[{unserved}] of {row.id} is not served here, so no call could draw what is "
            "held for it; quote what is served by itself",
            f"requests[{unserved}]",
        )
    if unknown := sorted(set(body) - {"expires_in_s", *PLACE_WORDS}):
        raise invalid(
            f"{unknown[0][:100]!r} is not known here; there are expires_in_s, "
            f"{', '.join(PLACE_WORDS)}",
            unknown[0][:100],
        )
    lives_s = body.get("expires_in_s", QUOTE_LIVES_S)
    if isinstance(lives_s, bool) or not isinstance(lives_s, int) or not 1 <= lives_s <= MAX_HOLD_S:
        raise invalid(
            f"expires_in_s must be a whole number between 1 and {MAX_HOLD_S}", "expires_in_s"
        )
    started_us = int(arrival.started_at_s * MICRO)
    return HoldRequest(
        id=f"hold_{secrets.token_hex(12)}",
        place=_place(terms["place"], caller, body),
        started_us=started_us,
        amount_nano=row.amount_nano,
        currency=row.currency,
        rate=ExchangeRate(*terms["rate"]),
        rehearsal=terms["rehearsal"],
        about=orjson.dumps(["quote", row.id]).decode(),
        expires_us=started_us + lives_s * MICRO,
    )


def _place(quoted: dict[str, str], caller: Caller, body: dict[str, Any]) -> Place:
    """What the request to admit names goes before what the quoted calls have in common."""
    for level in PLACE_WORDS:
        if (value := body.get(level)) is not None:
            if not isinstance(value, str) or not value.strip():
                raise invalid(f"{level} must be a string that is not empty", level)
            if fault := fault_of_name(value):
                raise invalid(f"{level} {fault}", level)
            quoted[level] = value.strip()
    return Place(**quoted)._replace(key=caller.key_id)


def invalid(message: str, param: str | None = None) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, message, param=param)
