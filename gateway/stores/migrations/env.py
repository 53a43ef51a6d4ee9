"""Alembic's environment: one connection to the database that ``prepare`` was given, and one
transaction on it. A migration that was begun and not finished could never be done again."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, event

from gateway.stores.queries import engine_url
from gateway.stores.tables import metadata

engine = create_engine(engine_url(context.config.attributes["url"]))
if engine.dialect.name == "sqlite":
    # Left to itself, Python's driver begins a transaction for rows and none for tables.
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
