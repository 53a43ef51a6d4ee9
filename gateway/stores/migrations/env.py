"""Alembic's environment: one connection to the database that ``prepare`` was given."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from gateway.stores.queries import engine_url
from gateway.stores.tables import metadata

engine = create_engine(engine_url(context.config.attributes["url"]))
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
