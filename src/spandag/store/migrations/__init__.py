"""Alembic's revisions of the store's schema, append-only."""
