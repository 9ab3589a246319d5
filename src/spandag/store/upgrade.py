"""Bring a database to the schema of this version of spandag."""

from __future__ import annotations

import logging
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError

from spandag.store import revisions, schema
from spandag.store.connect import Database
from spandag.store.errors import StoreError
from spandag.store.revisions import HEAD, Say

if TYPE_CHECKING:
    from alembic.config import Config

CMBAGENT_TABLES = frozenset({"sessions", "workflow_runs", "workflow_steps", "dag_nodes", "dag_edges"})
"""Tables by which a database of CMBAgent is known; most of them have the names of ours."""


class State(Enum):
    """What a database is to us."""

    EMPTY = auto()
    CURRENT = auto()
    OTHER_REVISION = auto()
    CMBAGENT = auto()
    FOREIGN = auto()


def state_of(connection: Connection) -> State:
    """What a database is, found by plain SQL: Alembic takes long to import."""
    try:
        return _state_of(connection)
    except UnicodeDecodeError as error:
        # The driver says so of a file that is damaged where the tables are listed.
        raise DatabaseError(
            "the list of tables", None, sqlite3.DatabaseError(f"malformed: {error}")
        ) from error


def _state_of(connection: Connection) -> State:
    inspector = inspect(connection)
    if not inspector.has_table(schema.VERSION_TABLE):
        tables = set(inspector.get_table_names())
        if tables >= CMBAGENT_TABLES:
            return State.CMBAGENT
        # On PostgreSQL extensions have views where the tables are.
        views = inspector.get_view_names() if connection.dialect.name == "sqlite" else []
        return State.FOREIGN if tables or views else State.EMPTY
    revision = revisions.current(connection)
    if revision is None:
        # A downgrade has left nothing but the table of versions; an application may have tables beside it,
        # but not under our names.
        return State.FOREIGN if schema.metadata.tables.keys() & inspector.get_table_names() else State.EMPTY
    return State.CURRENT if revision == schema.REVISION else State.OTHER_REVISION


def require_ours(state: State, database: Database) -> None:
    """Refuse another program's database.

    Raises:
        StoreError: It is one.
    """
    if state is State.CMBAGENT:
        has_password = bool(database.engine.url.password or "password" in database.engine.url.query)
        raise StoreError(
            f"{database.label} is a database of CMBAgent; "
            # The URL is shown without it, and does not open the database like that.
            f"{'put its password into PGPASSWORD and ' if has_password else ''}copy its runs into a store with: "
            f"spandag import --cmbagent {shlex.quote(database.label)}"
        )
    if state is State.FOREIGN:
        raise StoreError(f"{database.label} is a database of another program; {database.elsewhere}")


def upgrade(database: Database) -> None:
    """Create the tables, or bring them to the newest revision.

    Args:
        database: Open for writing.

    Raises:
        StoreError: It is another program's, or was written by a newer version.
    """
    migrate(database)


def migrate(
    database: Database, target: str = HEAD, *, down: bool = False, say: Say | None = None
) -> list[str]:
    """Bring the tables to a revision, in one transaction that holds off all others that would.

    Args:
        database: Open for writing.
        target: A revision, `revisions.HEAD` or `revisions.BASE`.
        down: Whether to go down.
        say: Called with a line before each revision.

    Returns:
        The revisions that were applied or taken back, in order.

    Raises:
        StoreError: It is another program's, was written by a newer version, or there is no such revision.
    """

    def work(connection: Connection) -> list[str]:
        database.lock_schema(connection)
        # Looked at again under the lock: another process may have done it meanwhile.
        state = state_of(connection)
        require_ours(state, database)
        if state is State.CURRENT and target in (HEAD, schema.REVISION):
            return []
        with _quiet_alembic():
            return revisions.migrate(connection, database.label, target, down=down, say=say)

    return database.transact(work)


@contextmanager
def _quiet_alembic() -> Iterator[None]:
    """Keep Alembic's progress out of the host's log; what matters of it is said by us."""
    log = logging.getLogger("alembic")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "spandag.store:migrations")
    config.attributes["connection"] = connection
    return config
