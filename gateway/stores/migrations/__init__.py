"""The tables as scripts, one after the other, and alembic's way from one to the next."""
