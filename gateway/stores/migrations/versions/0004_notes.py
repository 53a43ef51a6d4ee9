"""What parts of calls have used."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from gateway.stores.schema_version import statements

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in statements(Path(__file__).parents[1] / "0004_notes.sql", sqlite):
        op.execute(statement)
