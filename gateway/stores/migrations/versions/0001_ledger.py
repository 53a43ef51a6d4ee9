"""The ledger."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from gateway.stores.schema_version import statements

revision = "0001"
down_revision = None


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in statements(Path(__file__).parents[1] / "0001_ledger.sql", sqlite):
        op.execute(statement)
