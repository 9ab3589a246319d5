"""Run by Alembic for each command: on the connection that `spandag.store.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from spandag.store.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
