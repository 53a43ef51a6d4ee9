"""Notes: what parts of calls under way have used, for whoever has to close those calls.

A note belongs to a hold that stands and goes with it. It moves no money: that is all held, until
the hold is closed. Writing one again does nothing, so nobody has to know whether a commit of which
nothing was heard was one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import orjson

from gateway.ledger import (
    AttemptRow,
    Closing,
    Granted,
    HoldRequest,
    LedgerRow,
    Note,
    Refused,
    Verdict,
)

from .connections import Connection
from .rows import insert_new

COLUMNS = ("request_id", "number", "body")
CHANGE_RISK = (
    "UPDATE holds SET at_risk_nano = COALESCE(at_risk_nano, amount_nano) + ? WHERE id = ? "
    "RETURNING id"
)
DROP = "DELETE FROM notes WHERE request_id = ?"
PRUNE = "DELETE FROM notes WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.id = notes.request_id)"
READ = "SELECT number, body FROM notes WHERE request_id = ? ORDER BY number"


def write_notes(connection: Connection, notes: Sequence[Note]) -> list[Verdict]:
    """Whether each of them is written: for that, its hold has to stand."""
    new = insert_new(connection, "notes", COLUMNS, 2, [_row(note) for note in notes])
    more: Counter[str] = Counter()
    for note in notes:
        if (key := (note.hold_id, note.number)) in new:
            new.remove(key)
            more[note.hold_id] += note.more_at_risk_nano
    gone = {id_ for id_ in sorted(more) if not connection.execute(CHANGE_RISK, (more[id_], id_))}
    for id_ in gone:
        connection.execute(DROP, (id_,))
    ended = Refused("the call has ended, so there is nothing to note")
    return [ended if note.hold_id in gone else Granted() for note in notes]


def raise_risk(connection: Connection, hold: HoldRequest) -> bool:
    """More of a hold is at risk, for something that is about to be sent; False if none stands."""
    return bool(connection.execute(CHANGE_RISK, (hold.at_risk_nano, hold.id)))


def drop_notes(connection: Connection, closings: Iterable[Closing]) -> None:
    """Their calls are over, and what they used is in rows; most never had a note."""
    for closing in closings:
        if closing.hold.at_risk_nano is not None:
            connection.execute(DROP, (closing.hold.id,))


def prune_notes(connection: Connection) -> None:
    """Those that were left by a gateway which knows of none, and closed a hold that had some."""
    connection.execute(PRUNE)


def with_notes(connection: Connection, hold: HoldRequest) -> HoldRequest:
    """A hold that was found, with the notes on it."""
    if hold.at_risk_nano is None:
        return hold
    rows = connection.execute(READ, (hold.id,))
    return hold._replace(noted=tuple([_note(hold.id, number, body) for number, body in rows]))


def _row(note: Note) -> tuple[str, int, str]:
    rows = [[*row] for row in note.attempts], [[*row] for row in note.lines]
    return note.hold_id, note.number, orjson.dumps(rows).decode()


def _note(hold_id: str, number: int, body: str) -> Note:
    attempts, lines = orjson.loads(body)
    return Note(
        hold_id,
        number,
        tuple([AttemptRow(*row) for row in attempts]),
        tuple([LedgerRow(*row) for row in lines]),
    )
