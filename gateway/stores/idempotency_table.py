"""The table ``idempotency``: who was first with a key, and what it was answered.

Functions on a connection; ``idempotency_rows.py`` calls them in its thread.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Container, Sequence
from typing import NamedTuple

from gateway.kept import Claim, Earlier, Fate
from gateway.ledger import MICRO

from . import leases
from .connections import Connection

KEPT_S = 24 * 3600
COMPRESSION = 1

INSERT = (
    "INSERT INTO idempotency (id, request, call_id, owner, fate, expires_us, size_bytes) "
    "VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING RETURNING id"
)
TAKE_OVER = (
    "UPDATE idempotency SET request = ?, call_id = ?, owner = ?, fate = ?, expires_us = ?, "
    "size_bytes = 0, answer = NULL WHERE id = ?"
)
READ = (
    "SELECT request, call_id, fate, answer, expires_us, owner, "
    "(SELECT lease_until_us FROM owners WHERE owners.id = idempotency.owner) "
    "FROM idempotency WHERE id = ?"
)
END = (
    "UPDATE idempotency SET fate = ?, size_bytes = ?, answer = ? "
    "WHERE id = ? AND call_id = ? AND fate = ?"
)
FREE = "DELETE FROM idempotency WHERE id = ? AND call_id = ? AND fate = ?"
FORGET = "DELETE FROM idempotency WHERE expires_us <= ?"
TOTAL = "SELECT COALESCE(SUM(size_bytes), 0) FROM idempotency"
OLDEST = (
    "SELECT id, size_bytes FROM idempotency WHERE size_bytes > 0 ORDER BY expires_us LIMIT 1000"
)
EMPTY = "UPDATE idempotency SET size_bytes = 0, answer = NULL WHERE id = ?"


class Ending(NamedTuple):
    """What became of a call that has a key. No fate: it came to nothing, the key is free."""

    claim: Claim
    fate: Fate | None
    answer: str | None = None
    """Packed as text."""


def claim_key(
    connection: Connection, claim: Claim, owner: str, disowned: Container[str], now_us: int
) -> Earlier | None:
    """None: the key is this call's now. ``owner`` is this process, which lives as long as its
    lease; ``disowned`` are its calls that have a key and will never use it."""
    row = (claim.request, claim.call_id, owner, Fate.RUNNING, now_us + KEPT_S * MICRO)
    with connection.transaction():
        leases.renew(connection, owner, now_us)
        if connection.execute(INSERT, (claim.id, *row)):
            return None
        found = connection.execute(READ + connection.for_update, (claim.id,))
        if found and found[0][4] > now_us and found[0][1] not in disowned:
            return _earlier(found[0], claim, owner, now_us)
        if connection.execute(f"{TAKE_OVER} RETURNING id", (*row, claim.id)):
            return None
        # Given back between the two statements: as if it was under way a moment longer.
        return Earlier(claim.request, claim.call_id, Fate.RUNNING)


def _earlier(row: Sequence[object], claim: Claim, here: str, now_us: int) -> Earlier | None:
    request, call_id, fate, answer, _, owner, lease_until_us = row
    if call_id == claim.call_id:  # written the moment before the connection was lost
        return None
    lives = isinstance(lease_until_us, int) and lease_until_us >= now_us
    if fate == Fate.RUNNING and (owner == here or not lives):
        fate = Fate.LOST
    kept = _unpacked(answer) if isinstance(answer, str) else None
    return Earlier(str(request), str(call_id), Fate(str(fate)), kept)


def write_ending(connection: Connection, ending: Ending) -> None:
    """Only for a call that still has its key."""
    claim, fate, answer = ending
    mine = (claim.id, claim.call_id, Fate.RUNNING)
    if fate is None:
        connection.execute(FREE, mine)
    else:
        connection.execute(END, (fate, len(answer or ""), answer, *mine))


def sweep(connection: Connection, now_us: int, max_bytes: int) -> None:
    """Forget keys whose day is over, and the oldest answers where all take too much."""
    with connection.transaction():
        connection.execute(FORGET, (now_us,))
        excess_bytes = int(connection.execute(TOTAL)[0][0]) - max_bytes
        for id_, size_bytes in connection.execute(OLDEST) if excess_bytes > 0 else ():
            connection.execute(EMPTY, (id_,))
            excess_bytes -= size_bytes
            if excess_bytes <= 0:
                break


def packed(answer: bytes) -> str:
    """As text: events repeat themselves, and PostgreSQL's text cannot hold every byte."""
    return base64.b64encode(zlib.compress(answer, COMPRESSION)).decode("ascii")


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
