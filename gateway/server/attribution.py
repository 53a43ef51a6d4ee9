"""Which part of a production a call belongs to, and who asked for it.

Each level for itself: the header wins, then the body's ``metadata``, then the base URL, then what
the key says. The tenant is the key's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from multidict import istr

from gateway.errors import CallError, Outcome
from gateway.ledger import fault_of_name
from gateway.schema import Caller

from .paths import Match

# An istr is folded once and for all, which makes a look-up three times as fast.
PROJECT = istr("X-Daobo-Project")
SEASON = istr("X-Daobo-Season")
EPISODE = istr("X-Daobo-Episode")
SCENE = istr("X-Daobo-Scene")
SHOT = istr("X-Daobo-Shot")
HOLD = istr("X-Daobo-Hold")
HEADERS = (
    ("project", PROJECT),
    ("season", SEASON),
    ("episode", EPISODE),
    ("scene", SCENE),
    ("shot", SHOT),
)


def attributed(
    caller: Caller, matched: Match, headers: Mapping[str, str], body: Mapping[str, Any]
) -> Caller:
    """The caller with everything that the request says of its place. Raises CallError."""
    if not (
        PROJECT in headers
        or SEASON in headers
        or EPISODE in headers
        or SCENE in headers
        or SHOT in headers
        or matched.project
        or "metadata" in body
        or "user" in body
        or "safety_identifier" in body
    ):
        return caller
    named = _named(matched, headers, body.get("metadata") or {})
    user = _word(body.get("user"), "user") or _word(
        body.get("safety_identifier"), "safety_identifier"
    )
    if user is not None:
        named["user"] = user
    return caller._replace(**named) if named else caller


def admitted_hold(headers: Mapping[str, str]) -> str | None:
    """The admitted quote that the call is to draw from. Raises CallError."""
    return _header(headers[HOLD], HOLD) if HOLD in headers else None


def _named(
    matched: Match, headers: Mapping[str, str], metadata: Mapping[str, Any]
) -> dict[str, str]:
    """The levels of the production that the request itself names."""
    named: dict[str, str] = {}
    for level, header in HEADERS:
        label = _header(headers[header], header) if header in headers else None
        if label is None and level in metadata:
            label = _word(metadata[level], f"metadata.{level}")
        if label is None and level == "project" and matched.project:
            label = _label(matched.project, "the project in the base URL", None)
        if label is not None:
            named[level] = label
    return named


@lru_cache(maxsize=1024)
def _header(raw: str, name: str) -> str | None:
    """A header's text: UTF-8 as it is, or percent-encoded for clients that send ASCII only."""
    where = f"the header {name}"
    try:
        # aiohttp keeps bytes that are no UTF-8 as lone surrogates.
        text = raw.encode("utf-8", "surrogateescape").decode()
        text = unquote(text, errors="strict") if "%" in text else text
    except UnicodeDecodeError:
        raise _refused(f"{where} is not UTF-8; send it so, or percent-encoded", None) from None
    return _label(text, where, None)


def _word(value: Any, where: str) -> str | None:
    """A value of the body; a whole number is as good as its digits."""
    if value is None:
        return None
    if isinstance(value, str):
        return _label(value, where, where)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _refused(f"{where} must be a string", where)


def _label(text: str, where: str, param: str | None) -> str | None:
    """The trimmed text, None if nothing is left."""
    if fault := fault_of_name(text):
        raise _refused(f"{where} {fault}", param)
    return text.strip() or None


def _refused(message: str, param: str | None) -> CallError:
    return CallError(Outcome.INVALID_REQUEST, message, param=param)
