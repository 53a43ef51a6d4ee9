"""The tables of the ledger, one definition for SQLite and PostgreSQL.

Amounts are nano-units of the row's currency, moments Unix microseconds, durations microseconds.
Rows of ``requests``, ``attempts`` and ``ledger`` are only ever added, all of one call in one
transaction; ``holds`` and ``notes`` are there as long as their call is under way. ``balances`` can
be worked out from them at any time (see ``stores/audit.py``).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

metadata = MetaData()

_NUMBER = Integer().with_variant(SmallInteger(), "sqlite")
"""Of an attempt. SQLite's integers have no width, whatever their type is called."""


def _place() -> list[Column[str]]:
    """Where a call belongs, as the columns of ``gateway.ledger.Place``."""
    names = ("tenant", "project", "season", "episode", "scene", "shot", "key_id", "user_id", "task")
    return [Column(name, Text) for name in names]


generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("budgets", BigInteger, nullable=False),
)
"""One row. Goes up with every change of budgets, so that each process sees it in time."""

owners = Table(
    "owners",
    metadata,
    Column("id", Text, primary_key=True),
    Column("lease_until_us", BigInteger, nullable=False),
)
"""Processes that have holds. One whose lease has run out is dead, and its holds too."""

exchange_rates = Table(
    "exchange_rates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cny_per_usd_nano", BigInteger, nullable=False),
    Column("checked", Text, nullable=False),
    Column("source", Text, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("rehearsal", Boolean, nullable=False),
    Column("exchange_rate", Text, nullable=False),
    Column("parent", Text),
    Column("expires_us", BigInteger),
    Column("about", Text, nullable=False),
    *_place(),
    Column("at_risk_nano", BigInteger),
)
"""Money set aside for calls under way, and for quotes that were admitted (no owner's lease ends
those: they have a time at which they expire). What a child takes is no longer in its parent's
amount. at_risk_nano is the most that a call in parts can have cost so far; NULL: all of it."""

notes = Table(
    "notes",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)
"""What parts used of a call under way: JSON of rows of ``attempts`` and ``ledger``, by the number
of the first attempt. They go with the call's hold."""

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("endpoint", Text, nullable=False),
    *_place(),
    Column("requested_model", Text, nullable=False),
    Column("route_reason", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("public_model", Text),
    Column("rehearsal", Boolean, nullable=False),
    Column("recovered", Boolean, nullable=False),
    Column("held_nano", BigInteger, nullable=False),
    Column("held_currency", Text, nullable=False),
    Column("exchange_rate", Text, nullable=False),
    Column("baseline_model", Text),
    Column("baseline_nano", BigInteger),
    Column("baseline_currency", Text),
    Column("replayed", Text, nullable=False, server_default=""),
    Column("saved_nano", BigInteger, nullable=False, server_default="0"),
    Column("saved_currency", Text),
    Index("requests_by_time", "started_us"),
)
"""One row for each call that money was held for, or that was given a kept answer for nothing
(replayed says which; it has no attempts). provider, model and public_model are those that answered,
or were tried last; recovered rows were closed for a process that died."""

attempts = Table(
    "attempts",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("number", _NUMBER, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("rehearsal", Boolean, nullable=False),
    Column("currency", Text),
    Column("cost_nano", BigInteger, nullable=False),
    Column("list_cost_nano", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("clamped", Boolean, nullable=False),
    Column("price", Text, nullable=False),
    Column("part", Integer),
)
"""One row for each try at a target; of a call that was cut, part says at which part of it.
cost_nano is charged, list_cost_nano is the sum of its ledger rows; they differ for rehearsals
(cost 0) and where a bill was clamped to the hold."""

ledger = Table(
    "ledger",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("attempt", _NUMBER, primary_key=True),
    Column("meter", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    Column("rate_nano", BigInteger, nullable=False),
    Column("per", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
)
"""One row for each meter of an attempt: quantity units at rate_nano for each `per` of them,
rounded up. The currency is the attempt's."""

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("cap_nano", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("window_kind", Text, nullable=False),
    Column("window_hours", Integer, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("hard", Boolean, nullable=False),
    Column("marks", Text, nullable=False),
    Column("origin", Text, nullable=False),
)

balances = Table(
    "balances",
    metadata,
    Column("budget", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("bucket_s", BigInteger, primary_key=True),
    Column("spent_nano", BigInteger, nullable=False),
    Column("held_nano", BigInteger, nullable=False),
    Column("rehearsed_nano", BigInteger, nullable=False),
    Column("rehearsal_held_nano", BigInteger, nullable=False),
)
"""What each budget's nodes have spent and hold, by bucket of the window, in the budget's currency.
Rehearsed calls are counted beside, as what they would have cost."""

quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("hold", Text),
    Column("body", Text, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("fate", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("answer", Text),
    Index("idempotency_by_expiry", "expires_us", "size_bytes"),
)
"""One row for each Idempotency-Key, with the call that was first with it. id is a digest of key and
tenant, request one of what is asked; the answer is packed, and absent where it is not kept."""
