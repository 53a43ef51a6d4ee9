"""Takes back what was written for a call whose process was taken for dead and was not."""

from __future__ import annotations

from gateway.ledger import Charge, HoldRequest

from .balances import Balances
from .connections import Connection

READ_CHARGES = (
    "SELECT currency, cost_nano, CASE WHEN rehearsal THEN list_cost_nano ELSE 0 END "
    "FROM attempts WHERE request_id = ? AND currency IS NOT NULL"
)


def withdraw(connection: Connection, balances: Balances, hold: HoldRequest) -> bool:
    """Remove the guess that stands for this call, so that the truth can take its place.

    False if there is none: then the call was settled before, and is left alone.
    """
    guessed = connection.execute(
        "DELETE FROM requests WHERE id = ? AND recovered RETURNING id", (hold.id,)
    )
    if not guessed:
        return False
    charges = [Charge(*row) for row in connection.execute(READ_CHARGES, (hold.id,))]
    balances.spend(hold, charges, sign=-1)
    connection.execute("DELETE FROM attempts WHERE request_id = ?", (hold.id,))
    connection.execute("DELETE FROM ledger WHERE request_id = ?", (hold.id,))
    return True
