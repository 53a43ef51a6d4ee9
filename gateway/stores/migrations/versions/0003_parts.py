"""Calls that are cut."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from gateway.stores.schema_version import statements

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in statements(Path(__file__).parents[1] / "0003_parts.sql", sqlite):
        op.execute(statement)
