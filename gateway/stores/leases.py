"""Which processes live: each renews a lease, and the holds of one that does not are orphans.

A lease for each process does for all of its holds what a lease for each hold would do, with one
row to renew instead of thousands.
"""

from __future__ import annotations

from gateway.ledger import MICRO, HoldRequest

from .connections import Connection
from .notes import with_notes
from .rows import READ_HOLDS, hold_of

LEASE_S = 15
MAX_NOTES = 5_000
"""Read before the rest is left for the next look: some 70 ms, in which no call gets its hold."""

RENEW = (
    "INSERT INTO owners (id, lease_until_us) VALUES (?, ?) "
    "ON CONFLICT (id) DO UPDATE SET lease_until_us = excluded.lease_until_us"
)
ORPHANS = (
    f"{READ_HOLDS} LEFT JOIN owners ON owners.id = holds.owner "
    "WHERE (holds.expires_us IS NULL AND (owners.id IS NULL OR owners.lease_until_us < ?)) "
    "OR holds.expires_us < ? LIMIT 500"
)
FORGET = (
    "DELETE FROM owners WHERE lease_until_us < ? "
    "AND id NOT IN (SELECT owner FROM holds WHERE owner = owners.id)"
)


def renew(connection: Connection, owner: str, now_us: int) -> None:
    connection.execute(RENEW, (owner, now_us + LEASE_S * MICRO))


def give_up(connection: Connection, owner: str) -> None:
    """The process ends: whatever it still holds is an orphan from now on."""
    connection.execute("DELETE FROM owners WHERE id = ?", (owner,))


def orphans(connection: Connection, now_us: int) -> list[HoldRequest]:
    """Holds whose process is dead, and admitted quotes that have expired; 500 at a time, or fewer
    that have many notes."""
    connection.execute(FORGET, (now_us,))
    found: list[HoldRequest] = []
    notes = 0
    for row in connection.execute(ORPHANS, (now_us, now_us)):
        found.append(with_notes(connection, hold_of(row)))
        notes += len(found[-1].noted)
        if notes >= MAX_NOTES:
            break
    return found
