"""Alembic's steps, each named like its script."""
