"""The store's migrations, for those whose own Alembic chain shall run them.

Everything else needs none of this: a store is created and upgraded when it is
opened. See ``docs/migrations.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection, revision: str = "head") -> list[str]:
    """Create the store's tables or bring them to a newer revision, in the transaction of a connection.

    May be called from a migration of the host's own, with ``op.get_bind()``. The revision is
    kept in ``spandag_version``, apart from the host's own. Where the tables are at that revision
    or beyond it, because spandag itself has been there before, there is nothing to do.

    Args:
        connection: To the database, which may hold other tables as well; nothing is committed.
        revision: How far to go, the newest by default. A migration names one, so that it always does the same.

    Returns:
        The revisions that were applied, in order.

    Raises:
        StoreError: The database is at a newer revision, or there is no such revision.
    """
    from spandag.store import revisions

    # Before the lock: the first time Alembic is loaded for it, which takes long.
    known = revisions.revisions()
    _lock(connection)
    at = revisions.current(connection)
    if at in {one.id for one in known} and not revisions.plan(known, at, revision)[0]:
        return []
    return revisions.migrate(connection, _label(connection), revision)


def downgrade(connection: Connection, revision: str) -> list[str]:
    """Take the store's tables back to an older revision, with what only newer ones can hold.

    Args:
        connection: As of `upgrade`.
        revision: How far to go; ``base`` drops all tables but ``spandag_version``.

    Returns:
        The revisions that were taken back, in order.

    Raises:
        StoreError: The database is at a newer revision, or there is no such revision.
    """
    from spandag.store import revisions

    _lock(connection)
    return revisions.migrate(connection, _label(connection), revision, down=True)


def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """For ``context.configure(include_name=…)``: keep autogenerate from dropping the store's tables.

    Args:
        name: Of a table, or whatever else Alembic asks about.
        kind: What it is: ``table``, ``column`` …
        parents: Where it is.
    """
    from spandag.store import schema, text_index

    ours = {*schema.metadata.tables, schema.VERSION_TABLE, *text_index.TABLES}
    return (name if kind == "table" else parents.get("table_name")) not in ours


def _label(connection: Connection) -> str:
    return connection.engine.url.render_as_string(hide_password=True)


def _lock(connection: Connection) -> None:
    from sqlalchemy import Connection as Live

    if not isinstance(connection, Live):
        from spandag.store.errors import StoreError

        raise StoreError("the store's migrations need a database; for their SQL use: spandag db sql")
    if connection.dialect.name == "postgresql":
        from spandag.store import postgres

        postgres.lock(connection, "schema")
    elif connection.dialect.name == "sqlite":
        from spandag.store import sqlite

        sqlite.begin(connection)
